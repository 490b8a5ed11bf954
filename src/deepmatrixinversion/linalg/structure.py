"""Entries of an inverse that the pattern of zeros alone makes zero."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LARGEST_ORDER = 512
"""Largest order looked at: the closure takes up to log2 n products in float32."""


def reachable(A: NDArray) -> NDArray[np.bool_]:
    """Whether (A^-1)_ij may be other than zero, for nonsingular (k, n, n) matrices.

    By Cayley and Hamilton A^-1 is a polynomial in A, so (A^-1)_ij is zero unless a path leads from
    i to j in the graph that has an edge wherever A has an entry: exactly so for triangular and
    block triangular matrices, rigid motions, and all of these with rows and columns permuted alike.

    Notes
    -----
    Cost: up to log2 n products in float32, fewer as soon as everything is reached.
    """
    n = A.shape[-1]
    reach = (A != 0) | np.eye(n, dtype=bool)
    length = 1
    while length < n:
        paths = reach.astype(np.float32)
        further = np.matmul(paths, paths) > 0
        if further.all() or (further == reach).all():
            return further
        reach, length = further, 2 * length
    return reach
