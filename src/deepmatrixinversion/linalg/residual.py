r"""The residual I - A X, as exactly as is asked for, with a rigorous bound on its error.

**Slices.** Split A = A_1 + ... + A_s and X = X_1 + ... + X_s, all exactly, where A_i, i < s, has
multiples of 2^(e - i b) as entries, 2^e > ‖A‖F, and the last takes the rest; so for X. With
A_{>i} = A - A_1 - ... - A_i,

.. math:: A X = \sum_{i+j \le s} A_i X_j + \sum_{i < s} A_i X_{>s-i} + A_{>s-1} X.        \tag{1}

The products of the first sum are exact in any order of summation, with or without FMA: their
partial sums are integers times one power of two, and by Cauchy and Schwarz at most (2^b +
sqrt(n)/2)^2 for i = j = 1, (2^b + sqrt(n)/2) sqrt(n) 2^(b-1) where one of i, j is 2, below 2^53 for
the b of `slice_bits`. Rounding to a multiple of 2^c is adding and subtracting 1.5 2^(c+52). What is
left of A after i slices is at most 2^(e - i b - 1) =: h_i in magnitude (g_i for X).

**Error.** The exact products are subtracted from I one after the other, each rounding error caught
by a two-sum (none arises off the diagonal for the first); those errors and the rounded products of
(1) are summed plainly, and added last. With q the row sums of the moduli's products for the
rounded part, p those of the exact products but A_1 X_1, rho those of the result r, and at most
s + 4 further additions, each with a relative error of at most u,

.. math:: \sum_j |r - (I - A X)|_{ij} \le \delta_i
    := u \rho_i + \gamma_{n+s+6} q_i + 16 u^2 (\rho_i + p_i + q_i) + \nu_i                 \tag{2}

where, with the exact row sums a = |A| 1 and sigma = |X| 1, tau their sum over X,

* s = 1: q = |A| sigma, p = 0;
* s = 2: q_i = (a_i + n h_1) n g_1 + h_1 tau, p = 0;
* s = 3: q_i = (a_i + n h_1) n g_2 + 2 n^2 h_1 g_1 + h_2 tau,
  p_i = (a_i + n h_1) 2 n g_1 + 2 h_1 (tau + n^2 g_1).

**Underflow.** Each of at most 12 n operations an entry may lose 2 eta, eta = 2^-1022 (results
flushed to zero and subnormal operands read as zero included); where subnormal operands are read as
zero, A and X themselves are seen up to eta off; A may be rounded by eta beside (scaling):
nu_i = 64 n (n + 4) eta + 4 eta (n a_i + tau). All sums above are of non-negative computed numbers,
which the caller's factor 1 + (4n + 64) u covers.

References
----------
Ozaki, Ogita, Oishi & Rump 2012, "Error-free transformations of matrix multiplication by using fast
routines of matrix multiplication and its applications", Numer. Algorithms 59 (the slices; bounding
their bits by Frobenius norms, and one shift a matrix, are ours); Knuth 1969 (two-sum).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.stack import Array, I, Stack

U = 2.0**-53
ETA = 2.0**-1022
EXPONENT_BITS = np.int64(0x7FF0000000000000)


class Residual(NamedTuple):
    """r close to I - A X; the row sums of its moduli, and of the error's by (2): vectors."""

    r: Stack
    rho: Array
    delta: Array


def gamma(n: int) -> float:
    """n u/(1 - n u), rounded up."""
    return n * U / (1.0 - n * U) * (1.0 + 4 * U)


def slice_bits(n: int) -> int:
    """Bits b of a slice: 26, less where sqrt(n) of them add up beside a second slice."""
    return min(26, math.floor(26.75 - math.log2(max(n, 1)) / 4))


def unit(A: Stack) -> Array:
    """2^e > ‖A‖F, a power of two for each matrix (k,)."""
    # The exponent's bits alone are 2^(e - 1); a masked view is several times faster than frexp.
    return 2.0 * (A.norm().view(np.int64) & EXPONENT_BITS).view(np.float64)


