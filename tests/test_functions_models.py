"""Models, seeds and tolerances of inv; whatever the network answers, nothing wrong is certified."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from deepmatrixinversion import (
    Inverter,
    inv,
    inv_ex,
    solve,
    solve_ex,
)
from deepmatrixinversion.inference.leaf import GraphLeaf
from deepmatrixinversion.models.directory import read_graph
from deepmatrixinversion.models.zoo import bundled_folder
from menagerie import uniform
from truth import EPS, norm, violated


def test_the_model_is_named_in_every_way(tmp_path, monkeypatch):
    A = np.random.default_rng(1).uniform(-1, 1, (5, 4, 4))
    expected = inv(A)
    folder = bundled_folder() / "feedback-3"
    for model in ("feedback-3", folder, str(folder), Inverter.from_pretrained("feedback-3")):
        np.testing.assert_array_equal(inv(A, model=model), expected)
        np.testing.assert_array_equal(inv_ex(A, model=model).inverse, expected)
        np.testing.assert_array_equal(solve(A, A, model=model), solve(A, A))
        np.testing.assert_array_equal(solve_ex(A, A, model=model).solution, solve(A, A))
    with pytest.raises(ValueError, match="'nothing'"):
        inv(A, model="nothing")
    with pytest.raises(TypeError):
        inv(A, model=3)  # pyright: ignore[reportArgumentType]
    # A relative name means what it means in the working directory of the call.
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "one" / "m").symlink_to(folder)
    monkeypatch.chdir(tmp_path / "one")
    np.testing.assert_array_equal(inv(A, model="./m"), expected)
    monkeypatch.chdir(tmp_path / "two")
    with pytest.raises(ValueError, match="no model directory"):
        inv(A, model="./m")


def test_the_seed_is_that_of_the_butterflies():
    """A swap needs one: each seed gives a certified inverse, the same seed the same bits."""
    rng = np.random.default_rng(4)
    A = np.block([[np.zeros((8, 8)), uniform(8)], [uniform(8), np.zeros((8, 8))]])
    results = [inv_ex(A, seed=seed) for seed in (0, 0, 1, 2, int(rng.integers(1 << 30)))]
    assert all(r.certificate.certified for r in results)
    np.testing.assert_array_equal(results[0].inverse, results[1].inverse)
    for other in results[2:]:
        bounds = results[0].certificate.error_bound + other.certificate.error_bound
        assert norm(other.inverse - results[0].inverse) <= bounds * (1 + 4 * EPS)


def test_the_tolerance_stops_refinement():
    A = np.random.default_rng(6).uniform(-1, 1, (200, 3, 3))
    loose, tight = inv_ex(A, tol=1e-3), inv_ex(A)
    # Less accurate than asked for, and so not certified unless that is asked for.
    assert not loose.certificate.certified.all()
    assert inv_ex(A, tol=1e-3, rtol=1.0).certificate.certified.all()
    assert loose.steps.sum() < tight.steps.sum()
    assert np.median(loose.certificate.residual_bound) > np.median(tight.certificate.residual_bound)
    for tol in (np.nan, -1.0):
        with pytest.raises(ValueError, match="tol"):
            inv_ex(A, tol=tol)


def mixed_bag(n, rng):
    """Matrices of every kind in one stack (k, n, n)."""
    A = rng.uniform(-1, 1, (12, n, n))
    A[3] = 1.0
    A[4] *= 1e-200
    A[5] = rng.integers(-3, 4, (n, n))
    A[6, -1] = A[6, 0]
    A[7, -1] = A[7, 0] * (1 + 1e-9 * rng.uniform(size=n))
    A[8] = np.eye(n)[::-1]
    return A


def inverses(S):
    """What a perfect network would answer, zero for matrices that are not finite."""
    S = np.where(np.isfinite(S).all(axis=(1, 2), keepdims=True), S, 0.0)
    return np.linalg.pinv(S)


LEAVES = {
    "zeros": lambda S, rng: np.zeros_like(S),
    "NaN": lambda S, rng: np.full_like(S, np.nan),
    "infinity": lambda S, rng: np.full_like(S, np.inf),
    "huge": lambda S, rng: np.full_like(S, 1e300),
    "noise": lambda S, rng: rng.standard_normal(S.shape),
    "its input": lambda S, rng: S.copy(),
    "the wrong sign": lambda S, rng: -inverses(S),
    "NaN now and then": lambda S, rng: np.where(
        rng.uniform(size=(len(S), 1, 1)) < 0.5, np.nan, inverses(S)
    ),
}


@pytest.mark.parametrize("leaf", LEAVES.values(), ids=LEAVES.keys())
@pytest.mark.parametrize("n", [1, 2, 3, 5, 13])
def test_whatever_the_network_answers_nothing_wrong_is_certified(monkeypatch, leaf, n):
    inverter = Inverter.from_pretrained("feedback-3")
    rng = np.random.default_rng(n)
    monkeypatch.setattr(GraphLeaf, "__call__", lambda _, S: leaf(S, rng))
    A = mixed_bag(n, np.random.default_rng(n + 100))
    if n == 1:
        A[6:8] = 1.0
    result = inverter.inv_ex(A)
    assert violated(A, result) is None
    # The iteration from the transpose needs no guess.
    with np.errstate(all="ignore"):
        easy = np.linalg.cond(A / np.abs(A).max(axis=(1, 2), keepdims=True)) < 1e6
    if n <= 3:
        assert result.certificate.certified[easy].all()
    C = A[:3] + 1j * A[9:]
    assert violated(C, inverter.inv_ex(C)) is None


def flipped(graph, flips, rng):
    """The same graph with random bits of its float32 weights flipped."""
    model = onnx.load_from_string(graph)
    weights = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    constants = [
        a.t
        for node in model.graph.node
        for a in node.attribute
        if node.op_type == "Constant" and a.t.data_type == onnx.TensorProto.FLOAT
    ]
    tensors = [t for t in (*weights, *constants) if numpy_helper.to_array(t).size > 1]
    assert tensors
    for _ in range(flips):
        tensor = tensors[rng.integers(len(tensors))]
        bits = numpy_helper.to_array(tensor).copy().view(np.uint32)
        flat = bits.reshape(-1)
        flat[rng.integers(flat.size)] ^= np.uint32(1) << np.uint32(rng.integers(32))
        tensor.CopyFrom(numpy_helper.from_array(bits.view(np.float32), tensor.name))
    return model.SerializeToString()


@pytest.mark.parametrize("flips", [1, 10, 100, 3000])
def test_bits_flipped_in_the_weights(monkeypatch, flips):
    inverter = Inverter.from_pretrained("feedback-3")
    rng = np.random.default_rng(flips)
    original = read_graph(inverter.model)
    for trial in range(3):
        session = onnxruntime.InferenceSession(
            flipped(original, flips, rng), providers=["CPUExecutionProvider"]
        )
        assert isinstance(inverter.leaf, GraphLeaf)
        monkeypatch.setattr(inverter.leaf.session, "_session", session)
        for n in (2, 3, 6):
            A = mixed_bag(n, np.random.default_rng([flips, trial, n]))
            result = inverter.inv_ex(A)
            assert violated(A, result) is None
            if n <= 3:
                assert result.certificate.certified[[0, 1, 2, 4]].all()
