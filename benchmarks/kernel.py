"""Time of the compiled kernel, proofs included, over numpy.linalg.inv's on the same matrices.

    OMP_NUM_THREADS=1 python benchmarks/kernel.py [--orders 2 3 4] [--markdown FILE]

One thread each; the two alternate, and the smallest time of each counts. NumPy is slowed where
OPENBLAS_CORETYPE or OPENBLAS_L2_SIZE are set: unset both.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

from deepmatrixinversion import kernel

ORDERS = [2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64]


def smallest_times(functions, repeats):
    """The smallest time of each function, in turns."""
    times = [np.inf] * len(functions)
    for function in functions:
        function()
    for _ in range(repeats):
        for i, function in enumerate(functions):
            start = time.perf_counter()
            function()
            times[i] = min(times[i], time.perf_counter() - start)
    return times


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
    results = [kernel.invert_stack(A, method, threads=1) for method in ("network", "elimination")]
    return [
        n,
        count,
        f"{numpy / count * 1e9:.0f}",
        f"{network / numpy:.3f}",
        f"{elimination / numpy:.3f}",
        *(f"{100 * result.finished.mean():.2f}" for result in results),
        *(f"{np.median(result.relative_error_bound):.1e}" for result in results),
    ]


def table(orders, entries, floor, repeats):
    """Lines of a Markdown table."""
    heads = ["n", "matrices", "NumPy, ns", "network / NumPy", "elimination / NumPy"]
    heads += ["finished %, network", "elimination", "relative bound, network", "elimination"]
    yield "| " + " | ".join(heads) + " |"
    yield "| --- " * len(heads) + "|"
    for n in orders:
        yield "| " + " | ".join(map(str, row(n, entries, floor, repeats))) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, nargs="+", default=ORDERS)
    parser.add_argument("--entries", type=int, default=300_000, help="numbers in a stack")
    parser.add_argument("--least", type=int, default=320, help="matrices in a stack, at least")
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--instruction-set", help="another than the widest")
    parser.add_argument("--markdown", type=Path, help="write the table there as well")
    arguments = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":
        parser.error("set OMP_NUM_THREADS=1, so that NumPy has one thread as well")
    if arguments.instruction_set:
        kernel.use(arguments.instruction_set)
    print(kernel.show_config())
    lines = []
    for line in table(arguments.orders, arguments.entries, arguments.least, arguments.repeats):
        print(line, flush=True)
        lines.append(line)
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
