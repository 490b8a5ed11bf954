"""Residuals are as accurate as they claim, against rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest

from deepmatrixinversion.linalg.residual import residual, slice_bits, two_sum
from deepmatrixinversion.linalg.stack import Stack
from deepmatrixinversion.matrices.spectra import with_condition


def exact_residual(A, X):
    n = len(A)
    rows = [[Fraction(x) for x in row] for row in A]
    columns = [[Fraction(x) for x in column] for column in X.T]
    return [
        [Fraction(int(i == j)) - sum(map(Fraction.__mul__, rows[i], columns[j])) for j in range(n)]
        for i in range(n)
    ]


def spread_spectrum(rng, n, kappa):
    A = with_condition(rng, n, kappa)
    return A / (1.3 * np.linalg.norm(A))


def error_and_bound(A, X, slices):
    """Exact row sums of |r - R|, and what is claimed of them."""
    found = residual(Stack.of(A[None]), Stack.of(X[None]), slices)
    r, R = found.r.matrices()[0], exact_residual(A, X)
    n = len(A)
    errors = [sum(abs(Fraction(r[i, j]) - R[i][j]) for j in range(n)) for i in range(n)]
    return errors, found.delta.ravel()


@pytest.mark.parametrize("slices", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 12, 17])
def test_the_error_is_within_its_bound(n, slices):
    rng = np.random.default_rng(n)
    for kappa in (1e1, 1e6, 1e11) if n > 1 else (1.0,):
        A = spread_spectrum(rng, n, kappa)
        for X in (
            np.linalg.inv(A),
            np.linalg.inv(A) * (1 + rng.uniform(-1e-3, 1e-3, (n, n))),
            rng.standard_normal((n, n)) * 2.0 ** rng.integers(-80, 80, (n, n)),
            A * 2.0**-300,
        ):
            errors, bound = error_and_bound(A, X, slices)
            for error, limit in zip(errors, bound, strict=True):
                assert error <= Fraction(limit)


def test_each_slice_gains_its_bits():
    rng = np.random.default_rng(0)
    for n in (3, 8, 16):
        A = spread_spectrum(rng, n, 1e8)
        X = np.linalg.inv(A)
        sizes = [float(max(error_and_bound(A, X, s)[0])) for s in (1, 2, 3, 4)]
        assert sizes[1] < 2.0**-18 * sizes[0]
        assert sizes[2] < 2.0**-18 * sizes[1]


def test_slices_leave_room_for_their_sums():
    for n in range(1, 1 << 12):
        b = slice_bits(n)
        row = 2.0**b + n**0.5 / 2
        assert row * row < 2.0**53
        assert row * n**0.5 * 2.0 ** (b - 1) <= 2.0**53
        assert 3 * b >= 64  # what two slices leave is rounded below 2^-100 of the whole
        b = slice_bits(n, 4)
        assert n * 2.0 ** (2 * b - 2) <= 2.0**53


def test_two_sum_is_exact():
    rng = np.random.default_rng(1)
    a = rng.standard_normal(500) * 2.0 ** rng.integers(-60, 60, 500)
    b = rng.standard_normal(500) * 2.0 ** rng.integers(-60, 60, 500)
    for x, y, total, error in zip(a, b, *two_sum(a, b), strict=True):
        assert Fraction(x) + Fraction(y) == Fraction(total) + Fraction(error)
