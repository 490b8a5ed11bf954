"""Families of matrices that the kernel's bounds are held against, and exact inverses of them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np


def bits(result):
    """What must not change."""
    return [np.asarray(field).tobytes() for field in result]


def exact_inverse(A):
    """The inverse in fractions, None for a singular matrix."""
    n = len(A)
    M = [
        [Fraction(float(x)) for x in row] + [Fraction(i == j) for j in range(n)]
        for i, row in enumerate(A)
    ]
    for k in range(n):
        pivot = next((i for i in range(k, n) if M[i][k]), None)
        if pivot is None:
            return None
        M[k], M[pivot] = M[pivot], M[k]
        d = M[k][k]
        M[k] = [x / d for x in M[k]]
        for i in range(n):
            f = M[i][k]
            if i != k and f:
                M[i] = [x - f * y for x, y in zip(M[i], M[k], strict=True)]
    return [row[n:] for row in M]


def norm(M):
    return max(sum(map(abs, row)) for row in M)


def check_against_fractions(A, result, where):
    """Every bound of a result holds, in fractions."""
    for k, (a, x) in enumerate(zip(A, result.inverse, strict=True)):
        if not np.isfinite(result.error_bound[k]):
            assert not result.finished[k], where
            assert np.isnan(x).all(), where
            continue
        true = exact_inverse(a)
        assert true is not None, (where, "proven though singular", a)
        assert np.isfinite(x).all(), where
        if result.finished[k]:
            assert result.relative_error_bound[k] <= (2.0**-50 if x.dtype == float else 2.0**-21)
        n = len(a)
        X = [[Fraction(float(v)) for v in row] for row in x]
        error = norm([[true[i][j] - X[i][j] for j in range(n)] for i in range(n)])
        assert error <= Fraction(float(result.error_bound[k])), (where, k, a.tolist())
        assert error <= Fraction(float(result.relative_error_bound[k])) * norm(X), where
        B = [[Fraction(float(v)) for v in row] for row in a]
        for L, R in ((X, B), (B, X)):
            residual = norm(
                [
                    [sum(L[i][q] * R[q][j] for q in range(n)) - (i == j) for j in range(n)]
                    for i in range(n)
                ]
            )
            bound = float(result.residual_bound[k])
            assert bound == np.inf or residual <= Fraction(bound), where


def random(n, rng):
    return rng.standard_normal((n, n))


def rows_graded(n, rng):
    return rng.standard_normal((n, n)) * 10.0 ** rng.uniform(-8, 8, (n, 1))


def columns_graded(n, rng):
    return rng.standard_normal((n, n)) * 10.0 ** rng.uniform(-8, 8, (1, n))


def near_singular(n, rng):
    A = rng.standard_normal((n, n))
    A[:, 0] = A[:, 1:].sum(axis=1) + 10.0 ** rng.uniform(-14, -1) * rng.standard_normal(n)
    return A


def permutation(n, rng):
    return np.eye(n)[rng.permutation(n)] * rng.uniform(0.5, 2, n)


def any_scale(n, rng):
    return rng.standard_normal((n, n)) * 2.0 ** rng.integers(-1000, 990)


def wide_diagonal(n, rng):
    return np.diag(np.ldexp(rng.uniform(1, 2, n), rng.integers(-1074, -1015, n)))


def small_integers(n, rng):
    return rng.integers(-3, 4, (n, n)).astype(float)


def triangular(n, rng):
    return np.tril(rng.standard_normal((n, n))) * 10.0 ** rng.uniform(-3, 3)


def extremes(n, rng):
    return np.ldexp(
        rng.choice([-1.0, 1.0], (n, n)) * rng.uniform(1, 2, (n, n)),
        rng.choice([-1074, -1022, -600, 0, 0, 0, 600, 1023], (n, n)),
    )


def nearly_two(n, rng):
    """Entries whose sums come as close as they can to what the split allows."""
    H = np.ones((1, 1))
    while len(H) < n:
        H = np.block([[H, H], [H, -H]])
    return H[:n, :n] * (2 - rng.integers(1, 4, (n, n)) * 2.0**-52) + np.eye(n) * 2.0**-9


FAMILIES = [
    random,
    rows_graded,
    columns_graded,
    near_singular,
    permutation,
    any_scale,
    wide_diagonal,
    small_integers,
    triangular,
    extremes,
    nearly_two,
]
