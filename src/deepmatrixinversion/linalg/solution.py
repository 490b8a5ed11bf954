r"""Solutions of A Y = B by an approximate inverse, refined and bounded column by column.

**System.** With S_ij = 2^(-r_i - c_j) A_ij (`scaling`) and a column b, let
b'_i = 2^(-r_i - f) b_i, largest entry in [1/2, 1), and W the inverse of S that is at hand. Then
A^-1 b = 2^(f - c) S^-1 b' entry by entry.

**Refinement.** z = h + l is held in two doubles; from h = fl(W b'), l = 0,
d = fl(W r), z <- z + d, with r close to the exact b' - S z, as long as d shrinks to half.

**Residual.** S = S_1 + S_2 + S_>2 and h = h_1 + h_2 + h_>2 are split as in `residual`, h by its
column's norm, so that P = S_1 h_1, S_1 h_2, S_2 h_1 are exact, and

.. math:: r = b' - S_1 h_1 - S_1 h_2 - S_2 h_1 - (S_1 h_{>2} + S_2 h_{>1} + S_{>2} h) - S l.

The exact products are subtracted one by one, the errors of that caught by two-sums, at most u of
|b'| + p each, p the sum of the moduli of P, up to 1 + 4u; those three, the four rounded products
and the final sum are 8 plain additions, each after dot products of length n. With a = |S| 1,
x = max|h|, 2^e > ‖S‖F, 2^f > ‖h‖2, H_i = 2^(e - ib - 1), G_i = 2^(f - ib - 1),
y = max |l|, the moduli of the rounded products are at most

.. math:: q = (a + n H_1) G_2 + 2 n H_1 G_1 + n H_2 x + a y, \qquad
    |r - (b' - S z)| \le D := u |r| + \gamma_{n+8} q + 64 u^2 (|b'| + p) + \nu            \tag{1}

and nu = 64 n (n + 4) eta (1 + a) (1 + x) covers underflow, in scaling too, as in `residual`.

**Error.** With R = I - W S, row sums of |R| at most v (`residual`), alpha = max v < 1:
S^-1 = (I - R)^-1 W = W + R (I - R)^-1 W, so with g = |fl(W r)| + gamma_{n+2} |W||r| + |W| D + nu,

.. math:: |S^{-1} b' - z|_i \le g_i + \frac{v_i}{1 - \alpha} \max_j g_j.                  \tag{2}

The answer y_j = fl(2^(f - c_j) z_j), perhaps in float32, is y'_j = 2^(c_j - f) y_j after scaling
back, exact but for eta; |z - y'| = |(h - y') + l| is added: it is most of the bound, and no bound.
A column of zeros has the solution zero, exactly. Sums of the bound itself are covered by the factor
of `polish.inflated`, at twice the order.

References
----------
Higham 2002, "Accuracy and Stability of Numerical Algorithms", 2nd ed., section 12.1; Rump 2010,
Acta Numerica 19, section 10; Demmel et al. 2006, "Error bounds from extra-precise iterative
refinement", ACM Trans. Math. Softw. 32.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.arithmetic import smallest_result
from deepmatrixinversion.linalg.polish import PRECISE_ORDER, inflated
from deepmatrixinversion.linalg.residual import (
    ETA,
    U,
    gamma,
    residual,
    slice_bits,
    two_sum,
)
from deepmatrixinversion.linalg.scaling import Scaled
from deepmatrixinversion.linalg.stack import Array, Stack

ROUNDS = 20
"""Corrections, at most: each shrinks the error by ‖I - WS‖, at least to half."""

ENOUGH = 2.0**-75
"""A correction beside which the rounding of the answer is all that is left."""


class Columns(NamedTuple):
    """Solutions (k, n, p) with bounds (k, p) on the largest error of each column."""

    solution: NDArray
    error_bound: Array


class Split(NamedTuple):
    """Matrices (k, n, m) as leading slices and rests, and half units H_1, H_2, for (1)."""

    slices: tuple[Array, Array]
    rests: tuple[Array, Array]
    halves: tuple[Array, Array]

    @classmethod
    def of(cls, A: Array, squares: Array, bits: int) -> Split:
        """Split A, given the sums of squares of what shares a unit, which broadcast against A."""
        unit = np.ldexp(1.0, np.frexp(np.sqrt(squares) * (1 + 2.0**-40))[1])
        first = _rounded(A, unit * (1.5 * 2.0 ** (52 - bits)))
        rest = A - first
        second = _rounded(rest, unit * (1.5 * 2.0 ** (52 - 2 * bits)))
        halves = (unit * 2.0 ** (-bits - 1), unit * 2.0 ** (-2 * bits - 1))
        return cls((first, second), (rest, rest - second), halves)


def _rounded(A: Array, shift: Array) -> Array:
    return (A + shift) - shift


class System(NamedTuple):
    """Scaled systems of one chunk: S (k, n, n), its inverse W, right-hand sides b (k, n, p)."""

    S: Array
    W: Array
    b: Array
    split: Split
    sums: Array

    @classmethod
    def of(cls, S: Array, W: Array, b: Array) -> System:
        """The systems with what all their residuals share."""
        squares = (S * S).sum(axis=(1, 2), keepdims=True)
        split = Split.of(S, squares, slice_bits(S.shape[-1]))
        return cls(S, W, b, split, np.abs(S).sum(axis=2, keepdims=True))

    def residual(self, h: Array, low: Array) -> tuple[Array, Array]:
        """r and D of (1)."""
        n = self.S.shape[-1]
        s, bits = self.split, slice_bits(n)
        t = Split.of(h, (h * h).sum(axis=1, keepdims=True), bits)
        high, error = self.b, np.zeros_like(h)
        size = np.abs(self.b)
        for i, j in ((0, 0), (0, 1), (1, 0)):
            product = s.slices[i] @ t.slices[j]
            size += np.abs(product)
            high, left = two_sum(high, -product)
            error += left
        error -= s.slices[0] @ t.rests[1]
        error -= s.slices[1] @ t.rests[0]
        error -= s.rests[1] @ h
        error -= self.S @ low
        r = high + error
        a, x, y = self.sums, _largest(h), _largest(low)
        (H1, H2), (G1, G2) = s.halves, t.halves
        q = (a + n * H1) * G2 + 2 * n * H1 * G1 + n * H2 * x + a * y
        nu = 64 * n * (n + 4) * ETA * (1 + a) * (1 + x)
        return r, U * np.abs(r) + gamma(n + 8) * q + 64 * U * U * size + nu

    def refined(self) -> tuple[Array, Array]:
        """h and l, each column's corrections its own business."""
        h = self.W @ self.b
        low = np.zeros_like(h)
        before = _largest(h)
        going = np.isfinite(before)
        for _ in range(ROUNDS):
            r, _ = self.residual(h, low)
            d = self.W @ r
            size = _largest(d)
            going = going & (size <= 0.5 * before)
            total, left = two_sum(h, np.where(going, d + low, 0.0))
            h, low = np.where(going, total, h), np.where(going, left, low)
            going = going & (size > ENOUGH * _largest(h))
            if not going.any():
                break
            before = size
        return h, low

    def error(self, h: Array, low: Array) -> Array:
        """Bounds (k, n, p) on |S^-1 b - h - l|, by (2); inf where alpha >= 1."""
        n = self.S.shape[-1]
        r, D = self.residual(h, low)
        v = _row_sums_of_residual(self.W, self.S)[:, :, None]
        alpha = inflated(v.max(axis=1, keepdims=True), n)
        w = np.abs(self.W @ r)
        nu = 64 * n * (n + 4) * ETA * (1 + np.abs(self.W).sum(axis=2, keepdims=True))
        g = w + np.abs(self.W) @ (gamma(n + 2) * np.abs(r) + D) + nu * (1 + _largest(r))
        one = np.where(alpha < 1.0, 1.0 - alpha, np.nan)
        return inflated(g + v / one * _largest(g), 2 * n)


