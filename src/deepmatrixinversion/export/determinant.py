"""Determinants from the pivots of elimination, as mantissas and exponents.

A product of pivots leaves the range of floating point long before the determinant does where rows
or columns are of different units: here only its exponent, a sum, grows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from deepmatrixinversion.export.algebra import (
    Value,
    concatenate,
    constant,
    exponent,
    op,
    power_of_two,
    size,
    where,
)
from deepmatrixinversion.export.blocks import diagonal, widths
from deepmatrixinversion.export.lu import PANEL, eliminated

BETWEEN = 6
"""Numbers of magnitude 1 to 2 are multiplied in 2^6 = 64 before they are brought there again."""


class Parts(NamedTuple):
    """Each number as m 2^e: ``m`` 0, NaN or of magnitude 1 to 2, ``e`` whole, of the dtype of m."""

    m: Value
    e: Value


def parts(x: Value) -> Parts:
    """Of numbers within the range of floating point."""
    e = exponent(abs(x))
    return Parts(x / power_of_two(e), e)


def determinant_in_parts(A: Value, n: int) -> Parts:
    """The determinant of each matrix, 0 where a pivot is 0, NaN where A is not finite.

    Notes
    -----
    Elimination with partial pivoting, n steps of 11 operators in panels of 8 columns, on rows that
    are scaled by powers of two. Scaled columns would change no pivot. By cofactors at order 2,
    where they are as accurate.
    """
    steps = 2.0 ** math.ceil(math.log2(n))  # so that no sum overflows
    sums = size(A / steps, (-1,))
    rows = exponent(sums)
    S = A / power_of_two(rows) / steps
    m, e = _by_cofactors(S) if n == 2 else _by_elimination(S, n)
    spoiled = (sums - sums).sum((-2, -1), False)
    return Parts(m + spoiled, e + rows.sum((-2, -1), False) + n * math.log2(steps))


def _by_cofactors(S: Value) -> Parts:
    entries = S.reshape(2, 4)
    products = entries.take([0, 1], -1) * entries.take([3, 2], -1)
    return parts((products * np.array([1.0, -1.0])).sum((-1,), False))


def _by_elimination(S: Value, n: int) -> Parts:
    panels, pivots, left = eliminated(S, n, permuted=False), [], n
    for panel, width in zip(panels, widths(n, PANEL), strict=True):
        pivots.append(diagonal(panel.U, width, left))
        left -= width
    m, e = parts(concatenate(pivots, -1))
    m, more = _product(m, n)
    parity = _parity(concatenate([panel.P for panel in panels], -2), n)
    return Parts(m.reshape(1) * parity, e.sum((-1,), False) + more.reshape(1))


def _product(m: Value, n: int) -> Parts:
    """The product of numbers (..., n), of magnitude 1 to 2 or 0, (..., 1), by halves."""
    e, levels = m.take([0], -1) * 0, 0
    while n > 1:
        half = n // 2
        paired = m.take(np.arange(half), -1) * m.take(np.arange(half, 2 * half), -1)
        m = concatenate([paired, m.take([n - 1], -1)], -1) if n % 2 else paired
        n, levels = n - half, levels + 1
        if levels % BETWEEN == 0:
            m, found = parts(m)
            e = e + found.sum((-1,), True)
    m, found = parts(m)
    return Parts(m, e + found)


def _parity(P: Value, n: int) -> Value:
    """1 for an even permutation matrix, -1 for an odd one: by the number of inversions."""
    order = P @ np.arange(float(n))[:, None]
    below = constant(np.tri(n, k=-1), np.dtype(bool))
    inverted = where((order < order.mT) & below, constant(1, P.dtype), 0)
    rows = _remainder(inverted.sum((-1,), False))  # whose sum no float16 need hold
    return 1 - 2 * _remainder(rows.sum((-1,), False))


def _remainder(count: Value) -> Value:
    """A count modulo 2."""
    half = count / 2
    return 2 * (half - half.of(op.Floor(half.node)))


def sign_and_logarithm(A: Value, n: int) -> tuple[Value, Value]:
    """The sign of each determinant and the logarithm of its magnitude: 0 and -inf for 0."""
    m, e = determinant_in_parts(A, n)
    return m.of(op.Sign(m.node)), m.of(op.Log(abs(m).node)) + e * math.log(2)


def determinant(A: Value, n: int) -> Value:
    """The determinant of each matrix."""
    m, e = determinant_in_parts(A, n)
    # In three powers of two, none of them infinite: 0 times infinity would be NaN.
    largest = 3 * (np.finfo(A.dtype).maxexp - 8)
    e = where(e > largest, largest, e)
    third = e.of(op.Floor((e / 3).node))
    once = power_of_two(third)
    return m * once * once * power_of_two(e - 2 * third)
