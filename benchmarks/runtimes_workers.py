"""One runtime, in its own environment: converts the exported files, runs them, times them.

    python runtimes_workers.py NAME FOLDER

``benchmarks/runtimes.py`` calls it. FOLDER holds ``FILE.onnx`` and ``FILE.npy``, float32 matrices,
for each FILE. Writes what comes out to ``NAME-FILE.npy`` and the findings to ``NAME.json``. Nothing
of this project is imported, since the runtimes' environments hold no more than the runtime.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

# pyright: reportMissingImports=false
# Each runtime is installed where this runs, and nowhere else.

Run = Callable[[np.ndarray], np.ndarray]
SECONDS = 0.5


def onnxruntime(path: Path, A: np.ndarray) -> Run:
    """CPU, one thread, as all are here."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda A: np.asarray(session.run(None, {"A": A})[0])


def onnxruntime_native(path: Path, A: np.ndarray) -> Run:
    """Inverse, an operator of onnxruntime's own domain com.microsoft."""
    return onnxruntime(path.with_name(f"native-{path.name}"), A)


def openvino(path: Path, A: np.ndarray) -> Run:
    """The ONNX front end, compiled for the CPU in full float32."""
    import openvino

    core = openvino.Core()
    return _openvino(core.read_model(path))


def openvino_native(path: Path, A: np.ndarray) -> Run:
    """Inverse-14."""
    import openvino
    from openvino import opset14

    given = opset14.parameter([-1, *A.shape[1:]], np.float32)
    return _openvino(openvino.Model([opset14.inverse(given, adjoint=False)], [given]))


def _openvino(model: Any) -> Run:
    import openvino

    # Some CPUs would otherwise compute in bfloat16.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    return lambda A: request.infer([A])[0]


def tinygrad(path: Path, A: np.ndarray) -> Run:
    """Its ONNX front end under TinyJit, for the device CPU."""
    from tinygrad import Tensor, TinyJit
    from tinygrad.nn.onnx import OnnxRunner

    runner = OnnxRunner(str(path))

    @TinyJit
    def jitted(A: Any) -> Any:
        return next(iter(runner({"A": A}).values())).realize()

    return lambda A: jitted(Tensor(A).realize()).numpy()


def iree(path: Path, A: np.ndarray) -> Run:
    """ONNX to MLIR to a module for this CPU."""
    import subprocess

    import iree.compiler
    import iree.runtime

    mlir = path.with_suffix(".mlir")
    subprocess.run(
        [sys.executable, "-m", "iree.compiler.tools.import_onnx", path, "-o", mlir], check=True
    )
    compiled = iree.compiler.compile_file(
        str(mlir),
        input_type="onnx",
        target_backends=["llvm-cpu"],
        extra_args=["--iree-llvmcpu-target-cpu=host"],
    )
    module = iree.runtime.load_vm_flatbuffer(compiled, driver="local-sync")
    main = next(getattr(module, n) for n in module.vm_module.function_names if "$async" not in n)
    return lambda A: np.asarray(main(A)[0])


def tvm(path: Path, A: np.ndarray) -> Run:
    """Relax's ONNX front end, for LLVM."""
    import onnx
    import tvm
    from tvm import relax
    from tvm.relax.frontend.onnx import from_onnx

    module = from_onnx(onnx.load(path), shape_dict={"A": list(A.shape)})
    executable = tvm.compile(relax.get_pipeline("zero")(module), target="llvm")
    machine = relax.VirtualMachine(executable, tvm.cpu())
    return lambda A: machine["main"](tvm.runtime.tensor(A))[0].numpy()


def _torch(path: Path, booleans: bool = True) -> Any:
    from runtimes_torch import FromOnnx

    return FromOnnx(str(path), booleans).eval()


def litert(path: Path, A: np.ndarray) -> Run:
    """litert-torch to a .tflite file, which LiteRT's interpreter runs on one thread."""
    import litert_torch
    import torch
    from ai_edge_litert.interpreter import Interpreter

    file = path.with_suffix(".tflite")
    litert_torch.convert(_torch(path), (torch.from_numpy(A),)).export(str(file))
    interpreter = Interpreter(str(file), num_threads=1)
    runner = interpreter.get_signature_runner()
    (name,) = runner.get_input_details()
    found = runner.get_output_details()
    # An inverse has A's shape; files of other kinds have one output.
    first = next(n for n, d in found.items() if len(found) == 1 or tuple(d["shape"]) == A.shape)
    return lambda A: runner(**{name: A})[first]