def _largest(columns: Array) -> Array:
    """The largest modulus of each column, (k, 1, p)."""
    return np.abs(columns).max(axis=1, keepdims=True)


def _row_sums_of_residual(W: Array, S: Array) -> Array:
    """At least sum_j |I - W S|_ij, (k, n); with 26 bits more where plain products say little."""
    n = S.shape[-1]
    W_stack, S_stack = Stack.of(W), Stack.of(S)
    found = residual(W_stack, S_stack, 1)
    v = found.rho + found.delta
    rough = np.flatnonzero(~(W_stack.largest(v) < 2.0**-10))
    if rough.size and n <= PRECISE_ORDER:
        finer = residual(W_stack[rough], S_stack[rough], 2)
        where = (slice(None), rough) if S_stack.last else rough
        v[where] = finer.rho + finer.delta
    return inflated(v.T if S_stack.last else v, n)


def solve_columns(A: Array, X: NDArray, B: Array, dtype: np.dtype) -> Columns:
    """Solve A Y = B for one chunk of finite systems, given approximate inverses.

    Parameters
    ----------
    A : (k, n, n) float64
    X : (k, n, n) float64 or float32
        approximate inverses; whatever they are, what is bounded is bounded rightly
    B : (k, n, p) float64
    dtype : dtype
        of the solutions: float64 or float32

    Notes
    -----
    Cost: 1 product of order n, 3 where that leaves ‖I - XA‖ above 2^-10; for each correction 8
    products of an n x n by an n x p matrix, and as many for the bound.
    """
    scaled = Scaled.of(A)
    S, W = scaled.S.matrices(), scaled.scaled(Stack.of(X)).matrices()
    rows, columns = scaled.rows[:, :, None], scaled.columns[:, :, None]
    exponent = _exponents(B, rows)
    system = System.of(S, W, np.ldexp(B, -(rows + exponent)))
    h, low = system.refined()
    held = np.ldexp(h, exponent - columns).astype(dtype)
    back = np.ldexp(held.astype(np.float64), columns - exponent)
    E = np.abs((h - back) + low) + system.error(h, low) + 4 * ETA * (1 + _largest(h))
    bound = np.ldexp(inflated(E, 0), exponent - columns).max(axis=1)
    bound = np.nextafter(bound + smallest_result(), np.inf)
    bound = np.where(np.isfinite(held).all(axis=1) & np.isfinite(bound), bound, np.inf)
    nothing = (B == 0).all(axis=1) & np.isfinite(bound)
    return Columns(held, np.where(nothing, 0.0, bound))


def _exponents(B: Array, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """f (k, 1, p) for which the columns of 2^(-rows - f) B have their largest in [1/2, 1)."""
    lowest = -(1 << 20)
    sizes = np.where(B == 0, lowest, np.frexp(B)[1].astype(np.int64) - rows)
    largest = sizes.max(axis=1, keepdims=True)
    return np.where(largest > lowest // 2, largest, 0)
