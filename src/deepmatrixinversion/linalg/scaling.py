"""Exact scaling of matrices by powers of two.

inv(c A) = inv(A)/c and inv(Dr A Dc) = Dc^-1 inv(A) Dr^-1. With c and the diagonals powers of two,
no bit is lost on the way in or out, except where an entry underflows beside the largest of its
matrix (below 2^-1022 of it) or where the inverse itself leaves the range of float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.linalg.product import frobenius, spread, take

Array = NDArray[np.float64]
Exponents = NDArray[np.int64]

# Norms in this range neither overflow nor lose bits to underflow when squared.
_SAFE_NORM = (2.0**-400, 2.0**500)


def times_power(A: Array, exponent: NDArray[np.integer]) -> Array:
    """A 2^exponent, rounded at most once; overflow gives inf, silently.

    A multiplication where 2^exponent is a normal number, and the slower ``ldexp`` elsewhere.
    """
    with np.errstate(all="ignore"):
        if exponent.size == 0 or (exponent.max() <= 1023 and exponent.min() >= -1022):
            return A * np.ldexp(1.0, exponent)
        return np.ldexp(A, exponent)


def normalise(A: ArrayLike) -> tuple[Array, Exponents]:
    r"""Scale each matrix by a power of two so that its Frobenius norm lies in [1/2, 1).

    .. math:: S = A\,2^{-e}, \qquad \tfrac12 \le \|S\|_F < 1

    (up to the rounding of the norm). Exact, except that entries below 2^-1022 of the norm may lose
    bits. A zero matrix has exponent 0, and so has one with NaN or infinite entries, left as it is.

    Parameters
    ----------
    A : (..., p, q) array_like of reals
        Subnormal entries and entries near overflow are scaled exactly.

    Returns
    -------
    S : (..., p, q) float64
    exponent : (...) int64

    Notes
    -----
    Cost: no products; O(p q) a matrix.

    Examples
    --------
    >>> S, exponent = normalise([[3.0, 0.0], [0.0, 4.0]])
    >>> S.tolist(), int(exponent)
    ([[0.375, 0.0], [0.0, 0.5]], 3)
    """
    A = np.asarray(A, dtype=np.float64)
    batch = A.shape[:-2]
    if A.size == 0:
        return A.copy(), np.zeros(batch, dtype=np.int64)
    flat = np.ascontiguousarray(A).reshape(-1, *A.shape[-2:])
    with np.errstate(all="ignore"):
        S, exponent = normalise_layout(flat, 0)
    return S.reshape(A.shape), exponent.reshape(batch)


def normalise_layout(A: Array, axis: int) -> tuple[Array, Exponents]:
    """`normalise` for a stack in the layout ``axis`` (see `product`)."""
    norm = frobenius(A, axis)
    unsafe = np.flatnonzero(~((norm > _SAFE_NORM[0]) & (norm < _SAFE_NORM[1])))
    exponent = np.frexp(norm)[1].astype(np.int64)
    if unsafe.size:
        suspects = take(A, unsafe, axis)
        lines = (1, 2) if axis == 0 else (0, 1)
        largest = np.frexp(np.abs(suspects).max(axis=lines))[1].astype(np.int64)
        norm = frobenius(np.ldexp(suspects, -spread(largest, axis)), axis)
        exponent[unsafe] = np.where(norm < np.inf, largest + np.frexp(norm)[1], 0)
    return times_power(A, -spread(exponent, axis)), exponent


def spread_exponent(S: Array, axis: int) -> Exponents:
    """Binary exponent (k,) of the largest over the smallest 2-norm of each matrix's lines.

    The larger of the two for rows and columns; zero lines count as 2^-511. For normalised stacks
    in the layout ``axis``.
    """
    squares = S * S
    if axis == 0:
        ones = np.ones((S.shape[-1], 1))
        rows = np.matmul(squares, ones)[:, :, 0].T
        columns = np.matmul(ones.T, squares)[:, 0, :].T
    else:
        rows, columns = squares.sum(axis=1), squares.sum(axis=0)
    lines = np.concatenate([rows, columns])
    lowest = np.frexp(np.maximum(lines.min(axis=0), 2.0**-1022))[1]
    return (np.frexp(lines.max(axis=0))[1] - lowest).astype(np.int64) // 2


def equilibrate(A: ArrayLike, sweeps: int = 4) -> tuple[Array, Exponents, Exponents]:
    r"""Scale rows and columns by powers of two so that the largest entries of all lines agree.

    .. math:: S_{ij} = a_{ij}\,2^{-r_i - c_j}, \qquad
              (A^{-1})_{ji} = 2^{-c_j - r_i}\,(S^{-1})_{ji}

    ``sweeps`` halvings in the manner of Ruiz, which treat rows and columns alike, then one pass
    over rows and one over columns, after which every non-zero column's largest entry lies in
    [1/2, 1) and every row's below 1. All of it is integer arithmetic on exponents.

    Parameters
    ----------
    A : (..., n, n) array of finite reals
    sweeps : int

    Returns
    -------
    S : (..., n, n) float64
        exact, except where an entry underflows beside the largest of its lines
    row_exponents, column_exponents : (..., n) int64
        zero for zero rows and columns

    Notes
    -----
    Cost: no products; O(n^2) a sweep.

    Examples
    --------
    >>> S, rows, columns = equilibrate([[0.0, 2.0**40], [3.0, 0.0]])
    >>> S.tolist(), rows.tolist(), columns.tolist()
    ([[0.0, 0.5], [0.75, 0.0]], [20, 1], [1, 21])

    References
    ----------
    Ruiz 2001, "A scaling algorithm to equilibrate both rows and columns norms in matrices",
    RAL-TR-2001-034; LAPACK's ``dgeequb`` for powers of the radix.
    """
    A = np.asarray(A, dtype=np.float64)
    r = np.zeros(A.shape[:-1], dtype=np.int64)
    c = np.zeros((*A.shape[:-2], A.shape[-1]), dtype=np.int64)
    if A.size == 0:
        return A.copy(), r, c
    floor = -(1 << 20)  # stands for log2(0), far below any exponent
    E = np.where(A == 0.0, floor, np.frexp(A)[1].astype(np.int64))

    def excess(axis: int) -> Exponents:
        largest = (E - r[..., :, None] - c[..., None, :]).max(axis=axis)
        return np.where(largest < floor // 2, 0, largest)

    for _ in range(sweeps):
        by_row, by_column = excess(-1), excess(-2)
        r += (by_row + 1) // 2
        c += (by_column + 1) // 2
    r += excess(-1)
    c += excess(-2)
    return np.ldexp(A, -(r[..., :, None] + c[..., None, :])), r, c


def unequilibrate(X: Array, row_exponents: Exponents, column_exponents: Exponents) -> Array:
    """The inverse of A from the inverse X of its equilibrated matrix; overflow gives inf.

    Each entry is rounded at most once, where it leaves the normal range.
    """
    with np.errstate(all="ignore"):
        return np.ldexp(X, -(column_exponents[..., :, None] + row_exponents[..., None, :]))
