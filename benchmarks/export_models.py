"""Which PyTorch models export through the translation table, how exactly and at what cost.

    python benchmarks/export_models.py --markdown docs/exporting-models.md

The models are those of examples/onnx_models. Each is exported with a dynamic batch of 2 and run in
onnxruntime on a batch of other inputs, beside PyTorch in float32; the truth is PyTorch in float64.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from deepmatrixinversion.export.check import session
from deepmatrixinversion.export.graph import quiet
from page import arguments, records, write_page
from timing import smallest_times

FOLDER = Path(__file__).parents[1] / "examples" / "onnx_models"
UNIT = 2.0**-24
BATCH = 32
ERROR = "error (PyTorch's)"


class Calls(TorchDispatchMode):
    """Notes which operators of linear algebra run, and the largest order and condition."""

    WORDS = ("linalg_", "cholesky", "triangular_solve")
    OTHERS = ("linalg_check_errors", "linalg_vector_norm")

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, None] = {}
        self.order = 0
        self.condition = 1.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::").removeprefix("_").partition(".")[0]
        if any(word in name for word in self.WORDS) and name not in self.OTHERS:
            self.names[name.removeprefix("linalg_")] = None
            self.order = max(self.order, min(args[0].shape[-2:]))
            self.condition = max(self.condition, condition(args[0]))
        return func(*args, **(kwargs or {}))


def condition(A: torch.Tensor) -> float:
    """The largest of a stack, of singular values that are not 0 on purpose."""
    values = np.linalg.svd(A.to(torch.complex128).numpy(), compute_uv=False)
    largest = values[..., :1]
    smallest = np.where(values > 1e-6 * largest, values, np.inf).min(-1, keepdims=True)
    return float((largest / smallest).max())


def tensors(results: Any) -> tuple[torch.Tensor, ...]:
    """What a model returns, as a tuple."""
    return results if isinstance(results, tuple) else (results,)


def load(name: str) -> Any:
    """A file of examples/onnx_models, as a module."""
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    return importlib.import_module(name)


def example(name: str, seed: int, batch: int) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    """A model and inputs for it."""
    model, inputs = load(name).example(torch.Generator().manual_seed(seed), batch=batch)
    return model.eval(), inputs


def accuracy(
    ours: list[np.ndarray], theirs: tuple[torch.Tensor, ...], exact: tuple[torch.Tensor, ...]
) -> tuple[float, float, bool]:
    """The largest relative errors of the file and of PyTorch, and whether the former is allowed.

    Allowed is four times PyTorch's and 16 roundings, matrix norms over the whole batch.
    """
    worst, usual, allowed = 0.0, 0.0, True
    for x, y, truth in zip(ours, theirs, exact, strict=True):
        size = float(truth.norm())
        mine = float((torch.from_numpy(x).double() - truth).norm()) / size
        torchs = float((y.double() - truth).norm()) / size
        worst, usual = max(worst, mine), max(usual, torchs)
        allowed &= bool(mine <= 4 * torchs + 16 * UNIT)
    return worst, usual, allowed


def measure(name: str, rounds: int = 20) -> dict[str, str]:
    """Export a model, run it, and compare."""
    model, inputs = example(name, seed=0, batch=2)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        file = Path(folder) / "model.onnx"
        start = time.perf_counter()
        with quiet("torch.onnx", "onnxscript.version_converter"):
            load("export_all").export(model, inputs, file)
        seconds = time.perf_counter() - start
        nodes = len(onnx.load(file).graph.node)
        size = file.stat().st_size / 1024
        graph = session(file.read_bytes())
        model, inputs = example(name, seed=1, batch=BATCH)
        feed = {i.name: t.numpy() for i, t in zip(graph.get_inputs(), inputs, strict=True)}
        runs = (lambda: graph.run(None, feed), lambda: model(*inputs))
        ours_takes, theirs_takes = smallest_times(runs, rounds)
        ours: Any = graph.run(None, feed)
        theirs = tensors(model(*inputs))
        with Calls() as calls:
            exact = tensors(model.double()(*(t.double() for t in inputs)))
    error, usual, allowed = accuracy(ours, theirs, exact)
    return {
        "calls": ", ".join(f"`{call}`" for call in calls.names),
        "n, κ": f"{calls.order}, {calls.condition:.0e}",
        ERROR: f"{error:.1e} ({usual:.1e})" + ("" if allowed else " **too large**"),
        "nodes, size": f"{nodes}, {size:.0f} KB",
        "export": f"{seconds:.1f} s",
        "time, ratio": f"{1e3 * ours_takes:.2f} ms, {ours_takes / theirs_takes:.2g}",
    }


def title(name: str) -> str:
    """The first clause of a model's description."""
    text = (FOLDER / f"{name}.py").read_text().split('"""')[1].strip().splitlines()[0]
    return text.partition(":")[0].rstrip(".,")


def names() -> list[str]:
    """All models, those left out whose library is not installed."""
    found = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "export_all")
    libraries = ("kornia", "gpytorch")
    missing = [lib for lib in libraries if importlib.util.find_spec(lib) is None]
    return [name for name in found if name.partition("_")[0] not in missing]


def row(name: str, rounds: int) -> dict[str, str]:
    """What came of one model; that one does not export is a result, too."""
    print(name, file=sys.stderr)
    try:
        cells = measure(name, rounds)
    except Exception as error:
        said = (str(error).strip().splitlines() or [""])[0][:80]
        cells = {"calls": "", "n, κ": "", ERROR: f"**does not export**: {said}"}
        cells |= dict.fromkeys(("nodes, size", "export", "time, ratio"), "")
    return {"model": f"[{title(name)}](../examples/onnx_models/{name}.py)"} | cells


def main() -> None:
    """Print or write the page."""
    options = arguments(__doc__, rounds=20).parse_args()
    torch.set_num_threads(1)
    rows = [row(name, options.rounds) for name in names()]
    good = sum("**" not in cells[ERROR] for cells in rows)
    write_page(
        options.markdown,
        "export_models",
        runtime=onnxruntime.__version__,
        torch=torch.__version__.partition("+")[0],
        models=len(rows),
        good=good,
        batch=BATCH,
        table=records(rows),
    )


if __name__ == "__main__":
    main()