def coreml(path: Path, A: np.ndarray) -> Run:
    """An ML program, of which Core ML takes no output of booleans; only a Mac could run it."""
    import coremltools
    import torch

    program = torch.export.export(_torch(path, booleans=False), (torch.from_numpy(A),))
    program = program.run_decompositions({})
    made = coremltools.convert(
        program,
        convert_to="mlprogram",
        compute_precision=coremltools.precision.FLOAT32,
        minimum_deployment_target=coremltools.target.iOS17,
    )
    made.save(str(path.with_suffix(".mlpackage")))
    raise ConvertedOnly("runs on a Mac or an iPhone alone, which this machine is not")


def executorch(path: Path, A: np.ndarray) -> Run:
    """A .pte file, delegated to XNNPACK where XNNPACK can, in the Python runtime."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    program = torch.export.export(_torch(path), (torch.from_numpy(A),))
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    file = path.with_suffix(".pte")
    file.write_bytes(edge.to_executorch().buffer)
    method = Runtime.get().load_program(str(file)).load_method("forward")
    return lambda A: method.execute([torch.from_numpy(A)])[0].numpy()


class ConvertedOnly(Exception):
    """Converted, but not to be run here."""


RUNTIMES: dict[str, tuple[str, Any, Any]] = {
    "onnxruntime": ("onnxruntime", onnxruntime, onnxruntime_native),
    "openvino": ("openvino", openvino, openvino_native),
    "litert": ("litert-torch", litert, None),
    "coreml": ("coremltools", coreml, None),
    "executorch": ("executorch", executorch, None),
    "tinygrad": ("tinygrad", tinygrad, None),
    "iree": ("iree-base-compiler", iree, None),
    "tvm": ("apache-tvm", tvm, None),
}
"""Distribution, how it runs a file, and how it runs its own inverse, by name."""


def microseconds(run: Run, A: np.ndarray) -> float:
    """The smallest time a matrix, of runs over the whole stack."""
    for _ in range(3):  # compilers that work at the first calls
        run(A)
    times = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        run(A)
        times.append(time.perf_counter() - start)
    return min(times) / len(A) * 1e6


def reason(error: BaseException) -> str:
    """The last sentence of an error, fit for a table."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:160]


def examine(name: str, folder: Path) -> None:
    """What one runtime does with each file, to NAME.json in the folder."""
    distribution, make, make_native = RUNTIMES[name]
    kept = folder / f"{name}.json"
    found: dict[str, Any] = {"version": version(distribution), "files": {}}
    if kept.exists():
        found = json.loads(kept.read_text())
    # Smallest first, and each kept at once, so that a time limit cuts off as little as it can.
    for path in sorted(folder.glob("[0-9]*.onnx"), key=lambda p: p.stat().st_size):
        if path.stem in found["files"]:
            continue
        A = np.load(path.with_suffix(".npy"))
        row: dict[str, Any] = {"converts": False, "runs": False}
        found["files"][path.stem] = row
        try:
            run = make(path, A)
            row["converts"] = True
            X = np.array(run(A))
            for _ in range(2):  # again, since a just-in-time compiler's later calls are others
                X = np.array(run(A))
            np.save(folder / f"{name}-{path.stem}.npy", X)
            row["runs"] = True
            row["us"] = microseconds(run, A)
        except ConvertedOnly as error:
            row.update(converts=True, reason=str(error))
        except Exception as error:
            traceback.print_exc()
            row["reason"] = reason(error)
        inverse = path.with_name(f"native-{path.name}").exists()
        if make_native is not None and row["runs"] and inverse:
            native = make_native(path, A)
            if not np.allclose(native(A) @ A, np.eye(A.shape[1]), atol=1e-2):
                raise ValueError(f"{name}: its own inverse is wrong")
            row["native_us"] = microseconds(native, A)
        kept.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    examine(sys.argv[1], Path(sys.argv[2]))
