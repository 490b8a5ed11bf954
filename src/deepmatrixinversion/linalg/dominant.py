r"""An inverse's error along its largest direction, removed in doubled precision for O(n^2).

An inverse corrected by a residual in working precision is off by Z (R - r), and that is large along
the dominant right singular vector v of Z, unless v^T (R - r) is small. LAPACK is now and then lucky
there: its errors of all columns share one factor. So

.. math:: w^T = v^T (I - A Z) = v^T - (v^T A) Z, \qquad Z \leftarrow Z + (Z v) w^T

with w in doubled precision, for some twenty passes over A and Z. It takes away what LAPACK may be
lucky with, and often most of the error: A^{-1} = Z (I - R)^{-1}, so with v^T v = 1 exactly the part
v v^T of Z R.

**Doubled precision.** v is rounded to multiples of 2^-26, A = A_1 + A_2 as in `residual`; v^T A_1
is exact, v^T A_2 rounded. Their sum y is split in the same way, and Z: y_1^T Z_1 is exact, and
what is left, y_1^T Z_2 + y_2^T Z, is 2^-26 of the whole.

**Bound.** None is needed for w: whatever it is, with g = fl(Z v) and Z' = fl(Z + g w^T),

.. math:: |A^{-1} - Z'| \le |A^{-1} - Z| + (1 + 2u) |g||w|^T + u (|Z| + |g||w|^T) + 4 \eta.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deepmatrixinversion import kernel
from deepmatrixinversion.linalg.halving import signs
from deepmatrixinversion.linalg.residual import leading, unit
from deepmatrixinversion.linalg.stack import Array, Stack

BITS = 26
SWEEPS = 2
"""Multiplications by Z^T Z that turn random signs into v."""


def improved(A: Array, Z: Array) -> tuple[Array, Array]:
    """Correct inverses (k, n, n), in place; g (k, n, 1) and w (k, 1, n).

    Cost: no products. A matrix's bits do not depend on its neighbours.
    """
    k, n = Z.shape[:2]
    v = np.broadcast_to(signs(n, 1), (k, n, 1))
    for _ in range(SWEEPS):
        v = np.matmul(Z.swapaxes(1, 2), np.matmul(Z, v))
        v /= np.abs(v).max(axis=1, keepdims=True)
    v = _rounded(v.swapaxes(1, 2) / np.sqrt(np.matmul(v.swapaxes(1, 2), v)))
    high, low = _times(v, None, A)
    y = _rounded(high + low)
    exact, rest = _times(y, (high - y) + low, Z)
    w = (v - exact) - rest
    # v is no longer quite of length 1.
    w /= np.matmul(v, v.swapaxes(1, 2))
    g = np.matmul(Z, v.swapaxes(1, 2))
    _by_blocks(n, lambda rows: np.add(Z[:, rows], g[:, rows] * w, out=Z[:, rows]))
    return g, w


def _rounded(v: Array) -> Array:
    """Row vectors (k, 1, n) with all but the leading bits removed."""
    size = np.frexp(np.sqrt(np.matmul(v, v.swapaxes(1, 2))))[1]
    shift = np.ldexp(1.5, size + (52 - BITS))
    return (v + shift) - shift


def _times(x: Array, rest: Array | None, M: Array) -> tuple[Array, Array]:
    """x M, doubly precise, plus rest M, for row vectors (k, 1, n): x M_1, exactly, and the rest.

    The compiled kernel has products without error instead, and needs no M_1.
    """
    if kernel.available():
        y = np.zeros_like(x) if rest is None else rest
        high, low = kernel.doubled_product(x[:, 0], y[:, 0], M)
        return high[:, None], low[:, None]
    units = unit(Stack(M, last=False))
    exact, rounded = np.zeros_like(x), np.zeros_like(x)

    def add(rows: slice) -> None:
        part = Stack(M[:, rows], last=False)
        first = leading(part, units, BITS).array
        exact[...] += np.matmul(x[:, :, rows], first)
        rounded[...] += np.matmul(x[:, :, rows], part.array - first)
        if rest is not None:
            rounded[...] += np.matmul(rest[:, :, rows], part.array)

    _by_blocks(x.shape[2], add)
    return exact, rounded


def _by_blocks(n: int, work: Callable[[slice], object]) -> None:
    """Do something with blocks of rows that stay in cache."""
    step = max(1, (1 << 15) // n)
    for start in range(0, n, step):
        work(slice(start, min(start + step, n)))
