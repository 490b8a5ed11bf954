"""Inverses by traces: exact where they say so, in as many products as they say."""

from __future__ import annotations

import numpy as np
import pytest

from accuracy_data import normal
from deepmatrixinversion.linalg.greedy import EPS, Guess, norm
from deepmatrixinversion.matrices.distributions import DISTRIBUTIONS, NumpySource, sample
from deepmatrixinversion.matrices.spectra import symmetric, with_singular_values
from deepmatrixinversion.spectral.chebyshev import Chebyshev, interval, split
from deepmatrixinversion.spectral.descent import Descent
from deepmatrixinversion.spectral.live import Live
from deepmatrixinversion.spectral.start import start
from deepmatrixinversion.spectral.traces import ORDERS, ROUNDINGS, traced
from spectral_samples import unit
from truth import residuals
from your_families import arma, convection, kalman, kernel_on_a_grid, markov, stiffness


def known_of(R):
    """All small degrees."""
    known = Chebyshev(R, R @ R, np.full(len(R), EPS))
    while len(known.small) <= known.split.small:
        known.further()
    return known


def ended(S, enough=1e-3, most=60):
    """Guesses by traces at once, from the transpose."""
    X, R = start(S, np.zeros((1, 1, 1), dtype=bool), np.eye(S.shape[-1]), np)
    k = len(S)
    guess = Guess(X.copy(), norm(R), np.ones(k, dtype=np.int64))
    live = Live(np.arange(k), X, R, np.full(k, EPS), np.zeros((k, 1), dtype=np.float32), 1)
    Descent(S, guess, most, enough).by_traces(live, R @ R, [3, 3])
    return guess


def few(n, values, k=10, seed=0):
    """Singular values that are among a few, each of them there."""
    rng = np.random.default_rng([seed, n])
    sigma = np.resize(values, n) * np.ones((k, 1))
    return unit(with_singular_values(rng, sigma))


@pytest.mark.parametrize("n", ORDERS)
def test_the_polynomial_is_the_inverse(n):
    """Against eigenvalues that are known: those of I - R between 0.2 and 1.8."""
    rng = np.random.default_rng(n)
    x = rng.uniform(-0.8, 0.8, (20, n))
    Q = np.linalg.qr(rng.standard_normal((20, n, n)))[0]
    expected = symmetric(Q, 1 / (1 - x))
    found = traced(known_of(symmetric(Q, x)))
    error = norm(found.polynomial() - expected) / norm(expected)
    assert (error <= ROUNDINGS * n**0.5 * EPS * found.growth).all()
    assert n > 20 or error.max() < 1e-4


@pytest.mark.parametrize("n", ORDERS)
def test_about_two_roots_of_n_products(n):
    cost = split(n)
    assert cost.small * cost.blocks >= n > cost.small * (cost.blocks - 1)
    assert cost.products <= 2 * n**0.5 + 1


@pytest.mark.parametrize("n", [3, 8, 16, 28])
def test_the_interval_holds_all_eigenvalues(n):
    rng = np.random.default_rng(n)
    for x in (rng.uniform(-1, 1, (50, n)), rng.standard_normal((50, n)) ** 3, np.ones((2, n))):
        R = symmetric(np.linalg.qr(rng.standard_normal((len(x), n, n)))[0], x)
        middle, half = interval(R, R @ R)
        assert (np.abs(x - middle[:, None]) <= half[:, None] * (1 + 1e-6) + 1e-7).all()


@pytest.mark.parametrize("kind", [*DISTRIBUTIONS])
@pytest.mark.parametrize("n", [4, 9, 16, 24])
def test_predictions_hold(kind, n):
    """The true residual is within what is said, wherever less than 1e-3 is.

    But for what the first residual does not know: rounding errors of A Aᵀ beside its eigenvalues.
    """
    A = unit(sample(NumpySource(np.random.default_rng(n)), kind, 40, n, -1.0, 1.0))
    found = ended(A)
    said = found.residual <= 1e-3
    lost = n * EPS * np.linalg.cond(A[said]) ** 2
    assert (residuals(A[said], found.X[said]) <= found.residual[said] + lost + 1e-6).all()


@pytest.mark.parametrize("draw", [kernel_on_a_grid, arma, stiffness, convection, markov, kalman])
def test_predictions_hold_on_realistic_data(draw):
    rng = np.random.default_rng(3)
    for n in (8, 16):
        A = unit(draw(rng, 40, n))
        found = ended(A)
        said = found.residual <= 1e-3
        assert (residuals(A[said], found.X[said]) <= found.residual[said] + 1e-6).all()


@pytest.mark.parametrize("n, products", [(4, 4), (8, 6), (10, 7)])
def test_small_matrices_take_as_many_products_as_said(n, products):
    A = unit(normal(np.random.default_rng(n), 300, n))
    found = ended(A)
    assert products == split(n).products + 2
    assert np.mean(found.products == products) > 0.9
    assert (residuals(A, found.X) <= found.residual + 1e-6).all()


@pytest.mark.parametrize("n", [8, 12, 16, 24])
def test_few_singular_values_take_as_many_directions(n):
    found = ended(few(n, [1.0, 0.3, 0.05]))
    assert (found.products == 1 + 3).all()
    assert (found.residual <= 1e-3).all()


def test_what_rounding_leaves_nothing_of_goes_on_by_steps():
    """Of order 24 the traces say nothing of these; a step of degree 6 and others do it."""
    A = unit(normal(np.random.default_rng(5), 40, 24))
    found = ended(A)
    assert (found.residual <= 1e-3).all()
    assert (residuals(A, found.X) <= found.residual + 1e-6).all()
    assert (found.products > split(24).products + 2).all()


def test_more_than_a_thousandth_is_reached_by_measuring():
    A = unit(normal(np.random.default_rng(6), 40, 8))
    found = ended(A, enough=1e-12)
    assert (found.residual <= 1e-12).mean() > 0.9
    assert np.median(residuals(A, found.X)) < 1e-12
    assert np.median(found.products) <= split(8).products + 2 + 3


def test_singular_matrices_have_no_inverse_by_traces():
    A = unit(normal(np.random.default_rng(7), 10, 8))
    A[:, 0] = 0.0
    found = ended(A)
    assert (found.residual > 0.9).all()
    assert np.isfinite(found.X).all()
