"""Gauss-Jordan elimination, in lockstep over a stack: what is left where a network has no idea."""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.linalg.stack import Array

LARGEST_ORDER = 256
"""Beyond it rank-one updates cost more than the products of a recursion through butterflies."""


def eliminated(A: Array) -> Array:
    """Inverses of (k, n, n) matrices by Gauss-Jordan elimination with partial pivoting.

    Its residual is about n u kappa times a modest growth, where that of a recursion over explicit
    inverses of blocks can be u kappa^2. Singular matrices give infinities, NaN, or entries as large
    as if their pivots were rounding errors.

    Notes
    -----
    Cost: n^3 multiplications and additions, as one product, in n rank-one updates. A matrix's bits
    do not depend on its neighbours.

    References
    ----------
    Higham 2002, "Accuracy and Stability of Numerical Algorithms", 2nd ed., section 14.4.
    """
    M = A.copy()
    k, n = M.shape[:2]
    each = np.arange(k)
    order = np.tile(np.arange(n), (k, 1))
    update = np.empty_like(M)
    for j in range(n):
        pivot_row = j + np.abs(M[:, j:, j]).argmax(axis=1)
        for table in (M, order):
            table[each, j], table[each, pivot_row] = table[each, pivot_row], table[each, j].copy()
        pivot = M[:, j, j].copy()
        M[:, j, j] = 1.0
        M[:, j] /= pivot[:, None]
        factors = M[:, :, j].copy()
        factors[:, j] = 0.0
        M[:, :j, j] = 0.0
        M[:, j + 1 :, j] = 0.0
        np.multiply(factors[:, :, None], M[:, j, None, :], out=update)
        M -= update
    X = np.empty_like(M)
    np.put_along_axis(X, np.broadcast_to(order[:, None, :], X.shape), M, axis=2)
    return X
