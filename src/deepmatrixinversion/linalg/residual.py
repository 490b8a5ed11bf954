r"""The residual I - A X, as exactly as is asked for, with a rigorous bound on its error.

**Slices.** Split A = A_1 + ... + A_s and X = X_1 + ... + X_s, all exactly, where A_i, i < s, has
multiples of 2^(e - i b) as entries, 2^e > ‖A‖F, and the last takes the rest; so for X. With
A_{>i} = A - A_1 - ... - A_i,

.. math:: A X = \sum_{i+j \le s} A_i X_j + \sum_{i < s} A_i X_{>s-i} + A_{>s-1} X.        \tag{1}

The products of the first sum are exact in any order of summation, with or without FMA: their
partial sums are integers times one power of two, and by Cauchy and Schwarz at most (2^b +
sqrt(n)/2)^2 for i = j = 1, (2^b + sqrt(n)/2) sqrt(n) 2^(b-1) where one of i, j is 1, n 2^(2b-2)
where none is, below 2^53 for the b of `slice_bits`. Rounding to a multiple of 2^c is adding and
subtracting 1.5 2^(c+52). What is left of A after i slices is at most 2^(e - i b - 1) =: h_i in
magnitude (g_i for X).

**Error.** The exact products are subtracted from I one after the other, each rounding error caught
by a two-sum (none arises off the diagonal for the first); those errors and the rounded products of
(1) are summed plainly, and added last. With q the row sums of the moduli's products for the
rounded part, p those of the exact products but A_1 X_1, rho those of the result r, and at most ten
further additions, each with a relative error of at most u,

.. math:: \sum_j |r - (I - A X)|_{ij} \le \delta_i
    := u \rho_i + \gamma_{n+16} q_i + 64 u^2 (\rho_i + p_i + q_i) + \nu_i                  \tag{2}

where, with the exact row sums a = |A| 1 and sigma = |X| 1, tau their sum over X,

* s = 1: q = |A| sigma, p = 0;
* s = 2: q_i = (a_i + n h_1) n g_1 + h_1 tau, p = 0;
* s = 3, 4: q_i = (a_i + n h_1) n g_{s-1} + sum_{i=1}^{s-2} 2 n^2 h_i g_{s-1-i} + h_{s-1} tau,
  p_i = 4 (a_i + n h_1) n g_1 + 4 h_1 (tau + n^2 g_1).

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


def slice_bits(n: int, slices: int = 3) -> int:
    """Bits b of a slice: 26, less where n of them add up in a product of later slices."""
    bits = math.floor(26.75 - math.log2(max(n, 1)) / 4)
    if slices > 3:
        bits = min(bits, math.floor(27.25 - math.log2(max(n, 1)) / 2))
    return min(26, bits)


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


def _many_slices(A: Stack, X: Stack, unit_A: Array, unit_X: Array, bits: int, count: int) -> Stack:
    """The residual by (1), s = ``count`` >= 3."""
    A_parts, A_rests = _parts(A, unit_A, bits, count)
    X_parts, X_rests = _parts(X, unit_X, bits, count)
    high, error = _from_identity(A_parts[0] @ X_parts[0])
    low = Stack(np.zeros_like(high.array), high.last)
    low.diagonal()[...] = error
    for i in range(1, count):
        for j in range(1, count + 1 - i):
            if i + j > 2:
                product = (A_parts[i - 1] @ X_parts[j - 1]).array
                high.array, error = two_sum(high.array, np.negative(product, out=product))
                low.array += error
    for i in range(1, count):
        low -= A_parts[i - 1] @ X_rests[count - i]
    low -= A_rests[count - 1] @ X
    return high + low


def _parts(A: Stack, unit: Array, bits: int, count: int) -> tuple[list[Stack], list[Stack]]:
    """A_1, ..., A_{count-1}, and A = A_{>0}, A_{>1}, ..., A_{>count-1}."""
    parts, rests = [], [A]
    for i in range(1, count):
        parts.append(leading(rests[-1], unit, i * bits))
        rests.append(rests[-1] - parts[-1])
    return parts, rests


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
    """I - A X with about 53, 79, 101 or 120 bits for 1 to 4 slices, rounded to float64.

    Cost: 1, 3, 6 or 10 products.
    """
    a, sigma = A.row_sums(), X.row_sums()
    tau = A.rowwise(A.total(sigma))
    if slices == 1:
        r = I - A @ X
        p, q = 0.0, A.moduli(sigma)[0]
    else:
        r, p, q = _sliced(A, X, slices, a, tau)
    rho = r.row_sums()
    return Residual(r, rho, error_sums(A.order, rho, p, q, a, tau))


def error_sums(n: int, rho: Array, p: Array | float, q: Array, a: Array, tau: NDArray) -> Array:
    """delta of (2)."""
    nu = 64 * n * (n + 4) * ETA + 4 * ETA * (n * a + tau)
    return U * rho + gamma(n + 16) * q + 64 * U * U * (rho + p + q) + nu


def _sliced(
    A: Stack, X: Stack, slices: int, a: Array, tau: NDArray
) -> tuple[Stack, Array | float, Array]:
    """The residual by (1), and the vectors p and q."""
    n = A.order
    bits = 26 if slices == 2 else slice_bits(n, slices)
    unit_A, unit_X = unit(A), unit(X)
    if slices == 2:
        r = _two_slices(A, X, unit_A, unit_X, bits)
    else:
        r = _many_slices(A, X, unit_A, unit_X, bits, slices)
    h = [A.rowwise(unit_A * 2.0 ** (-i * bits - 1)) for i in range(1, slices)]
    g = [A.rowwise(unit_X * 2.0 ** (-i * bits - 1)) for i in range(1, slices)]
    top = a + n * h[0]
    q = top * n * g[-1] + h[-1] * tau
    for i in range(1, slices - 1):
        q = q + 2 * n * n * h[i - 1] * g[slices - 2 - i]
    if slices == 2:
        return r, 0.0, q
    return r, 4 * n * top * g[0] + 4 * h[0] * (tau + n * n * g[0]), q
