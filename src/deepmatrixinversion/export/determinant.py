"""Determinants from the pivots of Gaussian elimination, unrolled column by column."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepmatrixinversion.export.algebra import (
    Value,
    concatenate,
    constant,
    integers,
    op,
    where,
)
from deepmatrixinversion.export.scale import nan_unless_finite


class Pivots(NamedTuple):
    """Of each matrix its pivots (..., n), and 1 or -1 for an even or odd permutation (...)."""

    pivots: Value
    parity: Value


def eliminated(A: Value, n: int) -> Pivots:
    """Gaussian elimination with partial pivoting; pivots are NaN where A is not finite.

    Where no pivot is left it is 0, and the rows stay as they are.

    Notes
    -----
    Rows stay where they are: each step picks its pivot among the rows not yet used by a mask. 16
    operators a step, n³/2 multiplications in all.
    """
    S, rows, pivots, places = A, integers(np.arange(n)[:, None]), [], []
    used = constant(np.zeros((n, 1)), np.dtype(bool))
    for j in range(n):
        column = S.take(0, -1)
        place = op.ArgMax(where(used, constant(-1, A.dtype), abs(column)).node, axis=-2, keepdims=1)
        places.append(Value(place, np.dtype(np.int64), A.rank))
        chosen = Value(op.Equal(rows, place), np.dtype(bool), A.rank)
        unit = where(chosen, constant(1, A.dtype), 0)
        pivot = unit.mT @ column
        pivots.append(pivot)
        if j + 1 < n:
            used = used | chosen
            rest = S.take(np.arange(1, n - j), -1)
            factor = where(used, constant(0, A.dtype), column) / where(pivot.equals(0), 1, pivot)
            S = rest - factor @ (unit.mT @ rest)
    spoiled = nan_unless_finite(A).reshape(2, 1)
    return Pivots(concatenate(pivots, -1).reshape(2, n) + spoiled, _parity(places, n, A.dtype))


def _parity(places: list[Value], n: int, dtype: np.dtype) -> Value:
    """1 for an even permutation, -1 for an odd one: by the number of inversions."""
    order = concatenate(places, -2)
    below = constant(np.tri(n, k=-1), np.dtype(bool))
    inverted = where((order < order.mT) & below, constant(1, dtype), 0)
    rows = _remainder(inverted.sum((-1,), False))  # whose sum no float16 need hold
    return 1 - 2 * _remainder(rows.sum((-1,), False))


def _remainder(count: Value) -> Value:
    """A count modulo 2."""
    half = count / 2
    return 2 * (half - half.of(op.Floor(half.node)))


def sign_and_logarithm(A: Value, n: int) -> tuple[Value, Value]:
    """The sign of each determinant and the logarithm of its magnitude: 0 and -inf for 0."""
    pivots, parity = eliminated(A, n)
    sign = parity
    for factor in _each(pivots.of(op.Sign(pivots.node)), n):
        sign = sign * factor
    return sign, pivots.of(op.Log(abs(pivots).node)).sum((-1,), False)


def determinant(A: Value, n: int) -> Value:
    """The determinant of each matrix."""
    pivots, parity = eliminated(A, n)
    product = parity
    for pivot in _each(pivots, n):
        product = product * pivot
    return product


def _each(pivots: Value, n: int) -> list[Value]:
    """The pivots one by one. ReduceProd does not survive the exporter's conversion to opset 17."""
    return [
        pivots.of(op.Gather(pivots.node, integers(j), axis=-1), pivots.rank - 1) for j in range(n)
    ]
