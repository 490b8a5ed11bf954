"""Which PyTorch models export through the translation table, how exactly and at what cost.

    python benchmarks/export_models.py --markdown docs/exporting-models.md

The models are those of examples/onnx_models. Each is exported with a dynamic batch of 2 and run in
onnxruntime on a batch of other inputs, beside PyTorch in float32; the truth is PyTorch in float64.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from deepmatrixinversion.atomic import atomic_text
from deepmatrixinversion.export.graph import quiet

FOLDER = Path(__file__).parents[1] / "examples" / "onnx_models"
UNIT = 2.0**-24
BATCH = 32


class Measured(NamedTuple):
    """What came of a model's export."""

    calls: tuple[str, ...]
    order: int
    condition: float
    error: float
    usual: float  # PyTorch's error in float32
    allowed: bool
    nodes: int
    kilobytes: float
    seconds: float
    milliseconds: float
    ratio: float  # of PyTorch's time


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


def measure(name: str, rounds: int = 20) -> Measured:
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
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(file), options)
        model, inputs = example(name, seed=1, batch=BATCH)
        feed = {i.name: t.numpy() for i, t in zip(session.get_inputs(), inputs, strict=True)}
        times = [np.inf, np.inf]
        runs = (lambda: session.run(None, feed), lambda: model(*inputs))
        for _ in range(rounds):
            for k, run in enumerate(runs):
                start = time.perf_counter()
                run()
                times[k] = min(times[k], time.perf_counter() - start)
        ours: Any = session.run(None, feed)
        theirs = tensors(model(*inputs))
        with Calls() as calls:
            exact = tensors(model.double()(*(t.double() for t in inputs)))
    error, usual, allowed = accuracy(ours, theirs, exact)
    return Measured(
        tuple(calls.names),
        calls.order,
        calls.condition,
        error,
        usual,
        allowed,
        nodes,
        size,
        seconds,
        1e3 * times[0],
        times[0] / times[1],
    )


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


def rows(rounds: int) -> Iterator[str]:
    """A line of the table for each model."""
    for name in names():
        print(name, file=sys.stderr)
        try:
            m = measure(name, rounds)
        except Exception as error:  # a table of what does not export is a table, too
            said = (str(error).strip().splitlines() or [""])[0][:80]
            yield f"| [{title(name)}]({link(name)}) | | | **does not export**: {said} | | | |"
            continue
        errors = f"{m.error:.1e} ({m.usual:.1e})" + ("" if m.allowed else " **too large**")
        cells = (
            f"[{title(name)}]({link(name)})",
            ", ".join(f"`{call}`" for call in m.calls),
            f"{m.order}, {m.condition:.0e}",
            errors,
            f"{m.nodes}, {m.kilobytes:.0f} KB",
            f"{m.seconds:.1f} s",
            f"{m.milliseconds:.2f} ms, {m.ratio:.2g}",
        )
        yield "| " + " | ".join(cells) + " |"


def link(name: str) -> str:
    """The model's file, from the docs."""
    return f"../examples/onnx_models/{name}.py"


def page(rounds: int) -> str:
    """The Markdown page."""
    torch.set_num_threads(1)
    table = list(rows(rounds))
    good = sum("**" not in row for row in table)
    lines = [
        "# Which models export",
        "",
        f"{len(table)} PyTorch models that use linear algebra, after publications where they name "
        f"one: {good} export with `onnx_translation_table` and agree with PyTorch.",
        "",
        "Regenerate with `python benchmarks/export_models.py --markdown "
        f"docs/exporting-models.md` ({platform.machine()}, one thread, onnxruntime "
        f"{onnxruntime.__version__}, torch {torch.__version__.partition('+')[0]}). The tests run "
        "every model (`tests/test_example_models.py`, most of them marked slow).",
        "",
        "*Calls*: the operators of ATen that the table translates; *n, κ*: the largest order and "
        "condition number among their arguments, singular values below 1e-6 of the largest left "
        "out. *Error*: ‖Y - Z‖F/‖Z‖F of the worst output, float32, against PyTorch in float64, "
        "and in brackets PyTorch's own in float32; *too large* would be more than four times "
        f"that and 16 u. *Time*: of a batch of {BATCH} in onnxruntime, and over PyTorch's.",
        "",
        "| model | calls | n, κ | error (PyTorch's) | nodes, size | export | time, ratio |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *table,
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markdown", help="where the page goes (default: standard output)")
    parser.add_argument("--rounds", type=int, default=20, help="of each time, the smallest")
    options = parser.parse_args()
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    text = page(options.rounds)
    if options.markdown:
        atomic_text(options.markdown, text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
