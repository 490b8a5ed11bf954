"""Refinement converges, stops, keeps the best, and leaves neighbours alone."""

import warnings

import numpy as np
import pytest

from deepmatrixinversion.linalg.iteration import iterate_from_transpose, polish, refine
from deepmatrixinversion.linalg.scaling import normalise

U = 2.0**-53
ORDERS = [1, 2, 3, 4, 5, 8, 17]


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def sample(n, k=40, seed=0):
    rng = np.random.default_rng(seed + n)
    return normalise(rng.standard_normal((k, n, n)))[0], rng


def kappa(A):
    return np.linalg.norm(A, axis=(-2, -1)) * np.linalg.norm(np.linalg.inv(A), axis=(-2, -1))


@pytest.mark.parametrize("n", ORDERS)
def test_refinement_reaches_working_accuracy(n):
    A, _ = sample(n)
    X = np.linalg.inv(A) * (1 + 0.1 / n)
    result = refine(A, X)
    assert (result.residual <= 4 * n * U * kappa(A)).all()
    assert (result.steps <= 12).all()
    error = np.linalg.norm(result.X - np.linalg.inv(A), axis=(1, 2))
    assert (error <= 8 * n * U * kappa(A) * np.linalg.norm(result.X, axis=(1, 2))).all()


def test_never_worse_than_the_start():
    A, rng = sample(6)
    X = rng.standard_normal(A.shape) * 10.0 ** rng.uniform(-3, 3, (len(A), 1, 1))
    before = np.linalg.norm(np.eye(6) - A @ X, axis=(1, 2))
    result = refine(A, X)
    after = np.linalg.norm(np.eye(6) - A @ result.X, axis=(1, 2))
    assert (after <= before * (1 + 100 * U) + 100 * U * np.linalg.norm(X, axis=(1, 2))).all()


@pytest.mark.parametrize("n", ORDERS)
@pytest.mark.parametrize("function", ["refine", "polish", "transpose"])
def test_neighbours_are_undisturbed_bit_for_bit(n, function):
    A, rng = sample(n)
    X = np.linalg.inv(A) * (1 + rng.uniform(1e-9, 0.3 / n, (len(A), 1, 1)))
    call = {
        "refine": lambda A, X: refine(A, X).X,
        "polish": polish,
        "transpose": lambda A, X: iterate_from_transpose(A, X).X,
    }[function]
    clean = call(A, X)
    badA, badX = A.copy(), X.copy()
    badA[::3] = 0.0
    badX[::3] = np.nan
    badX[1::6] = 1e300
    dirty = call(badA, badX)
    untouched = np.setdiff1d(np.arange(len(A)), np.r_[0 : len(A) : 3, 1 : len(A) : 6])
    assert np.array_equal(dirty[untouched], clean[untouched])
    assert np.array_equal(call(A[5], X[5]), clean[5])
    assert np.array_equal(
        call(A[:30].reshape(5, 6, n, n), X[:30].reshape(5, 6, n, n))[1, 2], clean[8]
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e308])
def test_garbage_in_stays_where_it_is(bad):
    A, _ = sample(3, k=2)
    X = np.linalg.inv(A)
    X[0, 1, 1] = bad
    result = refine(A, X)
    assert not result.residual[0] < 1
    assert result.residual[1] < 1e-10


def test_tolerance_stops_early():
    A, _ = sample(8)
    X = np.linalg.inv(A) * 1.1
    result = refine(A, X, tol=1e-3)
    assert (result.residual <= 1e-3).all()
    assert (result.steps < refine(A, X).steps).all()
    measured = np.linalg.norm(np.eye(8) - A @ result.X, axis=(1, 2))
    assert (measured <= result.residual + 8 * U * 8 * kappa(A)).all()


def test_max_steps_is_kept():
    A, _ = sample(5)
    result = refine(A, np.linalg.inv(A) * 1.3, max_steps=1)
    assert (result.steps == 1).all()
    assert np.allclose(result.residual, 0.09 * np.sqrt(5), rtol=1e-6)


@pytest.mark.parametrize("n", ORDERS)
def test_polish_rounds_almost_correctly(n):
    A, _ = sample(n)
    X = refine(A, np.linalg.inv(A) * (1 + 1e-7)).X
    Y = polish(A, X)
    # A second pass in doubled precision moves nothing by more than a rounding of the entries.
    again = polish(A, Y)
    size = np.linalg.norm(Y, axis=(1, 2))
    assert (
        np.linalg.norm(again - Y, axis=(1, 2)) <= 2 * U * size * (1 + kappa(A) * 2.0**-20)
    ).all()


@pytest.mark.parametrize("n", ORDERS)
def test_the_transpose_needs_no_guess(n):
    A, rng = sample(n)
    result = iterate_from_transpose(A)
    assert (result.residual <= 16 * n * U * kappa(A)).all()
    Q = np.linalg.qr(rng.standard_normal((1, n, n)))[0]
    sigma = 10.0 ** -np.linspace(0, 10, n) if n > 1 else np.ones(1)
    B = normalise((Q * sigma) @ Q.swapaxes(1, 2))[0]
    hard = iterate_from_transpose(B)
    assert hard.residual[0] <= 100 * n * U * kappa(B)[0]


def test_a_wrong_guess_is_symmetrised():
    A, rng = sample(6)
    guess = np.linalg.inv(A) @ (np.eye(6) - 1.5 * np.eye(6)[:, :1] @ np.eye(6)[:1])
    assert (np.linalg.norm(np.eye(6) - A @ guess, axis=(1, 2)) >= 1).any()
    result = iterate_from_transpose(A, guess)
    assert (result.residual <= 64 * 6 * U * kappa(A)).all()
    garbage = [np.zeros_like(A), np.full_like(A, np.nan), rng.standard_normal(A.shape) * 1e300]
    for G in garbage:
        assert (iterate_from_transpose(A, G).residual <= 64 * 6 * U * kappa(A)).all()


def test_singular_matrices_fail_honestly():
    A = np.ones((2, 3, 3)) / 4
    A[1] = 0.0
    assert (iterate_from_transpose(A).residual >= 0.5).all()


def test_empty_stacks():
    for shape in [(0, 0), (2, 0, 0), (0, 3, 3), (2, 0, 5, 5)]:
        A = np.empty(shape)
        for result in (refine(A, A), iterate_from_transpose(A)):
            assert result.X.shape == shape
            assert result.residual.shape == result.steps.shape == shape[:-2]
        assert polish(A, A).shape == shape
