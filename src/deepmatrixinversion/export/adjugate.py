"""Inverses of order 1 to 4 in closed form: cofactors over the determinant."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import numpy as np

from deepmatrixinversion.export.algebra import Value, constant, equilibrated, refined, where

LARGEST = 4
"""Beyond, cofactors cost more than elimination does, and cancel more."""
EXACT = 2
"""Up to here they are as exact as elimination on every spectrum."""


def inverse(A: Value, n: int, finite: bool = False) -> Value:
    """The inverse of each matrix, for order n <= 4.

    Where the determinant is 0 NaN, or with ``finite`` a finite matrix.

    Rows and columns are equilibrated by powers of two first, so that nothing overflows, and one
    Newton-Schulz step makes up for cancellation in the cofactors.

    Notes
    -----
    The relative error is about eps times kappa where one singular value is small, and up to
    eps times kappa^(n-1), before the Newton-Schulz step squares it, where all but one are.
    """
    if n > LARGEST:
        raise ValueError(f"the adjugate goes up to order {LARGEST}, not {n}")
    S, undone = equilibrated(A)
    flat = S.reshape(2, n**2)
    adjugate = _adjugate(flat, n)
    # det A = (row 0 of A) (column 0 of adj A).
    first = _take(adjugate, range(0, n**2, n)) if n > 1 else adjugate
    determinant = (_take(flat, range(n)) * first).sum((-1,), True)
    Y = adjugate / where(determinant.equals(0), 1 if finite else np.nan, determinant)
    Y = Y.reshape(1, n, n)
    return undone(refined(S, Y, n) if n > 1 else Y)


def _adjugate(flat: Value, n: int) -> Value:
    if n == 1:
        return constant([1], flat.dtype)
    if n == 2:
        return _take(flat, [3, 1, 2, 0]) * [1, -1, -1, 1]
    return _minors(flat, _cofactor_minors()) if n == 3 else _order_four(flat)


def _take(flat: Value, indices: Iterable[int]) -> Value:
    return flat.take(list(indices), -1)


def _minors(flat: Value, corners: list[tuple[int, int, int, int]]) -> Value:
    """Of each (p, q, s, t) the number flat[p] flat[t] - flat[q] flat[s], along the last axis."""
    p, q, s, t = (_take(flat, index) for index in zip(*corners, strict=True))
    return p * t - q * s


def _cofactor_minors() -> list[tuple[int, int, int, int]]:
    """Corners of the minors that are the adjugate's entries at order 3, signs included.

    Rows and columns taken cyclically give every cofactor its sign by their order.
    """
    corners = []
    for j in range(3):
        for i in range(3):  # entry (j, i) of the adjugate is the cofactor (i, j)
            r, rr, c, cc = (i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3
            corners.append((3 * r + c, 3 * r + cc, 3 * rr + c, 3 * rr + cc))
    return corners


def _order_four(flat: Value) -> Value:
    """The adjugate at order 4: products of entries and the minors of rows {0, 1} and {2, 3}."""
    pairs = list(combinations(range(4), 2))
    corners = [
        (4 * r + c, 4 * r + cc, 4 * (r + 1) + c, 4 * (r + 1) + cc)
        for r in (0, 2)
        for c, cc in pairs
    ]
    minors = _minors(flat, corners)
    entries, factors, signs = np.empty((3, 16), int), np.empty((3, 16), int), np.empty((3, 16))
    for j in range(4):
        for i in range(4):
            # The cofactor (i, j) expands along the row beside row i; the others are a pair.
            row, other_pair = i ^ 1, 6 * (i < 2)
            columns = [c for c in range(4) if c != j]
            for t, c in enumerate(columns):
                low, high = (k for k in columns if k != c)
                # The row is first of the three remaining where i < 2, and last otherwise.
                sign = (-1) ** (i + j + t)
                entries[t, 4 * j + i] = 4 * row + c
                factors[t, 4 * j + i] = other_pair + pairs.index((low, high))
                signs[t, 4 * j + i] = sign
    first, second, third = (
        _take(flat, entries[t]) * signs[t] * _take(minors, factors[t]) for t in range(3)
    )
    return first + second + third
