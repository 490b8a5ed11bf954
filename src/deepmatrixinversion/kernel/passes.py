"""Passes over large matrices: A V and |A| V, sums of squares, products of twice the precision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.kernel.state import compiled

Array = NDArray[np.float64]


def products(A: Array, V: Array) -> Array:
    """A V for C-contiguous (k, n, n) and few columns (k, n, m), faster than BLAS's."""
    return _few_columns(A, V, False)


def moduli(A: Array, V: Array) -> Array:
    """The moduli of A times V, likewise."""
    return _few_columns(A, V, True)


def _few_columns(A: Array, V: Array, of_moduli: bool) -> Array:
    out = np.empty(V.shape)
    compiled.few_columns_into(A, np.ascontiguousarray(V), out, of_moduli)
    return out


def squares(A: Array, v: Array) -> tuple[Array, Array]:
    """(A o A) v and 1^T (A o A), (k, n) each, for C-contiguous (k, n, n) and (k, n)."""
    rows, columns = np.empty(v.shape), np.empty(v.shape)
    compiled.squares_into(A, np.ascontiguousarray(v), rows, columns)
    return rows, columns


def doubled_product(x: Array, y: Array, A: Array) -> tuple[Array, Array]:
    """x^T A in doubled precision and y^T A added: high and low, (k, n) each.

    The two add up to the exact sum but for a few roundings of ``low``.
    """
    high, low = np.empty(x.shape), np.empty(x.shape)
    compiled.doubled_product_into(np.ascontiguousarray(x), np.ascontiguousarray(y), A, high, low)
    return high, low
