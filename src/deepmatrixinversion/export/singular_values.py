"""Singular values and vectors by one-sided Jacobi of a fixed length."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepmatrixinversion.export.algebra import Value, concatenate, constant, where
from deepmatrixinversion.export.blocks import like, rows
from deepmatrixinversion.export.flat import LARGEST as LARGEST_FLAT
from deepmatrixinversion.export.flat import Product
from deepmatrixinversion.export.reflections import Reflection, orthogonal, triangular
from deepmatrixinversion.export.rotations import Rotations, sweeps
from deepmatrixinversion.export.scale import Scaled, nan_unless_finite, roundoff, scaled
from deepmatrixinversion.export.slices import product
from deepmatrixinversion.export.sorting import ordered

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
        return _rotated_flat(rotations, len(rounds), concatenate([Y, V], -2), n)
    for _ in rounds:
        J = rotations.of(Y.mT @ Y)
        Y, V = Y @ J, V @ J
    return Y, V


def _rotated_flat(rotations: Rotations, rounds: int, Z: Value, n: int) -> tuple[Value, Value]:
    """The same of Z, Y above V, entry by entry."""
    Z, first = Z.reshape(2, 1, 2 * n * n), np.eye(2 * n * n, n * n)
    gram = Product(
        (n, n, n), Z.dtype, turned=True, a=first, b=first, c=rotations.with_differences()
    )
    turn = Product((2 * n, n, n), Z.dtype, b=rotations.place)
    for _ in range(rounds):
        Z = turn(Z, rotations.cosines_and_sines(gram(Z, Z)))
    Z = Z.reshape(2, 2 * n, n)
    return rows(Z, 0, n), rows(Z, n, 2 * n)


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

    Values are more accurate than LAPACK's: an error of e in U and V makes one of e² in U A Vᵀ, and
    A V is computed in slices. U and V are orthogonal to rounding whatever the rank. With ``full``
    both are square. NaN where A is not finite.

    Notes
    -----
    For n <= m `sweeps` sweeps of n - 1 rounds, 20 operators each; 60 n operators before and after.
    """
    if m < n:
        V, values, UT = svd(A.mT, n, m, full=full)
        return UT.mT, values, V.mT
    given, _, _, norms, V = orthogonalised(A, m, n)
    _, P = ordered(norms.reshape(2, n), n, descending=True)
    V = _nearest(V, n) @ P
    # Householder's Q of orthogonal columns is those columns, up to rounding and signs, and
    # completes them where singular values are 0; R is diagonal up to rounding.
    R, found = triangular(product(given.S, V, n), m, n)
    diagonal = (R * np.eye(m, n)).sum((-2,), True)
    values, _ = ordered(abs(diagonal).reshape(2, n), n, descending=True)
    columns = m if full else n
    U = orthogonal(found, like(given.S, np.eye(m, n)) if columns == n else R.like(np.eye(m)))
    signs = where(diagonal < 0, constant(-1, A.dtype), 1) + (diagonal - diagonal)
    # Columns that complete it may have any sign.
    U = U * (signs if columns == n else signs.take([*range(n), *[0] * (m - n)], -1))
    return U, given.undone(values, 1), V.mT


def values(A: Value, m: int, n: int) -> Value:
    """The singular values (..., min(m, n)) alone, as accurate as LAPACK's, descending."""
    if m < n:
        return values(A.mT, n, m)
    given, _, _, norms, _ = orthogonalised(A, m, n)
    return given.undone(ordered(norms.reshape(2, n), n, descending=True)[0], 1)


def _nearest(V: Value, n: int) -> Value:
    """A step from nearly orthogonal V to the nearest orthogonal matrix."""
    return V @ (1.5 * np.eye(n) - 0.5 * (V.mT @ V))
