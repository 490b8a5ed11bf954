"""What exported files cost in onnxruntime on one core: size, loading, time by batch.

    python benchmarks/export_cost.py --markdown docs/onnx-cost.md

Of each time the smallest of the rounds, the files of an order in turn.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from deepmatrixinversion.export import export_onnx
from deepmatrixinversion.export.check import session
from deepmatrixinversion.matrices.spectra import with_condition
from page import arguments, records, write_page
from timing import smallest_times

NETS = {
    4: ("adjugate", "elimination", "feedback", "iterative"),
    8: ("elimination", "feedback", "iterative"),
    16: ("elimination", "iterative"),
    32: ("elimination", "iterative"),
    64: ("elimination", "iterative"),
    128: ("elimination", "iterative"),
}
BATCHES = (1, 32, 1000)
EARLY = ((8, "32"), (16, "64"), (64, "32"))
CONDITIONS = (1.0, 1e1, 1e2, 1e3, 1e4, 1e5)


def runs(sessions: list[Any], A: np.ndarray) -> list[Callable[[], Any]]:
    """What each session does with A."""
    return [partial(graph.run, None, {"A": A}) for graph in sessions]


def by_net(order: int, folder: Path, rounds: int) -> list[dict[str, Any]]:
    """A row for each net of an order."""
    rng = np.random.default_rng(order)
    files, loading = [], []
    for net in NETS[order]:
        files.append(folder / f"{net}-{order}.onnx")
        export_onnx(order, files[-1], net=net)
        start = time.perf_counter()
        session(files[-1].read_bytes())
        loading.append(time.perf_counter() - start)
    sessions = [session(file.read_bytes()) for file in files]
    times = []
    for batch in BATCHES:
        A = rng.standard_normal((batch, order, order)).astype(np.float32)
        inverse = partial(torch.linalg.inv, torch.from_numpy(A))
        *found, theirs = smallest_times([*runs(sessions, A), inverse], rounds)
        times.append([f"{1e6 * t / batch:.3g} ({t / theirs:.2g})" for t in found])
    return [
        {
            "order": order,
            "net": net,
            "file, KiB": f"{files[k].stat().st_size / 1024:.0f}",
            "loading, s": f"{loading[k]:.2f}",
            **{f"µs a matrix, {b:,} at once": t[k] for b, t in zip(BATCHES, times, strict=True)},
        }
        for k, net in enumerate(NETS[order])
    ]


def early_exit(order: int, precision: str, folder: Path, rounds: int) -> dict[str, str]:
    """Time with a loop over time without, by condition number."""
    sessions = []
    for early in (True, False):
        path = folder / f"early-{order}-{precision}-{early}.onnx"
        export_onnx(order, path, net="iterative", precision=precision, early_exit=early)
        sessions.append(session(path.read_bytes()))
    rng = np.random.default_rng(order)
    cells = {"order, precision": f"{order}, float{precision}"}
    for kappa in CONDITIONS:
        A = with_condition(rng, order, np.full(200, kappa)).astype(f"f{int(precision) // 8}")
        with_loop, without = smallest_times(runs(sessions, A), rounds)
        cells[f"{kappa:g}"] = f"{with_loop / without:.2f}"
    return cells


def main() -> None:
    """Measure, print and write what was asked for."""
    options = arguments(__doc__, rounds=20, largest=128).parse_args()
    torch.set_num_threads(1)
    rounds, largest = options.rounds, options.largest
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        orders = [order for order in NETS if order <= largest]
        nets = [row for order in orders for row in by_net(order, folder, rounds)]
        early = [case for case in EARLY if case[0] <= largest]
        loops = [early_exit(order, bits, folder, rounds) for order, bits in early]
    measured = {"nets": records(nets), "loops": records(loops)}
    write_page(options.markdown, "export_cost", version=onnxruntime.__version__, **measured)


if __name__ == "__main__":
    main()
