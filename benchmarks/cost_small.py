"""What small matrices cost: other functions than `inv`, other settings, other libraries.

Each table's contenders take turns on the same arrays, and the smallest time of each counts.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np

from cost_peers import PEERS, peers_for
from deepmatrixinversion import certify, inv, inv_ex, kernel, pinv, solve, solve_ex
from deepmatrixinversion.kernel.state import compiled
from page import records
from timing import smallest_times

ORDERS = (2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 64)
COUNTS = (20_000, 20_000, 20_000, 12_000, 8_000, 5_000, 2_000, 1_000, 500, 300, 80)
CASES = dict(zip(ORDERS, COUNTS, strict=True))
ONES = (3, 8, 16, 32)
CALLS = 50
LONGER = 10

FLOPS = 8
"""Times n^3: float64 operations of the four products that the kernel does whole, the two of the
residual, R^2 and the correction; what it does in float32 is left out."""


def stack(order: int, count: int) -> np.ndarray:
    """Entries uniform in [-1, 1]."""
    return np.random.default_rng([1, order]).uniform(-1, 1, (count, order, order))


def functions(order: int, count: int, rounds: int) -> dict[str, Any]:
    """`inv`, `solve`, `certify` and `pinv` of stacks, each over its NumPy namesake."""
    A, b = stack(order, count), stack(order, count)[:, :, :1].copy()
    X = np.linalg.inv(A)
    some = A[: max(8, count // 8)]
    numpy, ours, proof, one, our_one, many, our_many, svd, our_pinv = smallest_times(
        [
            lambda: np.linalg.inv(A),
            lambda: inv_ex(A),
            lambda: certify(A, X),
            lambda: np.linalg.solve(A, b),
            lambda: solve_ex(A, b),
            lambda: np.linalg.solve(A, A),
            lambda: solve_ex(A, A),
            lambda: np.linalg.pinv(some),
            lambda: pinv(some),
        ],
        rounds,
    )
    return {
        "order": order,
        "NumPy inv, ns": f"{numpy / count * 1e9:,.0f}",
        "inv_ex": f"{ours / numpy:.2f}",
        "NumPy inv, then certify": f"{1 + proof / numpy:.2f}",
        "solve_ex, one column": f"{our_one / one:.2f}",
        "solve_ex, n columns": f"{our_many / many:.2f}",
        "pinv": f"{our_pinv / svd:.2f}",
    }


def single_matrices(order: int, count: int, rounds: int) -> dict[str, Any]:
    """One matrix in each call, microseconds."""
    A = stack(order, 1)[0]
    b = A[0].copy()
    calls = {
        "numpy.linalg.inv": lambda: np.linalg.inv(A),
        "inv": lambda: inv(A),
        "inv_ex": lambda: inv_ex(A),
        "numpy.linalg.solve": lambda: np.linalg.solve(A, b),
        "solve": lambda: solve(A, b),
        "solve_ex": lambda: solve_ex(A, b),
    }
    many = [lambda call=call: [call() for _ in range(CALLS)] for call in calls.values()]
    seconds = smallest_times(many, 3 * rounds)
    cells = {head: f"{s / CALLS * 1e6:.1f}" for head, s in zip(calls, seconds, strict=True)}
    return {"order": order} | cells


@functools.cache
def peak(rounds: int) -> float:
    """Operations a second by the kernel's loop of independent multiplications and additions."""
    counts = []
    (seconds,) = smallest_times(
        [lambda: counts.append(compiled.multiply_adds(20_000)[0])], 3 * rounds
    )
    return 2 * counts[0] / seconds


def settings(order: int, count: int, rounds: int) -> dict[str, Any]:
    """The kernel alone over NumPy: its methods, its instruction sets, two threads, and the roof."""
    names = kernel.show_config()["instruction_sets"]
    narrow = "x86-64-v3" if "x86-64-v3" in names else names[-1]
    A = stack(order, count)

    def narrowed() -> None:
        kernel.use(narrow)
        try:
            kernel.invert_stack(A, threads=1)
        finally:
            kernel.use(names[0])

    numpy, network, elimination, avx2 = smallest_times(
        [
            lambda: np.linalg.inv(A),
            lambda: kernel.invert_stack(A, threads=1),
            lambda: kernel.invert_stack(A, "elimination", threads=1),
            narrowed,
        ],
        rounds,
    )
    many = np.concatenate([A] * LONGER)
    one, two = smallest_times(
        [lambda t=t: kernel.invert_stack(many, threads=t) for t in (1, 2)], rounds
    )
    share = FLOPS * order**3 * count / network / peak(rounds)
    return {
        "order": order,
        "network": f"{network / numpy:.3f}",
        "elimination": f"{elimination / numpy:.3f}",
        f"network, {narrow}": f"{avx2 / numpy:.3f}",
        "one thread over two": f"{one / two:.2f}",
        "share of peak": f"{100 * share:.0f} %",
    }


def peers(order: int, count: int, rounds: int) -> dict[str, Any]:
    """Other libraries' inverses over NumPy's, bare, and with our certificates on top."""
    A, found = stack(order, count), peers_for(order)
    methods = [
        lambda: np.linalg.inv(A),
        lambda: inv_ex(A),
        *(lambda f=f: f(A) for f in found.values()),
        *(lambda f=f: certify(A, np.array(f(A))) for f in found.values()),
    ]
    numpy, ours, *others = smallest_times(methods, rounds)
    pairs = zip(found, others[: len(found)], others[len(found) :], strict=True)
    cells = {name: f"{bare / numpy:.2f}, {proven / numpy:.2f}" for name, bare, proven in pairs}
    ours = {"order": order, "inv_ex (certified)": f"{ours / numpy:.2f}"}
    return ours | dict.fromkeys(PEERS, "-") | cells


def tables(largest: int, rounds: int) -> str:
    """All of them; nothing without the compiled kernel."""
    if not kernel.available():
        return ""
    parts = {
        "Other functions": ("Stacks, over NumPy's function of the name.", functions, CASES),
        "One matrix a call": ("Microseconds.", single_matrices, dict.fromkeys(ONES, 1)),
        "The kernel": (
            "The kernel without the public function around it, over `numpy.linalg.inv`, one thread "
            f"each. The roof is {peak(rounds) / 1e9:.0f} Gflop/s, by a loop of independent "
            "multiplications and additions in the same run; of the kernel "
            f"{FLOPS} n³ operations are counted, the four products in float64. The two threads "
            f"have stacks {LONGER} times as long, which take one about 10 ms: starting a thread "
            f"costs as much as 0.1 ms of work. This machine has {os.cpu_count()} processors.",
            settings,
            CASES,
        ),
        "Other libraries": (
            "Over `numpy.linalg.inv`: bare, then with `certify` on top. MKL compact does not "
            "pivot; Warp inverts orders 2 to 4; a dash where a library is not installed.",
            peers,
            CASES,
        ),
    }
    return "".join(
        f"\n## {title}\n\n{text}\n\n"
        + records(part(n, count, rounds) for n, count in cases.items() if n <= largest)
        for title, (text, part, cases) in parts.items()
    )
