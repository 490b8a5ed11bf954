"""What every runtime gets, and what is measured of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from deepmatrixinversion.matrices.spectra import with_condition

HERE = Path(__file__).resolve().parent


class File(NamedTuple):
    """A file that all runtimes get, and the largest condition number of the matrices for it."""

    name: str
    order: int
    net: str
    kappa: float
    title: str


FILES = (
    File("4-adjugate", 4, "adjugate", 1000.0, "adjugate"),
    File("8-elimination", 8, "auto", 1000.0, "elimination (auto)"),
    File("8-iterative", 8, "iterative", 1000.0, "iterative"),
    File("8-feedback", 8, "feedback", 1000.0, "network feedback-8"),
    File("16-elimination", 16, "auto", 1000.0, "elimination (auto)"),
    File("16-iterative", 16, "iterative", 1000.0, "iterative"),
)
"""What ``dmxexport`` writes by itself, and the forms that avoid ``ArgMax`` and ``Gather``."""
# Times the condition number times 2^-24, as LAPACK's own error would be.
ALLOWED = 16.0
TITLES = {
    "onnxruntime": "onnxruntime, CPU",
    "node": "onnxruntime-web, WASM in Node",
    "browser": "onnxruntime-web, WASM in headless Chromium",
    "openvino": "OpenVINO, CPU",
    "litert": "LiteRT (litert-torch), CPU",
    "coreml": "Core ML (coremltools)",
    "executorch": "ExecuTorch (XNNPACK)",
    "tinygrad": "tinygrad, CPU",
    "iree": "IREE, llvm-cpu",
    "tvm": "TVM (Relax), llvm",
}
NATIVE = {
    "onnxruntime": "com.microsoft.Inverse",
    "node": "com.microsoft.Inverse",
    "browser": "com.microsoft.Inverse",
    "openvino": "Inverse-14",
}
"""The runtimes with an inverse of their own, outside ONNX's standard, and its name."""


class Row(NamedTuple):
    """One runtime with one file; ``reason`` says what went wrong."""

    title: str
    version: str
    file: str
    converts: bool
    runs: bool
    reason: str
    difference: float | None
    in_units: float | None
    us: float | None
    native: str
    native_us: float | None


def matrices(order: int, largest: float, count: int) -> np.ndarray:
    """Float32 matrices, condition numbers spread from 1 to the largest, in their logarithms."""
    rng = np.random.default_rng(order)
    kappa = np.logspace(0, np.log10(largest), count)
    return with_condition(rng, order, kappa).astype(np.float32)


def differences(A: np.ndarray, X: np.ndarray) -> tuple[float, float]:
    """Largest ‖X - A⁻¹‖F/‖A⁻¹‖F against float64, and the largest of it over κ(A) 2^-24."""
    A = A.astype(np.float64)
    Y = np.linalg.inv(A)
    error = np.linalg.norm(X - Y, axis=(1, 2)) / np.linalg.norm(Y, axis=(1, 2))
    # Not max: a NaN must not be passed over.
    return float(np.max(error)), float(np.max(error / (np.linalg.cond(A) * 2.0**-24)))


def prepare(folder: Path, count: int) -> None:
    """The files and the matrices that all runtimes get."""
    from onnx import TensorProto, helper, save

    from deepmatrixinversion.export.inverse import export_onnx

    for file in FILES:
        n = file.order
        export_onnx(n, folder / f"{file.name}.onnx", net=file.net)
        A = matrices(n, file.kappa, count)
        np.save(folder / f"{file.name}.npy", A)
        A.tofile(folder / f"{file.name}.bin")
        ports = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", n, n])
            for name in ("A", "inverse")
        ]
        node = helper.make_node("Inverse", ["A"], ["inverse"], domain="com.microsoft")
        domains = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
        graph = helper.make_graph([node], "native", ports[:1], ports[1:])
        made = helper.make_model(graph, opset_imports=domains, ir_version=10)
        save(made, folder / f"native-{file.name}.onnx")
