"""Singular values and vectors, and pseudo-inverses, by one-sided Jacobi of a fixed length."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepmatrixinversion.export.algebra import Value, concatenate, constant, where
from deepmatrixinversion.export.flat import LARGEST as LARGEST_FLAT
from deepmatrixinversion.export.flat import Products, flat
from deepmatrixinversion.export.reflections import Reflection, orthogonal, triangular
from deepmatrixinversion.export.rotations import Rotations, sweeps
from deepmatrixinversion.export.scale import Scaled, nan_unless_finite, roundoff, scaled
from deepmatrixinversion.export.sorting import ordered

LARGEST = 16
"""Up to this many rows or columns pseudo-inverses are computed so, and beyond by iteration, whose
graph has a tenth of the nodes there: those of Jacobi grow with n log n."""

CONVERGED = 16
"""How many times n eps, relative to the largest singular value, the columns may miss orthogonality
by in the end; they miss it by 0.3 to 1 of one n eps. Where it is more the answer is NaN."""


class Orthogonalised(NamedTuple):
    """A = c Q Y Vᵀ of matrices no wider than tall, Y (..., n, n) with orthogonal columns.

    Attributes
    ----------
    given : Scaled
        A, with c.
    outer : list of Reflection
        Q, of which the first n columns are meant.
    Y, norms, V : Value
        the columns, their norms (..., 1, n) and the orthogonal V (..., n, n)
    """

    given: Scaled
    outer: list[Reflection]
    Y: Value
    norms: Value
    V: Value


def orthogonalised(A: Value, m: int, n: int) -> Orthogonalised:
    """One-sided Jacobi on the rows of A's triangular factor's triangular factor.

    That order, with columns sorted by their norms first, is nearly diagonal where singular values
    are far apart, for which Jacobi on A itself takes twice as many sweeps.

    References
    ----------
    Drmač & Veselić 2008, "New fast and accurate Jacobi SVD algorithm", SIAM J. Matrix Anal. 29
    """
    given = scaled(A, m, n)
    S = given.S
    _, V = ordered((S * S).sum((-2,), False), n, descending=True)
    S, outer = triangular(S @ V, m, n)
    L = S.take(np.arange(n), -2).mT
    # L = Q R, so that A V = outer Rᵀ Qᵀ.
    R, inner = triangular(L, n, n)
    Y, V = R.mT, V @ orthogonal(inner, L * 0 + np.eye(n))
    Y, V = _rotated(Y, V, n)
    norms = (Y * Y).sum((-2,), True) ** 0.5
    spoiled = nan_unless_finite(A) + _nan_unless_orthogonal(Y, norms, n)
    return Orthogonalised(given, outer, Y + spoiled, norms + spoiled, V + spoiled)


def _rotated(Y: Value, V: Value, n: int) -> tuple[Value, Value]:
    """Y J and V J, where J makes Y's columns orthogonal."""
    rotations = Rotations(n, Y.dtype)
    rounds = range(sweeps(n, Y.dtype) * rotations.rounds)
    if n <= LARGEST_FLAT:
        products, Y, V = Products(n, Y.dtype), flat(Y, n), flat(V, n)
        for _ in rounds:
            J = rotations.flat(products.of(Y, Y, turned=True))
            Y, V = products.of(Y, J), products.of(V, J)
        return Y.reshape(2, n, n), V.reshape(2, n, n)
    for _ in rounds:
        J = rotations.of(Y.mT @ Y)
        Y, V = Y @ J, V @ J
    return Y, V


def _nan_unless_orthogonal(Y: Value, norms: Value, n: int) -> Value:
    """NaN where U Σ Vᵀ differs from A by more than rounding, else 0; (..., 1, 1)."""
    # Of a pair of columns the larger norm divides: what is left is the error that it makes.
    divisor = where(norms > norms.mT, norms, norms.mT)
    parts = (Y.mT @ Y) * (1 - np.eye(n)) / where(divisor > 0, divisor, 1)
    error = (parts * parts).sum((-2, -1), True) ** 0.5
    size = (Y * Y).sum((-2, -1), True) ** 0.5
    bound = size * (CONVERGED * n * roundoff(size * 0))
    return where(error > bound, constant(np.nan, Y.dtype), 0)


def svd(A: Value, m: int, n: int, *, full: bool) -> tuple[Value, Value, Value]:
    """U, the singular values (..., min(m, n)) in descending order, and Vᵀ, A = U Σ Vᵀ.

    As accurate as LAPACK's: relative to the largest singular value. U and V are orthogonal to
    rounding whatever the rank. With ``full`` both are square. NaN where A is not finite.

    Notes
    -----
    For n <= m `sweeps` sweeps of n - 1 rounds, 22 operators each; 57 n operators before and after.
    """
    if m < n:
        V, values, UT = svd(A.mT, n, m, full=full)
        return UT.mT, values, V.mT
    given, outer, Y, norms, V = orthogonalised(A, m, n)
    values, P = ordered(norms.reshape(2, n), n, descending=True)
    # Householder's Q of orthogonal columns is those columns, up to rounding and signs, and
    # completes them where singular values are 0.
    columns = Y / where(norms > 0, norms, 1) @ P
    R, inner = triangular(columns, n, n)
    signs = where((R * np.eye(n)).sum((-2,), True) < 0, constant(-1, A.dtype), 1)
    U = orthogonal(inner, columns * 0 + np.eye(n)) * signs
    if m > n:
        U = _below_zeros(U, m - n)
        if full:
            rest = np.eye(m)[:, n:]
            U = concatenate([U, (U.take([0], -1) * 0) + rest], -1)
    return orthogonal(outer, U), given.undone(values, 1), (_nearest(V, n) @ P).mT


def _nearest(V: Value, n: int) -> Value:
    """A step from nearly orthogonal V to the nearest orthogonal matrix."""
    return V @ (1.5 * np.eye(n) - 0.5 * (V.mT @ V))


def _below_zeros(U: Value, rows: int) -> Value:
    """U with rows of zeros below, which are not finite where U is not."""
    return concatenate([U, U.take([0] * rows, -2) * 0], -2)


def pseudo_inverse(
    A: Value, m: int, n: int, atol: float | None = None, rtol: float | None = None
) -> Value:
    """Moore-Penrose inverses (..., n, m), small singular values counting as 0.

    Those are small that are no larger than ``atol`` or ``rtol`` times the largest, by default
    max(m, n) eps times, unless an ``atol`` is given: the rule of PyTorch and NumPy.
    """
    if m < n:
        return pseudo_inverse(A.mT, n, m, atol, rtol).mT
    if rtol is None:
        rtol = 0 if atol else m * float(np.finfo(A.dtype).eps)
    given, outer, Y, norms, V = orthogonalised(A, m, n)
    values, _ = ordered(norms.reshape(2, n), n, descending=True)
    cut = values.take([0], -1).reshape(1, 1, 1) * rtol
    if atol:
        limit = given.inverted(constant(atol, A.dtype))
        cut = where(cut > limit, cut, limit)
    counts = norms > cut
    XT = Y * (where(counts, constant(1, A.dtype), norms * 0) / where(counts, norms * norms, 1))
    XT = XT @ V.mT
    if m > n:
        XT = _below_zeros(XT, m - n)
    return given.inverted(orthogonal(outer, XT).mT)
