"""Classical schedules on spectra: each against the iteration that it stands for, on matrices."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import pytest

import schedules


@pytest.fixture
def A():
    A = np.random.default_rng(0).standard_normal((6, 7, 7))
    return A / np.linalg.norm(A, axis=(1, 2), keepdims=True)


def norms(state):
    return np.linalg.norm(state.eigenvalues, axis=1)


def spectrum(A):
    return schedules.first_residual(np.linalg.svd(A, compute_uv=False).astype(float))


@pytest.mark.parametrize("order", [2, 3, 5])
def test_hyperpower_is_the_matrix_iteration(A, order):
    X, products = A.swapaxes(1, 2), 0
    for state in islice(schedules.hyperpower(spectrum(A), order), 4):
        R = np.eye(7) - A @ X
        np.testing.assert_allclose(norms(state), np.linalg.norm(R, axis=(1, 2)), rtol=1e-9)
        X = X @ sum(np.linalg.matrix_power(R, j) for j in range(order))
        products = state.products
    assert products == 3 * order


def test_chebyshev_is_minimax_on_the_interval(A):
    """|residual| <= 1/T_D everywhere, attained at both ends of the spectrum."""
    r = spectrum(A)
    degrees = (2, 3)
    *_, last = schedules.chebyshev(r, degrees)
    sigma = np.linalg.svd(A, compute_uv=False)
    kappa2 = (sigma[:, 0] / sigma[:, -1]) ** 2
    peak = 1 / np.cosh(math.prod(degrees) * np.arccosh((kappa2 + 1) / (kappa2 - 1)))
    assert (np.abs(last.eigenvalues).max(axis=1) <= peak * (1 + 1e-9)).all()
    np.testing.assert_allclose(np.abs(last.eigenvalues[:, -1]), peak, rtol=1e-7)
    assert last.products == 5


def test_scaled_newton_is_newton_on_the_scaled_iterate(A):
    """Pan & Schreiber: scale X so that the interval of A X is centred at one, then one step."""
    lam = 1 - spectrum(A)
    low, high = lam.min(axis=1, keepdims=True), lam.max(axis=1, keepdims=True)
    for state in islice(schedules.scaled_newton(spectrum(A)), 5):
        if state.products:
            np.testing.assert_allclose(norms(state), np.linalg.norm(1 - lam, axis=1), rtol=1e-6)
        # x -> x (2 - x) of lam scaled to [1 - e, 1 + e] squares 1 - x; the result, somewhere in
        # [1 - e², 1], is scaled to be centred at one again.
        x, e = 2 * lam / (low + high), (high - low) / (high + low)
        lam = x * (2 - x) * 2 / (2 - e**2)
        low, high = 1 - e**2 / (2 - e**2), 1 + e**2 / (2 - e**2)


def test_best_compositions_are_the_best():
    best = schedules.best_compositions(20)
    cost = schedules.CHEBYSHEV_PRODUCTS
    assert math.prod(best[20]) == 5**5
    for products, degrees in best.items():
        assert sum(cost[d] for d in degrees) <= products
    # Exhaustively, for a small budget.
    found = {0: 1}
    for products in range(1, 11):
        found[products] = max(
            [found[products - 1]]
            + [d * found[products - c] for d, c in cost.items() if c <= products]
        )
    assert {k: math.prod(v) for k, v in best.items() if k <= 10} == found


def test_minimal_residual_never_increases(A):
    states = list(schedules.minimal_residual(spectrum(A), (1, 2, 3, 2)))
    values = np.stack([norms(s) for s in states])
    assert (np.diff(values, axis=0) <= 1e-12).all()
    assert [s.products for s in states] == [0, 2, 4, 7, 9]


def test_as_many_degrees_as_distinct_values_end_at_once():
    """A polynomial with p(0) = 1 that vanishes at all of them exists: Cayley-Hamilton."""
    sigma = np.random.default_rng(1).uniform(0.3, 1, (50, 3))
    *_, last = schedules.minimal_residual(schedules.first_residual(sigma), (3,))
    assert norms(last).max() <= 1e-6


def test_fixed_steps_are_the_matrix_iteration(A):
    rng = np.random.default_rng(3)
    steps = [1 + 0.1 * rng.standard_normal(d) for d in (2, 3, 5)]
    X, R = A.swapaxes(1, 2), np.eye(7) - A @ A.swapaxes(1, 2)
    states = list(schedules.fixed(spectrum(A), steps))
    for c, (_, r) in zip(steps, states[1:], strict=True):
        X = X @ sum(k * np.linalg.matrix_power(R, j) for j, k in enumerate(c))
        R = np.eye(7) - A @ X
        np.testing.assert_allclose(
            np.linalg.norm(r, axis=1), np.linalg.norm(R, axis=(1, 2)), rtol=1e-9
        )
    assert [products for products, _ in states] == [0, 2, 5, 9]


def test_chebyshev_steps_are_the_composed_chebyshev_polynomial():
    """On a spectrum that fills [low, 1], the fixed steps for it are the oracle's."""
    r = 1 - np.linspace(0.01, 1, 50)[None]
    degrees = (5, 2, 3)
    *_, (products, last) = schedules.fixed(r, schedules.chebyshev_steps(0.01, degrees))
    *_, state = schedules.chebyshev(r, degrees)
    np.testing.assert_allclose(last, state.eigenvalues, rtol=1e-7, atol=1e-12)
    assert products == state.products
