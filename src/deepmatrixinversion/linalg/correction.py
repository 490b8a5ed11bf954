r"""One large matrix: its inverse corrected once, in single precision, and bounded by norms.

**Step.** Let X be a candidate for the inverse of A, ‖A‖F < 1, r the residual I - A X in working
precision (`residual`, s = 1), Y = r, or r + r^2, d = 1 or 2 its degree, C = fl32(X Y) and
Z = fl(X + C). The correction is small, so single precision serves; it costs half a product, and
so does r^2.

**Error.** With R = I - A X exactly, v_i = rho_i + delta_i >= sum_j |R|_ij, |r|_ij, and
alpha = max v < 1, A and X are nonsingular, and

.. math:: A^{-1} - Z = (X + C - Z) + (X Y - C) + X \Bigl(\sum_{k \le d} R^k - Y\Bigr)
    + X R^{d+1} (I - R)^{-1}.

Weights 0 <= w_j <= 1 on the columns make of each modulus a vector: |X| w and so on. Let
delta^w >= |R - r| w, which is `residual.error_sums` with q = |A| (|X| w), v^w = |r| w + delta^w,
V = max v^w, D = max delta^w, t = |X| delta^w, f = |X| v^w (t^1, f^1, alpha where w is 1).

* |X + C - Z| <= u (|X| + |C|), since Z is within half a unit in its last place of X + C.
* X (R - r) gives t; R^2 - r^2 = (R - r) R + r (R - r) gives t^1 V + f^1 D.
* |X||R|^{d+1} |(I - R)^{-1}| w <= f^1 alpha^{d-1} V/(1 - alpha).
* Single precision, v = 2^-24, gamma'_m = m v/(1 - m v): X and r are rounded (1 + v each), so is
  their product, gamma'_n |X||r|: together gamma'_{n+2}. With r^2, off by gamma'_{n+2} |r|^2, and
  its sum with r, a factor 1 + v more: |X Y - C| w <= gamma'_{n+3} f + gamma'_{2n+5} f^1 V.
* |C| w <= 2 (f + f^1 V), by the same, for gamma'_{2n+5} < 1.
* Underflow, gradual or not, loses 2^-125 of an operand, and as much of each operation: with |r| at
  most 1, entry by entry, row sums of 32 n (n + 2) 2^-125 (1 + sigma_i), sigma = |X| 1, hold it all.

.. math:: |A^{-1} - Z| w \le t + t^1 V + f^1 \Bigl( D + \frac{\alpha^{d-1} V}{1 - \alpha}
    + \gamma'_{2n+5} V \Bigr) + \gamma'_{n+3} f + u (|X| w + 2 f + 2 f^1 V)
    + 32 n (n + 2) 2^{-125} (1 + \sigma).                                                 \tag{1}

(t^1 V and D are there for d = 2 alone.) Sums nest four deep, of n terms each: the factor
1 + (4n + 64) u of `polish.inflated` covers them.

**How good is enough.** The bound holds whatever is decided here; this is about accuracy. What no
correction by r can mend is X (R - r), about phi = u (sum_k s_k sum_l A_kl^2 x_l)^(1/2) in the
Frobenius norm if roundings are independent, s and x the sums of squares of X's columns and rows:
LAPACK's error is that or several times that. The other errors, 2^-24 (sum_k s_k ‖r_k‖^2)^(1/2) of
single precision and X R^{d+1}, measured by random probes, may add phi, or 4 u ‖X‖F, which nobody
minds. Where they are more, X is refined in float64, and measured again.

References
----------
Rump 2010, "Verification methods: rigorous results using floating-point arithmetic", Acta Numerica
19, section 10; Moler 1967, "Iterative refinement in floating point", J. ACM 14 (precisions).
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from deepmatrixinversion.linalg.polish import inflated
from deepmatrixinversion.linalg.residual import U, error_sums
from deepmatrixinversion.linalg.stack import Array

V32 = 2.0**-24
ETA32 = 2.0**-125

LARGEST_NORM = 2.0**100
"""Of a candidate: single precision ends at 2^127."""

ROUNDS = 4
"""Residuals taken of one matrix, at most."""

REFINABLE = 2.0**-6
"""A residual that one step in float64 brings below 2^-12."""


class Correction(NamedTuple):
    """A corrected inverse with its bounds; where there are none, the candidate as it was left.

    Attributes
    ----------
    Z : (n, n)
    residual : float
        ‖I - A X‖F of the last candidate, about
    error : (n, m)
        at least |A^-1 - Z| W; inf where nothing is proven
    modulus : (n, m)
        at least |Z| W
    size : float
        at most ‖Z‖inf
    """

    Z: Array
    residual: float
    error: Array
    modulus: Array
    size: float


def corrected(A: Array, X: Array, W: Array) -> Correction:
    """Correct a candidate, and bound |A^-1 - Z| W by (1).

    Parameters
    ----------
    A : (n, n)
        of Frobenius norm below 1
    X : (n, n)
        overwritten
    W : (n, m)
        weights in [0, 1], the first column ones

    Notes
    -----
    Cost: 1.5 products, 2 with r^2; 2 more for each step of refinement.
    """
    n, m = W.shape
    before = math.inf
    for _ in range(ROUNDS):
        r = np.matmul(A, X)
        np.negative(r, out=r)
        r.flat[:: n + 1] += 1.0
        size = norm(r)
        if not (size < REFINABLE and 4 * size < before):
            break
        degree = _degree(A, X, r)
        if degree:
            return _bounded(A, X, r, W, degree)
        X += np.matmul(X, r)
        before = size
    return Correction(X, size, np.full((n, m), np.inf), np.full((n, m), np.inf), 0.0)


def norm(A: Array) -> float:
    """Frobenius norm."""
    return math.sqrt(np.vdot(A, A))


def moduli(A: Array, V: Array) -> Array:
    """|A| V, a block of rows at a time."""
    return _by_rows(np.abs, A, V)


def squares(A: Array, V: Array) -> Array:
    """The entries' squares times V."""
    return _by_rows(np.square, A, V)


