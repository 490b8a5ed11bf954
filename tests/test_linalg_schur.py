"""Block recursion inverts any order over a small, inaccurate leaf."""

import warnings

import numpy as np
import pytest

from deepmatrixinversion.linalg.iteration import iterate_from_transpose
from deepmatrixinversion.linalg.scaling import normalise
from deepmatrixinversion.linalg.schur import block_inverse, guess_inverse, invert_large, pad

U = 2.0**-53


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def leaf(A):
    """A classical iteration with the accuracy of float32 at best."""
    X = iterate_from_transpose(A).X
    with np.errstate(all="ignore"):
        return X.astype(np.float32).astype(np.float64)


def swap(n):
    h = n // 2
    A = np.eye(n)
    A[: 2 * h, : 2 * h] = np.roll(np.eye(2 * h), h, axis=0)
    return A


def companion(n):
    A = np.diag(np.ones(n - 1), -1)
    A[:, -1] = np.random.default_rng(n).uniform(0.5, 1, n)
    return A


def frank(n):
    i = np.arange(n)
    A = n - np.maximum(i[:, None], i).astype(float)
    A[i[:, None] > i + 1] = 0.0
    return A


def kahan(n, theta=1.2):
    s, c = np.sin(theta), np.cos(theta)
    return np.diag(s ** np.arange(n)) @ (np.eye(n) - c * np.triu(np.ones((n, n)), 1))


def pascal(n):
    A = np.ones((n, n))
    for i in range(1, n):
        for j in range(1, n):
            A[i, j] = A[i - 1, j] + A[i, j - 1]
    return A


MENAGERIE = {
    "identity": np.eye(20),
    "swap": swap(24),
    "swap, odd": swap(25),
    "permutation": np.eye(40)[np.random.default_rng(0).permutation(40)],
    "orthogonal": np.linalg.qr(np.random.default_rng(1).standard_normal((33, 33)))[0],
    "companion": companion(21),
    "Frank": frank(9),
    "Kahan": kahan(30),
    "Pascal": pascal(9),
    "uniform": np.random.default_rng(2).uniform(-1, 1, (50, 50)),
    "normal": np.random.default_rng(3).standard_normal((61, 61)),
    "zero leading block": np.block([[np.zeros((8, 8)), np.eye(8)], [np.eye(8), np.ones((8, 8))]]),
}


@pytest.mark.parametrize("m", [3, 8])
@pytest.mark.parametrize("name", MENAGERIE)
def test_menagerie(name, m):
    A, _ = normalise(MENAGERIE[name])
    n = len(A)
    result = invert_large(A, leaf, m, tol=0.0)
    kappa = np.linalg.norm(A) * np.linalg.norm(np.linalg.inv(A))
    assert result.residual <= 4 * n * U * kappa
    assert np.linalg.norm(result.X @ A - np.eye(n)) <= 5 * n * U * kappa


def test_stacks_keep_good_and_bad_apart():
    rng = np.random.default_rng(5)
    A, _ = normalise(rng.standard_normal((2, 3, 20, 20)))
    clean = invert_large(A, leaf, 4)
    assert clean.X.shape == A.shape
    assert (clean.residual < 1e-4).all()
    B = A.copy()
    B[0, 1] = swap(20) / 8  # goes through the butterfly
    B[1, 2] = 0.0  # cannot be inverted at all
    dirty = invert_large(B, leaf, 4)
    assert dirty.residual[0, 1] < 1e-4
    assert not dirty.residual[1, 2] < 1
    untouched = [(0, 0), (0, 2), (1, 0), (1, 1)]
    for index in untouched:
        assert np.array_equal(dirty.X[index], clean.X[index])


def test_the_certified_residual_is_the_small_one():
    rng = np.random.default_rng(9)
    left, right = np.linalg.qr(rng.standard_normal((2, 150, 150)))[0]
    A, _ = normalise((left * np.geomspace(1, 1e-9, 150)) @ right)
    X = invert_large(A, leaf, 8, tol=0.0).X
    kappa = np.linalg.norm(A) * np.linalg.norm(X)
    assert np.linalg.norm(X @ A - np.eye(150)) <= 4 * U * kappa


def test_a_seed_repeats_itself():
    A, _ = normalise(swap(30))
    one, two = (invert_large(A, leaf, 4, seed=9).X for _ in range(2))
    assert np.array_equal(one, two)


def test_a_useless_leaf_costs_time_only():
    A, _ = normalise(np.random.default_rng(6).standard_normal((1, 12, 12)))
    result = invert_large(A, np.zeros_like, 4, tol=0.0)
    assert result.residual[0] < 1e-10


def test_padding_changes_nothing_but_the_order():
    A, _ = normalise(np.random.default_rng(7).standard_normal((5, 3, 3)))
    padded = pad(A, 8)
    assert np.array_equal(padded[:, :3, :3], A)
    X = guess_inverse(A, np.linalg.inv, 8)
    assert np.abs(X @ A - np.eye(3)).max() < 1e-10
    assert pad(A, 3) is A


def test_block_inverse_of_badly_scaled_blocks():
    rng = np.random.default_rng(8)
    A = rng.standard_normal((1, 16, 16)) * (10.0 ** rng.uniform(-3, 3, 16))[:, None]
    X = block_inverse(A, leaf, 4)
    assert np.abs(np.eye(16) - A @ X).max() < 1e-2


def test_empty():
    for shape in [(0, 0), (2, 0, 0), (0, 9, 9)]:
        result = invert_large(np.empty(shape), leaf, 4)
        assert result.X.shape == shape
        assert result.residual.shape == shape[:-2]
