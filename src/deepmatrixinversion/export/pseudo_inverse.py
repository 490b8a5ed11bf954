"""Pseudo-inverses by one-sided Jacobi, polished by residuals in twice the precision."""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.export.algebra import (
    Value,
    concatenate,
    constant,
    floor_power,
    size,
    where,
)
from deepmatrixinversion.export.reflections import Reflection, orthogonal
from deepmatrixinversion.export.singular_values import orthogonalised
from deepmatrixinversion.export.slices import difference, skew
from deepmatrixinversion.export.sorting import ordered

LARGEST = 16
"""Up to this many rows or columns pseudo-inverses are computed so, and beyond by iteration, whose
graph has a tenth of the nodes there: those of Jacobi grow with n log n."""

POLISHED = 32
"""Most rows of matrices whose pseudo-inverses are polished: beyond, products of as many rows and
columns would be most of the work."""


def pseudo_inverse(
    A: Value, m: int, n: int, atol: float | None = None, rtol: float | None = None
) -> Value:
    """Moore-Penrose inverses (..., n, m), small singular values counting as 0.

    Those are small that are no larger than ``atol`` or ``rtol`` times the largest, by default
    max(m, n) eps times, unless an ``atol`` is given: the rule of PyTorch and NumPy.

    Those of matrices of full rank are right within a few u and n (κ u)², up to 32 rows and columns,
    others within κ u as LAPACK's are.
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
    X = orthogonal(outer, XT).mT
    return given.inverted(_polished(given.S, X, m, n, outer) if m <= POLISHED else X)


def _below_zeros(U: Value, count: int) -> Value:
    """U with rows of zeros below, which are not finite where U is not."""
    return concatenate([U, U.take([0] * count, -2) * 0], -2)


def _polished(S: Value, X: Value, m: int, n: int, outer: list[Reflection]) -> Value:
    """X, n <= m, after a step that squares its error; for deficient rank only part of it.

    Let X be S⁺ + E + F, where the rows of E are in the range of S and those of F orthogonal to it.
    Then (I - X S) X = -E for S of full rank, and without E the part of X (S X - (S X)ᵀ) outside
    that range is F.
    """
    c = floor_power(size(X, (-2, -1)))
    residual = difference(constant(np.eye(n), S.dtype) / c, X / c, S, m) * c
    X = _plus(X, residual @ X)
    if m == n:
        return X
    F = (X @ (skew(S, X / c, m) * c)).mT
    # Within the range no more than F's rounding may be left, which is not as small there as E.
    for reflect in outer:
        F = reflect(F)
    F = orthogonal(outer, F * (np.arange(m)[:, None] >= n))
    return _plus(X, -1 * F.mT)


def _plus(X: Value, step: Value) -> Value:
    """X after a step, where that is small."""
    small = (step * step).sum((-2, -1), True) < (X * X).sum((-2, -1), True) * 0.25
    return X + where(small, step, 0)
