"""Minimal residual steps on stacks: what they cost, and what they predict."""

# numpy.linalg's results are of no certain dtype to the type checker.
# pyright: reportArgumentType=false

from __future__ import annotations

import numpy as np
import pytest

from deepmatrixinversion.linalg.greedy import EARLY_EXIT, improved, norm
from deepmatrixinversion.prior.driver import from_nothing
from deepmatrixinversion.spectral.start import start_from_identity

EPS = float(np.finfo(float).eps)
N = 12


class Counted(np.ndarray):
    """Arrays that count products of two matrices."""

    products = 0

    def __matmul__(self, other):
        Counted.products += min(self.size, np.size(other)) > 0
        return np.asarray(self).view(np.ndarray).__matmul__(np.asarray(other)).view(Counted)


def matrices(k, seed=0):
    A = np.random.default_rng(seed).standard_normal((k, N, N)) + 2 * np.eye(N)
    return A / norm(A)[:, None, None]


def definite(k, seed=0):
    B = np.random.default_rng(seed).standard_normal((k, N, 2 * N))
    A = B @ B.swapaxes(1, 2)
    return A / norm(A)[:, None, None]


def started(size, k, seed=1):
    """Matrices, and starts with a residual of about that norm."""
    S = matrices(k, seed)
    E = np.random.default_rng(seed + 1).standard_normal((k, N, N))
    X = np.linalg.inv(S) @ (np.eye(N) - size * E / norm(E)[:, None, None])
    return S, X


@pytest.mark.parametrize("size", [0.5e-3, 0.02, 0.09, 0.17, 0.25, 0.4, 0.6])
def test_products_are_those_that_are_taken(size):
    for seed in range(4):
        S, X = started(size, 1, seed)
        Counted.products = 0
        guess = improved(S.view(Counted), X.view(Counted))
        assert guess.products.tolist() == [Counted.products]
        measured = norm(np.eye(N) - S @ np.asarray(guess.X))
        assert measured[0] <= guess.residual[0] + 1e-9 <= EARLY_EXIT + 1e-9


def test_small_residuals_cost_by_their_powers():
    for size, most in ((0.5e-3, 1), (0.03, 2), (0.09, 3), (0.17, 4)):
        guess = improved(*started(size, 30))
        assert (guess.products <= most).all()
        assert (guess.residual <= EARLY_EXIT).all()


@pytest.mark.parametrize("degrees", [(3, 12), (3, 3, 3, 12)])
def test_what_is_predicted_bounds_what_is_measured(degrees):
    for S in (matrices(60), definite(60)):
        guess = from_nothing(S, degrees=degrees)
        assert (guess.residual <= EARLY_EXIT).all()
        measured = norm(np.eye(N) - S @ guess.X)
        # Powers of R up to the twelfth lose digits, which is why other steps come first.
        assert (measured <= guess.residual + 1e-7).all()


def test_definite_matrices_start_from_the_identity_for_nothing():
    S = definite(40)
    X, _ = start_from_identity(S, np.eye(N), np)
    same = improved(S, X, degrees=(3, 12))
    np.testing.assert_array_equal(from_nothing(S, degrees=(3, 12)).products, same.products - 2)
    assert (from_nothing(S, degrees=(3, 12), max_products=0).products == 0).all()


def test_rounding_level_is_reached_where_that_is_asked_for():
    S, X = started(0.1, 20)
    guess = improved(S, X, tol=0.0)
    kappa = norm(S) * norm(np.linalg.inv(S))
    assert (norm(np.eye(N) - S @ guess.X) <= 64 * N * EPS * kappa).all()


def test_a_start_that_is_not_finite_stays_by_itself():
    S, X = started(0.1, 3)
    X[1] = np.nan
    with np.errstate(all="ignore"):
        guess = improved(S, X)
    assert (guess.residual[[0, 2]] <= EARLY_EXIT).all()
    np.testing.assert_array_equal(guess.X[[0, 2]], improved(S[[0, 2]], X[[0, 2]]).X)