def _by_rows(function: np.ufunc, A: Array, V: Array) -> Array:
    step = max(1, (1 << 15) // A.shape[1])
    room = np.empty((min(step, len(A)), A.shape[1]))
    out = np.empty((len(A), V.shape[1]))
    for start in range(0, len(A), step):
        rows = A[start : start + step]
        np.matmul(function(rows, out=room[: len(rows)]), V, out=out[start : start + step])
    return out


@functools.lru_cache(maxsize=8)
def _probes(n: int) -> Array:
    """Eight random vectors of signs."""
    return np.random.default_rng(n).choice([-1.0, 1.0], (n, 8))


def _degree(A: Array, X: Array, r: Array) -> int:
    """1 or 2, whichever is accurate enough; 0 where neither is."""
    rows, columns = np.einsum("ij,ij->i", X, X), np.einsum("ij,ij->j", X, X)
    if not rows.sum() < LARGEST_NORM**2:
        return 0
    floor = U * math.sqrt(columns @ squares(A, rows[:, None])[:, 0])
    allowed = floor + 4 * U * math.sqrt(rows.sum()) - V32 * math.sqrt(
        columns @ np.einsum("ij,ij->i", r, r)
    )
    probes = _probes(len(A))
    power = r @ (r @ probes)
    for degree in (1, 2):
        if norm(X @ power) <= allowed * math.sqrt(probes.shape[1]):
            return degree
        power = r @ power
    return 0


def _bounded(A: Array, X: Array, r: Array, W: Array, degree: int) -> Correction:
    """Z, over X, and its bounds."""
    n, m = W.shape
    sigma, rho = moduli(X, W), moduli(r, W)
    size = norm(r)
    Y = r.astype(np.float32)
    del r
    if degree == 2:
        Y += Y @ Y
    C = X.astype(np.float32) @ Y
    a, q = np.split(moduli(A, np.hstack([np.ones((n, 1)), sigma])), [1], axis=1)
    delta = error_sums(n, rho, 0.0, q, a, sigma[:, 0].sum())
    v = rho + delta
    t, f = np.split(moduli(X, np.hstack([delta, v])), 2, axis=1)
    V, D = v.max(axis=0), delta.max(axis=0) * (degree == 2)
    alpha = float(inflated(V[:1], n)[0])
    rest = _gamma32(2 * n + 5) * V + D
    rest = rest + alpha ** (degree - 1) * V / (1 - alpha) if alpha < 1 else rest + np.inf
    change = 2 * (f + f[:, :1] * V)
    modulus = sigma + change
    error = t + t[:, :1] * V * (degree == 2) + f[:, :1] * rest + _gamma32(n + 3) * f
    error += U * modulus + 32 * n * (n + 2) * ETA32 * (1 + sigma[:, :1])
    largest, moved = sigma[:, 0].max(), change[:, 0].max()
    least = largest / inflated(np.ones(1), n)[0] - inflated(moved, n)
    np.add(X, C, out=X)
    return Correction(X, size, inflated(error, n), inflated(modulus, n), max(float(least), 0.0))


def _gamma32(m: int) -> float:
    """gamma'_m of single precision, rounded up."""
    return m * V32 / (1 - m * V32) * (1 + 4 * U)