def leading(A: Stack, unit: Array, bits: int) -> Stack:
    """A rounded to multiples of 2^-bits times the unit of each matrix."""
    shift = A.spread(unit * (1.5 * 2.0 ** (52 - bits)))
    high = A.array + shift
    high -= shift
    return Stack(high, A.last)


def _from_identity(P: Stack) -> tuple[Stack, Array]:
    """I - P, in place of P, and the rounding errors of its diagonal, exactly."""
    subtracted = -P.diagonal()
    high = I - P
    return high, two_sum(np.ones_like(subtracted), subtracted)[1]


def _two_slices(A: Stack, X: Stack, unit_A: Array, unit_X: Array, bits: int) -> Stack:
    """The residual by (1), s = 2, with little memory."""
    A1, X1 = leading(A, unit_A, bits), leading(X, unit_X, bits)
    high, error = _from_identity(A1 @ X1)
    np.subtract(X.array, X1.array, out=X1.array)
    low = A1 @ X1
    del X1
    np.subtract(A.array, A1.array, out=A1.array)
    low += A1 @ X
    diagonal = low.diagonal()
    diagonal -= error
    high -= low
    return high


def _three_slices(A: Stack, X: Stack, unit_A: Array, unit_X: Array, bits: int) -> Stack:
    """The residual by (1), s = 3."""
    A1, X1 = leading(A, unit_A, bits), leading(X, unit_X, bits)
    above_A1, above_X1 = A - A1, X - X1
    A2, X2 = leading(above_A1, unit_A, 2 * bits), leading(above_X1, unit_X, 2 * bits)
    high, error = _from_identity(A1 @ X1)
    low = Stack(np.zeros_like(high.array), high.last)
    low.diagonal()[...] = error
    for product in (A1 @ X2, A2 @ X1):
        high.array, error = two_sum(high.array, np.negative(product.array, out=product.array))
        low.array += error
    low -= A1 @ (above_X1 - X2)
    low -= A2 @ above_X1
    low -= (above_A1 - A2) @ X
    return high + low


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """a + b rounded, and what the rounding left out, exactly (Knuth)."""
    total = a + b
    part = total - a
    error = total - part
    np.subtract(a, error, out=error)
    np.subtract(b, part, out=part)
    error += part
    return total, error


def residual(A: Stack, X: Stack, slices: int) -> Residual:
    """I - A X with about 53, 79 or 101 bits for 1, 2 or 3 slices, rounded to float64.

    Cost: 1, 3 or 6 products.
    """
    n = A.order
    a, sigma = A.row_sums(), X.row_sums()
    tau = A.rowwise(A.total(sigma))
    nu = 64 * n * (n + 4) * ETA + 4 * ETA * (n * a + tau)
    if slices == 1:
        r = I - A @ X
        p, q = 0.0, A.moduli(sigma)[0]
    else:
        r, p, q = _sliced(A, X, slices, a, tau)
    rho = r.row_sums()
    g = gamma(n + slices + 6)
    delta = U * rho + g * q + 16 * U * U * (rho + p + q) + nu
    return Residual(r, rho, delta)


def _sliced(
    A: Stack, X: Stack, slices: int, a: Array, tau: NDArray
) -> tuple[Stack, Array | float, Array]:
    """The residual by (1), and the vectors p and q."""
    n = A.order
    bits = 26 if slices == 2 else slice_bits(n)
    unit_A, unit_X = unit(A), unit(X)
    if slices == 2:
        r = _two_slices(A, X, unit_A, unit_X, bits)
    else:
        r = _three_slices(A, X, unit_A, unit_X, bits)
    h = [A.rowwise(unit_A * 2.0 ** (-i * bits - 1)) for i in (1, 2)]
    g = [A.rowwise(unit_X * 2.0 ** (-i * bits - 1)) for i in (1, 2)]
    top = a + n * h[0]
    if slices == 2:
        return r, 0.0, top * n * g[0] + h[0] * tau
    p = 2 * n * top * g[0] + 2 * h[0] * (tau + n * n * g[0])
    return r, p, top * n * g[1] + 2 * n * n * h[0] * g[0] + h[1] * tau
