"""What small matrices cost: other functions than `inv`, other settings, other libraries.

Each table's contenders take turns on the same arrays, and the smallest time of each counts.
"""

from __future__ import annotations

import os

import numpy as np

from cost_peers import peers_for
from deepmatrixinversion import certify, inv, inv_ex, kernel, pinv, solve, solve_ex
from deepmatrixinversion.kernel.state import compiled
from page import table
from timing import smallest_times

CASES = (
    (2, 20_000),
    (3, 20_000),
    (4, 20_000),
    (5, 12_000),
    (6, 8_000),
    (8, 5_000),
    (12, 2_000),
    (16, 1_000),
    (24, 500),
    (32, 300),
    (64, 80),
)
ONES = (3, 8, 16, 32)
CALLS = 50
LONGER = 10
PEERS = ("torch", "JAX", "Warp", "MKL compact")

FLOPS = 8
"""Times n^3: float64 operations of the four products that the kernel does whole, the two of the
residual, R^2 and the correction; what it does in float32 is left out."""


def stack(order: int, count: int) -> np.ndarray:
    """Entries uniform in [-1, 1]."""
    return np.random.default_rng([1, order]).uniform(-1, 1, (count, order, order))


def functions(largest: int, rounds: int) -> str:
    """`inv`, `solve`, `certify` and `pinv` of stacks, each over its NumPy namesake."""
    rows = []
    for order, count in CASES:
        if order > largest:
            continue
        A, b = stack(order, count), stack(order, count)[:, :, :1].copy()
        X = np.linalg.inv(A)
        some = A[: max(8, count // 8)]
        seconds = smallest_times(
            [
                lambda A=A: np.linalg.inv(A),
                lambda A=A: inv_ex(A),
                lambda A=A, X=X: certify(A, X),
                lambda A=A, b=b: np.linalg.solve(A, b),
                lambda A=A, b=b: solve_ex(A, b),
                lambda A=A: np.linalg.solve(A, A),
                lambda A=A: solve_ex(A, A),
                lambda some=some: np.linalg.pinv(some),
                lambda some=some: pinv(some),
            ],
            rounds,
        )
        numpy, ours, proof, one, our_one, many, our_many, svd, our_pinv = seconds
        ratios = (ours / numpy, 1 + proof / numpy, our_one / one, our_many / many, our_pinv / svd)
        rows.append([order, f"{numpy / count * 1e9:,.0f}", *(f"{r:.2f}" for r in ratios)])
    heads = ["order", "NumPy inv, ns", "inv_ex", "NumPy inv, then certify"]
    heads += ["solve_ex, one column", "solve_ex, n columns", "pinv"]
    return "\n## Other functions\n\nStacks, over NumPy's function of the name.\n\n" + table(
        heads, rows
    )


def single_matrices(largest: int, rounds: int) -> str:
    """One matrix in each call, microseconds."""
    rows = []
    for order in ONES:
        if order > largest:
            continue
        A = stack(order, 1)[0]
        b = A[0].copy()
        calls = [
            lambda A=A: np.linalg.inv(A),
            lambda A=A: inv(A),
            lambda A=A: inv_ex(A),
            lambda A=A, b=b: np.linalg.solve(A, b),
            lambda A=A, b=b: solve(A, b),
            lambda A=A, b=b: solve_ex(A, b),
        ]
        many = [lambda call=call: [call() for _ in range(CALLS)] for call in calls]
        rows.append([order, *(f"{s / CALLS * 1e6:.1f}" for s in smallest_times(many, 3 * rounds))])
    heads = ["order", "numpy.linalg.inv", "inv", "inv_ex"]
    heads += ["numpy.linalg.solve", "solve", "solve_ex"]
    return "\n## One matrix a call\n\nMicroseconds.\n\n" + table(heads, rows)


def peak(rounds: int) -> float:
    """Operations a second by the kernel's loop of independent multiplications and additions."""
    counts = []
    (seconds,) = smallest_times(
        [lambda: counts.append(compiled.multiply_adds(20_000)[0])], 3 * rounds
    )
    return 2 * counts[0] / seconds


def settings(largest: int, rounds: int) -> str:
    """The kernel alone over NumPy: its methods, its instruction sets, two threads, and the roof."""
    names = kernel.show_config()["instruction_sets"]
    narrow = "x86-64-v3" if "x86-64-v3" in names else names[-1]
    roof, rows = peak(rounds), []
    for order, count in CASES:
        if order > largest:
            continue
        A = stack(order, count)

        def narrowed(A: np.ndarray = A) -> None:
            kernel.use(narrow)
            try:
                kernel.invert_stack(A, threads=1)
            finally:
                kernel.use(names[0])

        numpy, network, elimination, avx2 = smallest_times(
            [
                lambda A=A: np.linalg.inv(A),
                lambda A=A: kernel.invert_stack(A, threads=1),
                lambda A=A: kernel.invert_stack(A, "elimination", threads=1),
                narrowed,
            ],
            rounds,
        )
        many = np.concatenate([A] * LONGER)
        one, two = smallest_times(
            [lambda t=t, A=many: kernel.invert_stack(A, threads=t) for t in (1, 2)], rounds
        )
        share = FLOPS * order**3 * count / network / roof
        rows.append(
            [
                order,
                *(f"{t / numpy:.3f}" for t in (network, elimination, avx2)),
                f"{one / two:.2f}",
                f"{100 * share:.0f} %",
            ]
        )
    heads = ["order", "network", "elimination", f"network, {narrow}"]
    heads += ["one thread over two", "share of peak"]
    text = (
        "The kernel without the public function around it, over `numpy.linalg.inv`, one thread "
        f"each. The roof is {roof / 1e9:.0f} Gflop/s, by a loop of independent multiplications and "
        f"additions in the same run; of the kernel {FLOPS} n³ operations are counted, the four "
        f"products in float64. The two threads have stacks {LONGER} times as long, which take one "
        "about 10 ms: starting a thread costs as much as 0.1 ms of work. This machine has "
        f"{os.cpu_count()} processors."
    )
    return f"\n## The kernel\n\n{text}\n\n{table(heads, rows)}"


def peers(largest: int, rounds: int) -> str:
    """Other libraries' inverses over NumPy's, bare, and with our certificates on top."""
    rows = []
    for order, count in CASES:
        if order > largest:
            continue
        A, found = stack(order, count), peers_for(order)
        methods = [
            lambda A=A: np.linalg.inv(A),
            lambda A=A: inv_ex(A),
            *(lambda A=A, f=f: f(A) for f in found.values()),
            *(lambda A=A, f=f: certify(A, np.array(f(A))) for f in found.values()),
        ]
        numpy, ours, *others = smallest_times(methods, rounds)
        half = len(found)
        pairs = {
            name: f"{others[k] / numpy:.2f}, {others[half + k] / numpy:.2f}"
            for k, name in enumerate(found)
        }
        rows.append([order, f"{ours / numpy:.2f}", *(pairs.get(name, "-") for name in PEERS)])
    heads = ["order", "inv_ex (certified)", *PEERS]
    text = (
        "Over `numpy.linalg.inv`: bare, then with `certify` on top. MKL compact does not pivot; "
        "Warp inverts orders 2 to 4; a dash where a library is not installed."
    )
    return f"\n## Other libraries\n\n{text}\n\n{table(heads, rows)}"


def tables(largest: int, rounds: int) -> str:
    """All of them; nothing without the compiled kernel."""
    if not kernel.available():
        return ""
    parts = (functions, single_matrices, settings, peers)
    return "".join(part(largest, rounds) for part in parts)
