"""What every runtime gets, and what is measured of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from runtimes_kinds import KINDS, errors, write

HERE = Path(__file__).resolve().parent


class File(NamedTuple):
    """A file that all runtimes get, and the largest condition number of the matrices for it.

    An inverse of ``dmxexport`` with this net, or, of another kind, a model of one call. The name
    starts with the rows and columns of its matrices, or with the order.
    """

    name: str
    order: int
    net: str
    kappa: float
    title: str
    kind: str = "inverse"


FILES = (
    File("4-adjugate", 4, "adjugate", 1000.0, "adjugate"),
    File("8-elimination", 8, "auto", 1000.0, "elimination (auto)"),
    File("8-iterative", 8, "iterative", 1000.0, "iterative"),
    File("8-feedback", 8, "feedback", 1000.0, "network feedback-8"),
    File("16-elimination", 16, "auto", 1000.0, "elimination (auto)"),
    File("16-iterative", 16, "iterative", 1000.0, "iterative"),
    File("16-det", 16, "", 1000.0, "`linalg.det`", "det"),
    File("3-eigh", 3, "", 1000.0, "`linalg.eigh`", "eigh"),
    File("12x8-pinv", 8, "", 1000.0, "`linalg.pinv`", "pinv"),
    File("16x18-solve", 16, "", 1000.0, "`linalg.solve`, 2 right sides", "solve"),
    File("64-cholesky", 64, "", 1000.0, "`linalg.cholesky`", "cholesky"),
)
"""What ``dmxexport`` writes by itself, the forms that avoid ``ArgMax`` and ``GatherElements``, and
a model of each kind beside inverses."""
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
    file: str = ""
    converts: bool = False
    runs: bool = False
    reason: str = ""
    difference: float | None = None
    in_units: float | None = None
    us: float | None = None
    native: str = "none"
    native_us: float | None = None

    def judged(self, A: np.ndarray, X: np.ndarray, kind: str = "inverse") -> Row:
        """With the errors of X; what is wrong does not run."""
        difference, units = differences(A, X, kind)
        row = self._replace(difference=difference, in_units=units)
        if units < ALLOWED:
            return row
        return row._replace(runs=False, reason=f"wrong by {units:.0f} κ 2⁻²⁴")


def matrices(file: File, count: int) -> np.ndarray:
    """Float32 matrices, condition numbers spread from 1 to the largest, in their logarithms."""
    rng = np.random.default_rng(file.order)
    kappa = np.logspace(0, np.log10(file.kappa), count)
    return KINDS[file.kind].matrices(rng, file.order, kappa).astype(np.float32)


def differences(A: np.ndarray, X: np.ndarray, kind: str = "inverse") -> tuple[float, float]:
    """The largest error against float64, and the largest of it over κ(A) 2^-24."""
    error, units = errors(kind, A, X)
    # Not max: a NaN must not be passed over.
    return float(np.max(error)), float(np.max(units))


def prepare(folder: Path, count: int) -> None:
    """The files and the matrices that all runtimes get, but for those that the folder has."""
    from deepmatrixinversion.export.inverse import export_onnx

    for file in FILES:
        A, path = matrices(file, count), folder / f"{file.name}.onnx"
        if path.exists():
            continue
        np.save(path.with_suffix(".npy"), A)
        A.tofile(path.with_suffix(".bin"))
        if file.kind == "inverse":
            write_native(file.order, folder / f"native-{file.name}.onnx")
            export_onnx(file.order, path, net=file.net)
        else:
            write(file.kind, A, path)


def write_native(n: int, path: Path) -> None:
    """onnxruntime's own inverse, one operator outside ONNX's standard."""
    from onnx import TensorProto, helper, save

    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", n, n])
        for name in ("A", "inverse")
    ]
    node = helper.make_node("Inverse", ["A"], ["inverse"], domain="com.microsoft")
    domains = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph([node], "native", ports[:1], ports[1:])
    save(helper.make_model(graph, opset_imports=domains, ir_version=10), path)
