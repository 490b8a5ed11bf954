"""Products and norms of stacks of matrices, in two memory layouts, and residuals beyond float64.

Inside ``linalg`` a stack is held in one of two layouts, chosen by the order alone
(`batch_axis`), so that the bits of a matrix never depend on its neighbours:

* ``axis == 0``: (k, n, n), multiplied by ``np.matmul`` (one BLAS call a matrix);
* ``axis == -1``: (n, n, k) for n <= 4, multiplied elementwise along the stack, because there a
  BLAS call costs several times its arithmetic.

Neither a sum over the stack nor ``einsum`` over a layout that depends on k is used on the way to
a result: both may change their order of summation, and so their last bit, with k.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EXPONENT_BITS = np.int64(0x7FF0000000000000)

SMALL_ORDER = 4
"""Largest order held batch-last; measured: at 4 a product takes 30 ns so, at 8 six times BLAS's."""


def batch_axis(n: int) -> int:
    """Position of the stack's axis for matrices of order n: -1 (last) up to `SMALL_ORDER`, or 0."""
    return -1 if n <= SMALL_ORDER else 0


def to_layout(A: NDArray, axis: int) -> Array:
    """Contiguous float64 copy or view of a (k, n, n) stack in the layout ``axis``."""
    if axis == 0:
        return np.ascontiguousarray(A, dtype=np.float64)
    return np.ascontiguousarray(A.transpose(1, 2, 0), dtype=np.float64)


def from_layout(A: Array, axis: int) -> Array:
    """Inverse of `to_layout`: a contiguous (k, n, n) stack."""
    return A if axis == 0 else np.ascontiguousarray(A.transpose(2, 0, 1))


def spread(values: NDArray, axis: int) -> NDArray:
    """View of one value a matrix (k,) that broadcasts against a stack in the layout ``axis``."""
    return values[:, None, None] if axis == 0 else values


def largest_line(values: Array, axis: int) -> Array:
    """Largest value of each matrix (k,) of one value a line, (k, n) or batch-last (n, k).

    NaN wins. Reducing a short last axis costs ten times its transposition.
    """
    return (np.ascontiguousarray(values.T) if axis == 0 else values).max(axis=0)


def take(A: Array, index: NDArray[np.intp], axis: int) -> Array:
    """The matrices of a stack at ``index``."""
    return A[index] if axis == 0 else A.take(index, axis=-1)


def put(A: Array, index: NDArray[np.intp], values: Array, axis: int) -> None:
    """Write ``values`` at ``index`` of a stack, in place."""
    if axis == 0:
        A[index] = values
    else:
        A[..., index] = values


def product(A: Array, B: Array, axis: int) -> Array:
    """Matrix product A B of two stacks in the layout ``axis``."""
    if axis == 0:
        return np.matmul(A, B)
    C = A[:, 0, None] * B[None, 0]
    term = np.empty_like(C)
    for j in range(1, A.shape[1]):
        np.multiply(A[:, j, None], B[None, j], out=term)
        C += term
    return C


def transpose(A: Array, axis: int) -> Array:
    """Contiguous transposes of a stack in the layout ``axis``."""
    return np.ascontiguousarray(A.swapaxes(1, 2) if axis == 0 else A.swapaxes(0, 1))


def add_identity(A: Array, axis: int, scale: float = 1.0) -> Array:
    """Add ``scale`` times the identity to each matrix, in place, and return the stack."""
    n = A.shape[1]
    diagonal = np.arange(n)
    if axis == 0:
        # A strided view of the diagonals: several times faster than index arrays.
        np.einsum("kii->ki", A)[...] += scale
    else:
        A[diagonal, diagonal] += scale
    return A


