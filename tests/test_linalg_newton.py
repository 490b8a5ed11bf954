"""Refinement converges, stops, keeps the best, and leaves neighbours alone."""

import warnings

import numpy as np
import pytest

from deepmatrixinversion.linalg.newton import from_transpose, newton_schulz
from deepmatrixinversion.linalg.scaling import normalise
from deepmatrixinversion.linalg.stack import Stack
from deepmatrixinversion.matrices.spectra import even_spectrum
from spectra_of_tests import with_eigenvalues

U = 2.0**-53
ORDERS = [1, 2, 3, 4, 5, 8, 17]


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error")
        yield


def sample(n, k=40, seed=0):
    rng = np.random.default_rng(seed + n)
    return normalise(rng.standard_normal((k, n, n)))[0], rng


def kappa(A):
    return np.linalg.norm(A, axis=(-2, -1)) * np.linalg.norm(np.linalg.inv(A), axis=(-2, -1))


def refine(A, X, **options):
    return newton_schulz(Stack.of(A), Stack.of(X), **options)


def iterate(A, X=None):
    """From the transpose, then to working accuracy."""
    S = Stack.of(A)
    start = Stack.of(np.zeros_like(A) if X is None else X)
    return newton_schulz(S, from_transpose(S, start))


@pytest.mark.parametrize("n", ORDERS)
def test_refinement_reaches_working_accuracy(n):
    A, _ = sample(n)
    X = np.linalg.inv(A) * (1 + 0.1 / n)
    result = refine(A, X)
    assert (result.residual <= 4 * n * U * kappa(A)).all()
    assert (result.steps <= 12).all()
    Y = result.X.matrices()
    error = np.linalg.norm(Y - np.linalg.inv(A), axis=(1, 2))
    assert (error <= 8 * n * U * kappa(A) * np.linalg.norm(Y, axis=(1, 2))).all()


def test_never_worse_than_the_start():
    A, rng = sample(6)
    X = rng.standard_normal(A.shape) * 10.0 ** rng.uniform(-3, 3, (len(A), 1, 1))
    before = np.linalg.norm(np.eye(6) - A @ X, axis=(1, 2))
    after = np.linalg.norm(np.eye(6) - A @ refine(A, X).X.matrices(), axis=(1, 2))
    assert (after <= before * (1 + 100 * U) + 100 * U * np.linalg.norm(X, axis=(1, 2))).all()


@pytest.mark.parametrize("n", ORDERS)
@pytest.mark.parametrize("function", [refine, iterate])
def test_neighbours_are_undisturbed_bit_for_bit(n, function):
    A, rng = sample(n)
    X = np.linalg.inv(A) * (1 + rng.uniform(1e-9, 0.3 / n, (len(A), 1, 1)))
    clean = function(A, X).X.matrices()
    badA, badX = A.copy(), X.copy()
    badA[::3] = 0.0
    badX[::3] = np.nan
    badX[1::6] = 1e300
    dirty = function(badA, badX).X.matrices()
    untouched = np.setdiff1d(np.arange(len(A)), np.r_[0 : len(A) : 3, 1 : len(A) : 6])
    assert np.array_equal(dirty[untouched], clean[untouched])
    assert np.array_equal(function(A[5:6], X[5:6]).X.matrices(), clean[5:6])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e308])
def test_garbage_in_stays_where_it_is(bad):
    A, _ = sample(3, k=2)
    X = np.linalg.inv(A)
    X[0, 1, 1] = bad
    result = refine(A, X)
    assert not result.residual[0] < 1
    assert result.residual[1] < 1e-10


def test_the_start_s_own_array_stays_as_it_is():
    A, _ = sample(6, k=3)
    X = Stack.of(np.linalg.inv(A) * 1.1)
    before = X.array.copy()
    newton_schulz(Stack.of(A), X)
    assert np.array_equal(X.array, before)


def test_tolerance_stops_early():
    A, _ = sample(8)
    X = np.linalg.inv(A) * 1.1
    result = refine(A, X, tol=1e-3)
    assert (result.residual <= 1e-3).all()
    assert (result.steps < refine(A, X).steps).all()
    measured = np.linalg.norm(np.eye(8) - A @ result.X.matrices(), axis=(1, 2))
    assert (measured <= result.residual + 8 * U * 8 * kappa(A)).all()
    mixed = refine(A, X, tol=np.where(np.arange(len(A)) % 2, 1e-3, 0.0))
    assert (mixed.residual[1::2] > 1e-9).all()
    assert (mixed.residual[::2] < 1e-9).all()


def test_max_steps_is_kept():
    A, _ = sample(5)
    result = refine(A, np.linalg.inv(A) * 1.3, max_steps=1)
    assert (result.steps == 1).all()
    assert np.allclose(result.residual, 0.09 * np.sqrt(5), rtol=1e-6)


@pytest.mark.parametrize("n", ORDERS)
def test_the_transpose_needs_no_guess(n):
    A, rng = sample(n)
    result = iterate(A)
    assert (result.residual <= 16 * n * U * kappa(A)).all()
    B = normalise(with_eigenvalues(rng, even_spectrum(n, [1e10])))[0]
    assert iterate(B).residual[0] <= 100 * n * U * kappa(B)[0]


def test_a_wrong_guess_is_symmetrised():
    A, rng = sample(6)
    guess = np.linalg.inv(A) @ (np.eye(6) - 1.5 * np.eye(6)[:, :1] @ np.eye(6)[:1])
    assert (np.linalg.norm(np.eye(6) - A @ guess, axis=(1, 2)) >= 1).any()
    garbage = [np.zeros_like(A), np.full_like(A, np.nan), rng.standard_normal(A.shape) * 1e300]
    for G in (guess, *garbage):
        assert (iterate(A, G).residual <= 64 * 6 * U * kappa(A)).all()


def test_singular_matrices_fail_honestly():
    A = np.ones((2, 3, 3)) / 4
    A[1] = 0.0
    assert (iterate(A).residual >= 0.5).all()
