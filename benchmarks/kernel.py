"""Time of the compiled kernel, proofs included, over numpy.linalg.inv's on the same matrices.

    OMP_NUM_THREADS=1 python benchmarks/kernel.py [--orders 2 3 4] [--markdown FILE]

One thread each; the two alternate, and the smallest time of each counts. NumPy is slowed where
OPENBLAS_CORETYPE or OPENBLAS_L2_SIZE are set: unset both.
"""

from __future__ import annotations

import os

import numpy as np

from deepmatrixinversion import kernel
from page import arguments, records, write_page
from timing import smallest_times

ORDERS = [2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64]


def row(n, entries, floor, repeats):
    """Measurements for stacks of normal matrices of order n."""
    count = max(floor, min(32000, entries // n**2) // 32 * 32)
    A = np.random.default_rng(n).standard_normal((count, n, n))
    numpy, network, elimination = smallest_times(
        [
            lambda: np.linalg.inv(A),
            lambda: kernel.invert_stack(A, "network", threads=1),
            lambda: kernel.invert_stack(A, "elimination", threads=1),
        ],
        repeats,
    )
    cells = {
        "n": n,
        "matrices": count,
        "NumPy, ns": f"{numpy / count * 1e9:.0f}",
        "network / NumPy": f"{network / numpy:.3f}",
        "elimination / NumPy": f"{elimination / numpy:.3f}",
    }
    for method in ("network", "elimination"):
        result = kernel.invert_stack(A, method, threads=1)
        cells[f"finished %, {method}"] = f"{100 * result.finished.mean():.2f}"
        cells[f"relative bound, {method}"] = f"{np.median(result.relative_error_bound):.1e}"
    return cells


def main():
    parser = arguments(__doc__, entries=300_000, least=320, repeats=25)
    parser.add_argument("--orders", type=int, nargs="+", default=ORDERS)
    parser.add_argument("--instruction-set", help="another than the widest")
    options = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":
        parser.error("set OMP_NUM_THREADS=1, so that NumPy has one thread as well")
    if options.instruction_set:
        kernel.use(options.instruction_set)
    table = records(row(n, options.entries, options.least, options.repeats) for n in options.orders)
    write_page(options.markdown, "kernel", kernel=kernel.show_config(), table=table)


if __name__ == "__main__":
    main()