def frobenius(A: Array, axis: int) -> Array:
    """Frobenius norms (k,); inf where not finite. Entries beyond 1e154 overflow to inf."""
    if axis == 0:
        # Each matrix is one row: the order of summation depends on n only.
        rows = A.reshape(len(A), A.shape[1] * A.shape[2])
        total = np.matmul(rows[:, None, :], rows[:, :, None])[:, 0, 0]
    else:
        total = np.zeros(A.shape[-1])
        for row in A.reshape(A.shape[0] * A.shape[1], A.shape[-1]):
            total += row * row
    norm = np.sqrt(total)
    return np.where(np.isfinite(norm), norm, np.inf)


def residual(A: Array, X: Array, axis: int) -> Array:
    """The residual R = I - A X in working precision. Cost: 1 product."""
    R = product(A, X, axis)
    np.negative(R, out=R)
    return add_identity(R, axis)


def _leading_bits(A: Array, axis: int) -> Array:
    """Round each entry to a multiple of 2^(e - 26), where 2^e exceeds its matrix's Frobenius norm.

    Adding and subtracting 1.5 2^(e + 26) rounds to nearest there (Ozaki et al. 2012, algorithm 2),
    exactly so that A - result is a float, at most 2^(e - 27) in magnitude.
    """
    # The exponent's bits alone are 2^(e - 1); a masked view is several times faster than frexp.
    shift = (frobenius(A, axis).view(np.int64) & EXPONENT_BITS).view(np.float64)
    shift *= 1.5 * 2.0**27
    shift = spread(shift, axis)
    high = A + shift
    high -= shift
    return high


def doubled_residual(A: Array, X: Array, axis: int) -> Array:
    r"""The residual R = I - A X with about 26 bits more than working precision, then rounded.

    A = A1 + A2 and X = X1 + X2, where the entries of A1 are multiples of 2^(e - 26), 2^e exceeding
    the Frobenius norm of A, and so for X1. By Cauchy and Schwarz all partial sums of an entry of
    A1 X1 are integers of magnitude below 2^52 (1 + n 2^-26)^2 times one power of two: A1 X1 is
    exact in any order of summation, with or without FMA, and

    .. math:: R = (I - A_1 X_1) - (A_1 X_2 + A_2 X),

    where the second bracket is below 2^-25 sqrt(n) \|A\|_F \|X\|_F, and so small are its rounding
    errors beside those of a plain residual.

    Parameters
    ----------
    A, X : stacks in the layout ``axis``, A (p, q) and X (q, p)
        of moderate scale (`scaling.normalise`): entries whose squares underflow lose their bits

    Returns
    -------
    stack of (p, p) residuals

    Notes
    -----
    Cost: 3 products.

    References
    ----------
    Ozaki, Ogita, Oishi & Rump 2012, "Error-free transformations of matrix multiplication by using
    fast routines of matrix multiplication and its applications", Numer. Algorithms 59, section 3.
    Bounding the bits by norms rather than by n is ours, and so is one shift a matrix instead of
    one a line: broadcasting lines of a few entries would cost more than the products.
    """
    A1 = _leading_bits(A, axis)
    X1 = _leading_bits(X, axis)
    R = product(A1, X1, axis)
    np.negative(R, out=R)
    add_identity(R, axis)
    R -= product(A1, X - X1, axis)
    R -= product(A - A1, X, axis)
    return R


def chunks(count: int, n: int, doubles: int = 1 << 17) -> Iterator[slice]:
    """Slices of a stack of ``count`` matrices of order n, each about ``doubles`` entries long.

    Work on a chunk stays in cache, and memory stays bounded however long the stack is.
    """
    step = max(1, doubles // max(1, n * n))
    if step > 64:
        # Batch-last lines a power of two apart would compete for the same few cache lines.
        step += 8
    # glibc returns freed memory to the system above a threshold that grows with the largest block
    # ever freed; below it every temporary is faulted in anew, at up to three times the cost. One
    # block, never touched, raises it. Elsewhere this does nothing.
    if n * n < doubles < 8 * count * n * n:
        np.empty(1 << 21)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
