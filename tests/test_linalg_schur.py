"""Block recursion inverts any order over a small, inaccurate leaf."""

import warnings

import numpy as np
import pytest

from deepmatrixinversion.linalg.engine import invert
from deepmatrixinversion.linalg.newton import from_transpose, newton_schulz
from deepmatrixinversion.linalg.scaling import normalise
from deepmatrixinversion.linalg.schur import block_inverse, guess_inverse, pad, through_butterfly
from deepmatrixinversion.linalg.stack import Stack
from deepmatrixinversion.matrices.spectra import with_condition

U = 2.0**-53


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def leaf(A):
    """A classical iteration with the accuracy of float32 at best."""
    with np.errstate(all="ignore"):
        S = Stack.of(A)
        X = newton_schulz(S, from_transpose(S, Stack.of(np.zeros_like(A)))).X.matrices()
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
    "orthogonal": with_condition(np.random.default_rng(1), 33, 1.0),
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
    A = MENAGERIE[name]
    result = invert(A, leaf, m)
    assert result.certificate.certified
    # The last rounding of each entry, and next to nothing beside it.
    assert result.certificate.relative_error_bound <= 1.125 * U


@pytest.mark.parametrize("m", [2, 4])
def test_butterflies_need_no_leading_block(m):
    A, _ = normalise(np.stack([swap(20), np.eye(20)[::-1]]))
    with np.errstate(all="ignore"):
        plain = block_inverse(A, leaf, m)
        X, again = (
            through_butterfly(A, lambda S: block_inverse(S, leaf, m), seed=3) for _ in range(2)
        )
    assert not np.isfinite(plain).all()
    assert np.abs(A @ X - np.eye(20)).max() < 1e-8
    assert np.array_equal(X, again)


def test_stacks_keep_good_and_bad_apart():
    A = np.random.default_rng(5).standard_normal((2, 3, 20, 20))
    clean = invert(A, leaf, 4)
    assert clean.certificate.certified.all()
    B = A.copy()
    B[0, 1] = swap(20) / 8  # goes through the butterfly
    B[1, 2] = 0.0  # cannot be inverted at all
    dirty = invert(B, leaf, 4)
    assert dirty.certificate.certified.tolist() == [[True] * 3, [True, True, False]]
    for index in [(0, 0), (0, 2), (1, 0), (1, 1)]:
        assert np.array_equal(dirty.inverse[index], clean.inverse[index])


def test_a_useless_leaf_costs_time_only():
    A = np.random.default_rng(6).standard_normal((1, 12, 12))
    assert invert(A, np.zeros_like, 4).certificate.certified.all()


def test_padding_changes_nothing_but_the_order():
    A, _ = normalise(np.random.default_rng(7).standard_normal((5, 3, 3)))
    padded = pad(A, 8)
    assert np.array_equal(padded[:, :3, :3], A)
    X = guess_inverse(A, lambda S: np.linalg.inv(S).astype(float), 8)
    assert np.abs(X @ A - np.eye(3)).max() < 1e-10
    assert pad(A, 3) is A


def test_block_inverse_of_badly_scaled_blocks():
    rng = np.random.default_rng(8)
    A = rng.standard_normal((1, 16, 16)) * (10.0 ** rng.uniform(-3, 3, 16))[:, None]
    X = block_inverse(A, leaf, 4)
    assert np.abs(np.eye(16) - A @ X).max() < 1e-2
