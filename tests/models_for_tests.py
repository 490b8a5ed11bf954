"""A model directory made in milliseconds: no training, no export.

Its graph takes third-order Newton-Schulz steps from A^T/||A||F^2, and so inverts well; its weights
are those of small dense networks, which nothing but ``load_ensemble`` looks at.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from safetensors.numpy import save

from deepmatrixinversion.models.config import ModelConfig, NetConfig, TrainingData
from deepmatrixinversion.models.directory import digest, member_file

UNITS, LAYERS = 16, 2
FLOAT = TensorProto.FLOAT


def weights(order: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Parameters of an untrained dense network, by name."""
    import torch

    from deepmatrixinversion.nets import build

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = build(NetConfig("dense", order, UNITS, LAYERS))
    return {name: value.numpy().copy() for name, value in net.state_dict().items()}


def graph(
    nodes, order: int | str = 3, *, initializers=(), kind=FLOAT, input_name="A", batch="batch"
) -> bytes:
    """A graph ``input_name`` -> ``X`` of matrices of one order, made of ``nodes``."""
    shape = [batch, order, order]
    made = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(input_name, kind, shape)],
        [helper.make_tensor_value_info("X", kind, shape)],
        list(initializers),
    )
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(made, opset_imports=opset, ir_version=9).SerializeToString()


def identity_graph(order: int | str = 3, **options) -> bytes:
    """A graph that gives back its input."""
    name = options.get("input_name", "A")
    return graph([helper.make_node("Identity", [name], ["X"])], order, **options)


def newton_graph(order: int, steps: int = 14) -> bytes:
    """X <- X (I + R + R^2) from A^T/||A||F^2: the candidate after ``steps`` steps."""
    nodes = [
        helper.make_node("ReduceSumSquare", ["A", "axes"], ["square"], keepdims=1),
        helper.make_node("Max", ["square", "tiny"], ["scale"]),
        helper.make_node("Transpose", ["A"], ["T"], perm=[0, 2, 1]),
        helper.make_node("Div", ["T", "scale"], ["X0"]),
    ]
    for k in range(steps):
        last = k == steps - 1
        nodes += [
            helper.make_node("MatMul", ["A", f"X{k}"], [f"P{k}"]),
            helper.make_node("Sub", ["I", f"P{k}"], [f"R{k}"]),
            helper.make_node("MatMul", [f"R{k}", f"R{k}"], [f"S{k}"]),
            helper.make_node("Add", [f"R{k}", f"S{k}"], [f"Q{k}"]),
            helper.make_node("MatMul", [f"X{k}", f"Q{k}"], [f"D{k}"]),
            helper.make_node("Add", [f"X{k}", f"D{k}"], ["X" if last else f"X{k + 1}"]),
        ]
    constants = [
        onnx.numpy_helper.from_array(np.eye(order, dtype=np.float32), "I"),
        onnx.numpy_helper.from_array(np.array([1, 2]), "axes"),
        onnx.numpy_helper.from_array(np.array(1e-30, dtype=np.float32), "tiny"),
    ]
    return graph(nodes, order, initializers=constants)


def make_model(path: Path, *, order: int = 3, members: int = 2, seed: int = 0) -> Path:
    """Write a complete model directory and return its path."""
    path.mkdir(parents=True)
    (path / "model.onnx").write_bytes(newton_graph(order))
    for k in range(1, members + 1):
        (path / member_file(k)).write_bytes(save(weights(order, seed + k)))
    files = ["model.onnx", *(member_file(k) for k in range(1, members + 1))]
    config = ModelConfig(
        net=NetConfig("dense", order, UNITS, LAYERS),
        members=members,
        data=TrainingData(),
        loss="log_residual",
        seed=seed,
        files={name: digest(path / name) for name in files},
    )
    (path / "config.json").write_text(config.to_json())
    return path


def replace(model: Path, name: str, data: bytes) -> None:
    """Put other bytes in a model's file, with the digest that fits them."""
    (model / name).write_bytes(data)
    config = json.loads((model / "config.json").read_text())
    config["files"][name] = digest(model / name)
    (model / "config.json").write_text(json.dumps(config))


def well_conditioned(count: int, order: int = 3, seed: int = 0, most: float = 300.0):
    """Uniform matrices with kappa_2 below ``most``, (count, order, order) float64."""
    A = np.random.default_rng(seed).uniform(-1, 1, (4 * count, order, order))
    A = A[np.linalg.cond(A) < most][:count]
    assert len(A) == count
    return A


def residual_bound(A, X):
    """Largest Frobenius residual that rounding explains after refinement, for each matrix.

    A step computes fl(X + X R) with an error of at most about n u |X| |R| + u |X|, and R itself
    with n u |A| |X|; refinement may stop at twice the floor that these leave. With
    eps = 2u and ||X||F from the answer: 4 (n + 1) eps ||A||F ||X||F, evaluation included.
    """
    n = A.shape[-1]
    with np.errstate(all="ignore"):
        product = 1.0
        for M in (A, X):  # of any scale
            exponent = np.frexp(np.abs(M).max(axis=(-2, -1)))[1]
            norm = np.linalg.norm(np.ldexp(M, -exponent[..., None, None]), axis=(-2, -1))
            product = np.ldexp(product * norm, exponent)
    return 4 * (n + 1) * np.finfo(np.float64).eps * product
