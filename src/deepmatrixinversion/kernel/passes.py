"""Passes over large matrices, each entry touched once: |A| V, sums of squares, doubled products."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.kernel.state import compiled

Array = NDArray[np.float64]


def moduli(A: Array, V: Array) -> Array:
    """|A| V for C-contiguous (k, n, n) and (k, n, m); the order of summation is the kernel's."""
    out = np.empty(V.shape)
    compiled.moduli_into(A, np.ascontiguousarray(V), out)
    return out


def squares(A: Array, v: Array) -> tuple[Array, Array]:
    """(A o A) v and 1^T (A o A), (k, n) each, for C-contiguous (k, n, n) and (k, n)."""
    rows, columns = np.empty((2, *v.shape))
    compiled.squares_into(A, np.ascontiguousarray(v), rows, columns)
    return rows, columns


def doubled_product(x: Array, y: Array, A: Array) -> tuple[Array, Array]:
    """x^T A in doubled precision and y^T A added: high and low, (k, n) each.

    The two add up to the exact sum but for a few roundings of ``low``.
    """
    high, low = np.empty((2, *x.shape))
    compiled.doubled_product_into(np.ascontiguousarray(x), np.ascontiguousarray(y), A, high, low)
    return high, low
