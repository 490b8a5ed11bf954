r"""Pseudo-inverses of matrices of full rank by certified inverses, where these are small.

A regular matrix's pseudo-inverse is its inverse. For A (p, q), p < q, of rank p

.. math:: A^+ = A^T (A A^T)^{-1},

where the Gram matrix's rounding costs p u kappa^2, relative; steps X <- X (2I - A X) with the
residual in doubled precision square that and stay in the row space of A. X is there to the last
rounding, because the product with A^T is computed in slices (`residual`). Rank p is certain where
1/‖A^-1‖F or 1/‖(A A^T)^-1‖F^(1/2), at most the smallest singular value, is far above what counts
as zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion import kernel
from deepmatrixinversion.linalg.compiled import serves
from deepmatrixinversion.linalg.residual import residual, slice_bits
from deepmatrixinversion.linalg.solution import Split
from deepmatrixinversion.linalg.stack import Array, Stack

FAR = 8.0
"""Times the tolerance that the smallest singular value must be, for rank to be sure."""

LARGEST_CONDITION = 2.0**32
"""Of a Gram matrix: two steps then leave (p u kappa^2)^4 of its rounding, below 2^-60."""

ONE_STEP = 2.0**16
"""Condition up to which one step is enough."""


def full_rank_inverses(A: Array, rtol: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Pseudo-inverses of (k, p, q) matrices, p <= q, and where they are certainly those, (k,).

    Nothing is where the compiled kernel does not serve, or the smallest singular value is not far
    above ``rtol`` times the largest.
    """
    k, p, q = A.shape
    if not (serves(p) and kernel.usual_environment()):
        return np.zeros((k, q, p)), np.zeros(k, dtype=bool)
    with np.errstate(all="ignore"):
        return _by_kernel(A, rtol)


def _by_kernel(A: Array, rtol: Array) -> tuple[Array, NDArray[np.bool_]]:
    square = A.shape[1] == A.shape[2]
    transposed = np.ascontiguousarray(A.swapaxes(1, 2))
    found = kernel.invert_stack(A if square else np.matmul(A, transposed))
    size = Stack(A, last=False).norm()
    largest = Stack(found.inverse, last=False).norm()
    if square:
        smallest, X = 1.0 / largest, found.inverse
        good = found.settled
    else:
        smallest, X = np.sqrt(1.0 / largest), _precise_product(transposed, found.inverse)
        condition = largest * size * size
        good = found.settled & (condition <= LARGEST_CONDITION)
        for needed in (good, good & (condition > ONE_STEP)):
            _improve(A, X, np.flatnonzero(needed))
    return X, good & (smallest > FAR * rtol * size)


def _precise_product(A: Array, B: Array) -> Array:
    """A B, where the product of leading slices is exact and the rest small."""
    bits = slice_bits(A.shape[2])
    s, t = (Split.of(M, (M * M).sum(axis=(1, 2), keepdims=True), bits) for M in (A, B))
    rest = np.matmul(s.slices[0], t.rests[0]) + np.matmul(s.rests[0], B)
    return np.matmul(s.slices[0], t.slices[0]) + rest


def _improve(A: Array, X: Array, index: NDArray[np.intp]) -> None:
    """X <- X + X (I - A X) at ``index``, in place."""
    if index.size:
        x = X[index]
        R = residual(Stack(A[index], last=False), Stack(x, last=False), 2).r.array
        X[index] = x + np.matmul(x, R)
