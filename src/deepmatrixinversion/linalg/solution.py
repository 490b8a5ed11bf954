r"""Solutions of A y = b by a certified inverse, refined, each with a rigorous bound on its error.

**Scaling.** With S = 2^(-r) A 2^(-c) and its inverse Y (`scaling`), solve S x = 2^(-r) b, then
y_j = 2^(-c_j) x_j; each right-hand side is scaled by a power of two beside that, so that the
largest |x_j| lies in [1/2, 1). Nothing overflows on the way.

**Refinement** (Higham 2002, section 12.1): x <- x + Y (b - S x), with b - S x in three slices as in
`residual`, its error entry by entry at most

.. math:: D_{ij} = u |r_{ij}| + \gamma_{n+9} q_i + 16 u^2 (|r_{ij}| + p_i + q_i) + \nu_i, \\
    q_i = (a_i + n h_1) g_2 + 2 n h_1 g_1 + n h_2, \quad
    p_i = 2 (a_i + n h_1) g_1 + 2 n h_1 (1 + g_1), \quad
    \nu_i = 64 n (n + 4) \eta + 4 \eta a_i

since no entry of x exceeds 1 (row sums there; the largest entry here).

**Bound.** The exact residual R of x is within D of r. With row sums of |S^-1 - Y| at most eps, from
the certificate, w = fl(Y r) and z = fl(x + w), d = x + w - z exactly,

.. math:: |S^{-1} b - z| \le |d| + \gamma_n |Y||r| + |Y| D
    + \varepsilon (\max_k |r_k| + \max_k D_k) + 16 n (n + 2) \eta (1 + \sigma),

sigma = |Y| 1, all times 1 + (4 n + 64) u. What unscaling or a cast rounds is added, exactly.

References
----------
Higham 2002, "Accuracy and Stability of Numerical Algorithms", 2nd ed.; Rump 2010, Acta Numerica 19,
section 10.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.certificate import Certificate, shifted
from deepmatrixinversion.linalg.polish import inflated
from deepmatrixinversion.linalg.residual import ETA, U, gamma, leading, slice_bits, two_sum, unit
from deepmatrixinversion.linalg.scaling import Scaled
from deepmatrixinversion.linalg.stack import Array, Stack

ROUNDS = 2
"""Refinements before the last, bounded one: each gains a factor of about u kappa."""


def _residual(S: Stack, x: Array, b: Array) -> tuple[Array, Array]:
    """b - S x for (k, n, p) arrays, and D."""
    A, X = Stack(S.matrices(), last=False), Stack(x, last=False)
    n, bits = A.order, slice_bits(A.order)
    unit_A, unit_X = unit(A), unit(X)
    A1, X1 = leading(A, unit_A, bits), leading(X, unit_X, bits)
    above_A1, above_X1 = A - A1, X - X1
    A2, X2 = leading(above_A1, unit_A, 2 * bits), leading(above_X1, unit_X, 2 * bits)
    high, low = b, np.zeros_like(b)
    for product in (A1 @ X1, A1 @ X2, A2 @ X1):
        high, error = two_sum(high, -product.array)
        low += error
    low -= (A1 @ (above_X1 - X2)).array
    low -= (A2 @ above_X1).array
    low -= ((above_A1 - A2) @ X).array
    r = high + low
    a = A.row_sums()
    h = [(unit_A * 2.0 ** (-i * bits - 1))[:, None] for i in (1, 2)]
    g = [(unit_X * 2.0 ** (-i * bits - 1))[:, None] for i in (1, 2)]
    top = a + n * h[0]
    q = top * g[1] + 2 * n * h[0] * g[0] + n * h[1]
    p = 2 * top * g[0] + 2 * n * h[0] * (1 + g[0])
    nu = 64 * n * (n + 4) * ETA + 4 * ETA * a
    fixed = gamma(n + 9) * q + 16 * U * U * (p + q) + nu
    return r, (U + 16 * U * U) * np.abs(r) + fixed[:, :, None]


def _column_exponents(x: Array) -> NDArray[np.int64]:
    """e (k, 1, p) with 2^(e-1) <= max |x| < 2^e of each column; 0 for zero and what is no number."""
    largest = np.abs(x).max(axis=1, keepdims=True)
    return np.where(np.isfinite(largest), np.frexp(largest)[1], 0).astype(np.int64)


def solutions(
    A: NDArray, X: NDArray, proof: Certificate, B: NDArray, dtype: np.dtype
) -> tuple[NDArray, Array, Array]:
    """Solutions of A Y = B, at least |A^-1 B - Y| column by column, and that over the column's size.

    Parameters
    ----------
    A, X : (k, n, n) arrays
        matrices and inverses, both finite
    proof : Certificate
        of these, (k,)
    B : (k, n, p) array
        finite
    dtype : numpy.dtype
        of the solutions

    Returns
    -------
    Y : (k, n, p) array of ``dtype``
    error_bound, relative_error_bound : (k, p) float64
        inf where A is not proven nonsingular, or a component overflows

    Notes
    -----
    Cost: 4 products and 18 of slices, of an n x n by an n x p matrix each.
    """
    scaled = Scaled.of(A.astype(np.float64, copy=False))
    Y = Stack(scaled.scaled(Stack.of(X)).matrices(), last=False)
    n, p = B.shape[1:]
    rows, columns = scaled.rows[:, :, None], scaled.columns[:, :, None]
    # The right-hand side, its largest entry near 1: exact, or off by eta beside that.
    mantissa, exponent = np.frexp(B.astype(np.float64, copy=False))
    exponent = exponent - rows
    shift = np.where(mantissa == 0, -(1 << 20), exponent).max(axis=1, keepdims=True)
    shift = np.where(shift < -(1 << 19), 0, shift)
    b = np.ldexp(mantissa, exponent - shift)
    x = Y.array @ b
    more = _column_exponents(x)
    b, x, shift = np.ldexp(b, -more), np.ldexp(x, -more), shift + more
    for _ in range(ROUNDS):
        x = x + Y.array @ _residual(scaled.S, x, b)[0]
    # Entries that grew beyond 1 in refinement, by rounding: once more.
    more = _column_exponents(x)
    b, x, shift = np.ldexp(b, -more), np.ldexp(x, -more), shift + more
    r, D = _residual(scaled.S, x, b)
    z, d = two_sum(x, Y.array @ r)
    modulus = np.abs(Y.array)
    sigma = Y.row_sums()
    eps = proof.relative_error_bound * sigma.max(axis=1) * (1 + 2 * n * U)
    largest = np.abs(r).max(axis=1, keepdims=True) + D.max(axis=1, keepdims=True)
    rest = gamma(n) * (modulus @ np.abs(r)) + modulus @ (D + ETA) + eps[:, None, None] * largest
    rest += 16 * n * (n + 2) * ETA * (1 + sigma)[:, :, None]
    power = shift - columns
    held = np.ldexp(z, power).astype(dtype)
    lost = np.abs(z - np.ldexp(held.astype(np.float64, copy=False), -power)) + ETA
    # (1 + n sigma) eta: what the right-hand side lost to underflow.
    error = inflated(np.abs(d) + rest + lost + 2 * n * ETA * (1 + sigma)[:, :, None], n)
    bound = shifted(np.ldexp(error, power)).max(axis=1)
    size = np.abs(held).astype(np.float64, copy=False).max(axis=1)
    sound = np.isfinite(held).all(axis=1) & (proof.error_bound < np.inf)[:, None]
    bound = np.where((B == 0).all(axis=1), 0.0, bound)  # of which the solution is zero, exactly
    bound = np.where(sound, bound, np.inf)
    relative = np.where(bound == 0, 0.0, np.where(size > 0, inflated(bound / size, n), np.inf))
    return held, bound, relative
