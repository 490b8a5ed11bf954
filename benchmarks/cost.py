"""Time and memory of the certified inverse, as ratios against LAPACK measured in the same run.

    python benchmarks/cost.py --markdown docs/cost.md --plot docs/cost.png

Each contender inverts the same matrices in turn, A B C A B C ..., and the ratio is the median of
the rounds' ratios, which drifts of the machine's speed do not touch. Tables of other functions,
settings and libraries follow (`cost_small`); of torch, JAX, Warp (`pip install warp-lang`) and MKL
(`pip install mkl`) those take part that are installed. Where OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE
are set, NumPy is slowed: unset both. Quote ratios, not times.
"""

from __future__ import annotations

import importlib.util
import os
import time
import tracemalloc
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cost_small import tables
from curves import plain_numbers
from deepmatrixinversion import inv_ex, show_config
from deepmatrixinversion.linalg.certify import certify
from deepmatrixinversion.reporting.figure_files import save_figure
from page import arguments, panels, records, write_page

ORDERS = (2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512, 1024, 2048)
SMALL = (100_000, 100_000, 100_000, 60_000, 40_000, 20_000, 8_000, 4_000, 2_000, 1_000, 200, 50)
CASES = dict(zip(ORDERS, (*SMALL, 1, 1, 1, 1), strict=True))
LARGEST_SPECTRAL = 512
"""Beyond it `spectral` takes many times as long, and a run more than a few minutes."""


class Row(NamedTuple):
    """One order: microseconds a matrix by NumPy, and how many times that the others take."""

    order: int
    stack: int
    numpy_us: float
    ours: float
    torch: float | None
    lapack_certified: float
    spectral: float | None = None


def contenders() -> dict[str, Callable[[np.ndarray], object]]:
    """What is timed, by name."""
    methods: dict[str, Callable[[np.ndarray], object]] = {
        "numpy": np.linalg.inv,
        "ours": inv_ex,
        "spectral": lambda A: inv_ex(A, model="spectral"),
        "lapack certified": lambda A: certify(A, np.linalg.inv(A)),
    }
    if importlib.util.find_spec("torch"):
        import torch

        methods["torch"] = lambda A: torch.linalg.inv(torch.from_numpy(A))
    return methods


def measure(order: int, stack: int, rounds: int, seed: int) -> Row:
    """Time every contender on one stack of U[-1, 1] matrices."""
    A = np.random.default_rng([seed, order]).uniform(-1, 1, (stack, order, order))
    methods = contenders()
    if order > LARGEST_SPECTRAL:
        del methods["spectral"]
    times: dict[str, list[float]] = {name: [] for name in methods}
    for method in methods.values():  # warm up: pools, caches, the model
        method(A[: max(1, stack // 10)])
    for _ in range(rounds):
        for name, method in methods.items():
            start = time.perf_counter()
            method(A)
            times[name].append(time.perf_counter() - start)
    base = np.array(times["numpy"])
    ratios = {name: float(np.median(np.array(t) / base)) for name, t in times.items()}
    return Row(
        order,
        stack,
        float(np.median(base)) / stack * 1e6,
        ratios["ours"],
        ratios.get("torch"),
        ratios["lapack certified"],
        ratios.get("spectral"),
    )


def memory(order: int) -> float:
    """Peak memory beyond A itself, in n² doubles (NumPy reports its arrays to tracemalloc)."""
    A = np.random.default_rng(0).uniform(-1, 1, (order, order))
    inv_ex(np.eye(3))
    tracemalloc.start()
    try:
        inv_ex(A)
        return tracemalloc.get_traced_memory()[1] / A.nbytes
    finally:
        tracemalloc.stop()


def known(ratio: float | None) -> str:
    """A ratio, or a dash where there is none."""
    return "-" if ratio is None else f"{ratio:.2f}"


def draw(rows: list[Row], where: str) -> None:
    """Ratios against the order."""
    figure, (axes,) = panels(7.5, 5.5)
    order = [r.order for r in rows]
    axes.loglog(order, [r.ours for r in rows], "o-", label="inv_ex (network, certified)")
    axes.loglog(order, [r.lapack_certified for r in rows], "s-", label="numpy.linalg.inv + certify")
    if all(r.torch is not None for r in rows):
        axes.loglog(order, [r.torch or 1 for r in rows], "^-", label="torch.linalg.inv")
    axes.axhline(1, color="#777777", label="numpy.linalg.inv")
    axes.set(
        xlabel="order (stacks up to 128, single matrices beyond)",
        ylabel="time over numpy.linalg.inv's (dimensionless)",
        title="Cost of a certified float64 inverse",
    )
    axes.set_xticks(order, [str(n) for n in order], rotation=45 if len(order) > 8 else 0)
    axes.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    plain_numbers(axes.yaxis)
    axes.legend()
    save_figure(figure, where)


def main() -> None:
    """Measure, print and write what was asked for."""
    options = arguments(__doc__, seed=2026, rounds=7, largest=2048).parse_args()
    rows = []
    for order, stack in CASES.items():
        if order <= options.largest:
            rows.append(measure(order, stack, options.rounds, options.seed))
            print(rows[-1], flush=True)
    doubles = {n: memory(n) for n in (512, 1024, 2048) if n <= options.largest}
    table = records(
        {
            "order": r.order,
            "stack": f"{r.stack:,}",
            "NumPy, µs a matrix": f"{r.numpy_us:,.2f}",
            "inv_ex": f"{r.ours:.2f}",
            'inv_ex, model="spectral"': known(r.spectral),
            "torch.linalg.inv": known(r.torch),
            "NumPy + certify": f"{r.lapack_certified:.2f}",
        }
        for r in rows
    )
    kept = ", ".join(f"{value:.1f} n² at n = {n}" for n, value in doubles.items())
    others = f"Peak memory beyond A, in doubles: {kept}.\n" if doubles else ""
    write_page(
        options.markdown,
        "cost",
        kernel=show_config().get("instruction_set", "none"),
        coretype=os.environ.get("OPENBLAS_CORETYPE", "unset"),
        table=table,
        others=others + tables(options.largest, options.rounds),
    )
    if options.plot:
        draw(rows, options.plot)


if __name__ == "__main__":
    main()
