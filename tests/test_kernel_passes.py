"""The kernel's passes over large matrices, and its halving: what they compute, to which digits."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from deepmatrixinversion import kernel
from kernel_families import exact

pytestmark = pytest.mark.skipif(not kernel.available(), reason="there is no kernel")

U = 2.0**-53
ORDERS = [1, 3, 8, 13, 66]


@pytest.mark.parametrize("n", ORDERS)
def test_few_columns_and_sums_of_squares(instruction_set, n):
    rng = np.random.default_rng(n)
    A = rng.standard_normal((2, n, n))
    for m in (1, 2, 3, 5, 8):
        V = rng.uniform(0, 1, (2, n, m))
        sums = np.abs(A) @ V
        np.testing.assert_allclose(kernel.moduli(A, V), sums, rtol=2 * n * U)
        assert (np.abs(kernel.products(A, V) - A @ V) <= 2 * n * U * sums).all()
    v = rng.uniform(0, 1, (2, n))
    rows, columns = kernel.squares(A, v)
    np.testing.assert_allclose(rows, (A**2 @ v[:, :, None])[:, :, 0], rtol=4 * n * U)
    np.testing.assert_allclose(columns, (A**2).sum(axis=1), rtol=4 * n * U)


@pytest.mark.parametrize("n", ORDERS)
def test_doubled_products(instruction_set, n):
    """To twice the digits, where everything cancels."""
    rng = np.random.default_rng(n)
    x, y, A = rng.standard_normal(n), 2.0**-60 * rng.standard_normal(n), rng.standard_normal((n, n))
    A[-1] = -(x[:-1] @ A[:-1]) / x[-1]
    high, low = kernel.doubled_product(x[None], y[None], A[None])
    for j in range(n):
        terms = [exact(a) * (exact(p) + exact(q)) for p, q, a in zip(x, y, A[:, j], strict=True)]
        size = sum(map(abs, terms))
        error = abs(sum(terms) - exact(high[0, j]) - exact(low[0, j]))
        assert error <= 4 * (n + 2) ** 2 * Fraction(U) ** 2 * size


@pytest.mark.parametrize("n", [1, 5, 32, 33, 40, 65, 100, 128])
def test_halving_inverts(instruction_set, n):
    """Matrices whose leading blocks are all well conditioned, within larger ones."""
    rng = np.random.default_rng(n)
    large = rng.standard_normal((n + 3, n + 5))
    A = large[1 : n + 1, 2 : n + 2]
    A += 2 * n * np.eye(n)
    within = np.zeros((n + 2, n + 7))
    X = within[1 : n + 1, 3 : n + 3]
    kernel.halve_into(A, X)
    assert np.abs(A @ X - np.eye(n)).max() <= 64 * n * U
    within[1 : n + 1, 3 : n + 3] = 0
    assert not within.any()


def test_halving_takes_what_it_can():
    with pytest.raises(ValueError, match="shapes"):
        kernel.halve_into(np.eye(300), np.empty((300, 300)))
    with pytest.raises(ValueError, match="shapes"):
        kernel.halve_into(np.eye(8)[:, ::-1], np.empty((8, 8)))
