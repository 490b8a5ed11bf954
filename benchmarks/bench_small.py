"""Times of small matrices beside NumPy's, for pytest-benchmark: `make bench`.

With `--benchmark-compare` a run is held against the last one that `make bench` kept. One thread.
"""

from __future__ import annotations

import numpy as np
import pytest

from deepmatrixinversion import certify, inv, inv_ex, kernel, pinv, solve, solve_ex

CASES = [(1, 3), (1, 8), (20_000, 3), (20_000, 4), (5_000, 8), (1_000, 16), (300, 32), (80, 64)]

FUNCTIONS = {
    "inv": {"numpy": np.linalg.inv, "inv": inv, "inv_ex": inv_ex},
    "solve": {"numpy": np.linalg.solve, "solve": solve, "solve_ex": solve_ex},
    "certify": {"certify": certify},
    "pinv": {"numpy": np.linalg.pinv, "pinv": pinv},
}
NAMES = [(function, name) for function, names in FUNCTIONS.items() for name in names]


@pytest.mark.parametrize(("count", "order"), CASES)
@pytest.mark.parametrize(("function", "name"), NAMES)
def test_time(benchmark, function, name, count, order):
    """One function on one stack, or on one matrix of two axes."""
    if not kernel.available():
        pytest.skip("there is no compiled kernel")
    A = np.random.default_rng(order).uniform(-1, 1, (count, order, order))
    right = {"solve": A[:, :, :1].copy(), "certify": np.linalg.inv(A)}
    arrays = [A, *([right[function]] if function in right else [])]
    if count == 1:
        arrays = [M[0] for M in arrays]
    benchmark.group = f"{function}, {count:,} of order {order}"
    with kernel.threads(1):
        benchmark(FUNCTIONS[function][name], *arrays)
