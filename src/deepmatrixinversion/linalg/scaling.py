"""Exact scaling of matrices by powers of two.

inv(c A) = inv(A)/c and inv(Dr A Dc) = Dc^-1 inv(A) Dr^-1. With c and the diagonals powers of two,
no bit is lost on the way in or out, except where an entry underflows beside the largest of its
lines (below 2^-1022 of it) or where the inverse itself leaves the range of float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion import kernel
from deepmatrixinversion.linalg.stack import Array, Stack

Exponents = NDArray[np.int64]

SPREAD = 6
"""Rows and columns are equilibrated where their norms differ by more than 2^SPREAD."""

# Norms in this range neither overflow nor lose bits to underflow when squared.
_SAFE_NORM = (2.0**-400, 2.0**500)

_ZERO = -(1 << 20)  # stands for log2(0), far below any exponent


def times_power(A: Array, exponent: NDArray[np.integer]) -> Array:
    """A 2^exponent, rounded at most once; overflow gives inf, silently.

    A multiplication where 2^exponent is a normal number, and the slower ``ldexp`` elsewhere.
    """
    with np.errstate(all="ignore"):
        if exponent.size == 0 or (exponent.max() <= 1023 and exponent.min() >= -1022):
            return A * np.ldexp(1.0, exponent)
        return np.ldexp(A, exponent)


def _norm_exponent(A: Stack) -> Exponents:
    """e (k,) with 2^(e-1) <= ‖A‖F < 2^e up to rounding; 0 for zero and for what is not finite."""
    norm = A.norm()
    exponent = np.frexp(norm)[1].astype(np.int64)
    unsafe = np.flatnonzero(~((norm > _SAFE_NORM[0]) & (norm < _SAFE_NORM[1])))
    if unsafe.size:
        suspects = A[unsafe]
        largest = np.frexp(suspects.largest_entry())[1].astype(np.int64)
        scaled = Stack(np.ldexp(suspects.array, -suspects.spread(largest)), suspects.last)
        norm = scaled.norm()
        exponent[unsafe] = np.where(norm < np.inf, largest + np.frexp(norm)[1], 0)
    return exponent


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
    with np.errstate(all="ignore"):
        flat = np.ascontiguousarray(A).reshape(-1, *A.shape[-2:])
        exponent = _norm_exponent(Stack(flat, last=False))
        S = times_power(flat, -exponent[:, None, None])
    return S.reshape(A.shape), exponent.reshape(batch)


def uneven(S: Stack) -> NDArray[np.bool_]:
    """Whether the rows' or the columns' 2-norms of a normalised matrix differ by 2^SPREAD (k,).

    Zero lines count as 2^-511.
    """
    if S.last:
        squares = S.array * S.array
        lines = np.concatenate([squares.sum(axis=1), squares.sum(axis=0)])
    elif kernel.available():
        ones = np.ones(S.array.shape[:2])
        lines = np.concatenate(kernel.squares(S.array, ones), axis=1).T
    else:
        squares, ones = S.array * S.array, np.ones((S.order, 1))
        rows = np.matmul(squares, ones)[:, :, 0].T
        lines = np.concatenate([rows, np.matmul(ones.T, squares)[:, 0, :].T])
    lowest = np.frexp(np.maximum(lines.min(axis=0), 2.0**-1022))[1]
    return (np.frexp(lines.max(axis=0))[1] - lowest) // 2 > SPREAD


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
    E = np.where(A == 0.0, _ZERO, np.frexp(A)[1].astype(np.int64))

    def excess(axis: int) -> Exponents:
        largest = (E - r[..., :, None] - c[..., None, :]).max(axis=axis)
        return np.where(largest < _ZERO // 2, 0, largest)

    for _ in range(sweeps):
        by_row, by_column = excess(-1), excess(-2)
        r += (by_row + 1) // 2
        c += (by_column + 1) // 2
    r += excess(-1)
    c += excess(-2)
    return np.ldexp(A, -(r[..., :, None] + c[..., None, :])), r, c


class Scaled(NamedTuple):
    """Matrices S_ij = 2^(-r_i - c_j) A_ij, ‖S‖F in [1/2, 1): rows and columns even where needed.

    Attributes
    ----------
    S : Stack
    rows, columns : (k, n) int64, or (k, 1)
        r and c; of one column where a single exponent serves all matrices of the stack
    """

    S: Stack
    rows: Exponents
    columns: Exponents

    @classmethod
    def of(cls, A: Array) -> Scaled:
        """Scale (k, n, n) float64 matrices, finite or not.

        A matrix of even lines is scaled as a whole. The bits of S, and so of all that follows, do
        not depend on which of the two representations its neighbours make the stack take.
        """
        stack = Stack.of(A)
        exponent = _norm_exponent(stack)
        S = Stack(times_power(stack.array, -stack.spread(exponent)), stack.last)
        index = np.flatnonzero(uneven(S))
        if not index.size:
            return cls(S, exponent[:, None], np.zeros((len(A), 1), dtype=np.int64))
        # From the original, since normalising may have cost the smallest lines their bits.
        even, r, c = equilibrate(A[index])
        even, more = normalise(even)
        S[index] = Stack.of(even)
        n = A.shape[-1]
        rows = np.repeat(exponent[:, None], n, axis=1)
        columns = np.zeros((len(A), n), dtype=np.int64)
        rows[index], columns[index] = r + more[:, None], c
        return cls(S, rows, columns)

    def at(self, index: NDArray[np.intp]) -> Scaled:
        """The matrices at ``index``."""
        return Scaled(self.S[index], self.rows[index], self.columns[index])

    @property
    def uniform(self) -> bool:
        """Whether each matrix has a single exponent."""
        return self.rows.shape[1] == 1

    def exponents(self) -> Exponents:
        """c_i + r_j, as it broadcasts against the array of a stack of inverses."""
        k = self.columns[:, :, None] + self.rows[:, None, :]
        return np.ascontiguousarray(k.transpose(1, 2, 0)) if self.S.last else k

    def unscaled(self, X: Stack) -> Stack:
        """Inverses of A from those of S; overflow gives inf, underflow rounds once."""
        return Stack(times_power(X.array, -self.exponents()), X.last)

    def scaled(self, X: Stack) -> Stack:
        """Inverses of S from those of A, in the same way."""
        return Stack(times_power(X.array, self.exponents()), X.last)
