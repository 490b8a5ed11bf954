r"""Large matrices: an inverse corrected once, in single precision, and bounded by norms.

**Step.** Let X be a candidate for the inverse of A, ‖A‖F < 1, r the residual I - A X in working
precision (`residual`, s = 1), Y = r, or r + r^2, d = 1 or 2 its degree, C = fl32(X Y) and
Z = fl(X + C). The correction is small, so single precision serves; it costs half a product, and
so does r^2. Where r is not so small, r^2 is taken in single precision and X Y in double.

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
* With X Y in double precision f has gamma_{n+2} instead; for f^1 V, gamma'_{2n+5} is more than
  enough.
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
minds. Where they are more, X Y in double precision leaves X r^3 alone; or else X is refined first,
and measured again.

References
----------
Rump 2010, "Verification methods: rigorous results using floating-point arithmetic", Acta Numerica
19, section 10; Moler 1967, "Iterative refinement in floating point", J. ACM 14 (precisions).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion import kernel
from deepmatrixinversion.linalg.halving import signs
from deepmatrixinversion.linalg.polish import inflated
from deepmatrixinversion.linalg.residual import U, error_sums, gamma
from deepmatrixinversion.linalg.stack import Array, I, Stack

V32 = 2.0**-24
ETA32 = 2.0**-125

LARGEST = 2.0**100
"""Largest sum of a candidate's moduli that single precision is trusted with."""

NEGLIGIBLE = 4 * U
"""An error, relative in the Frobenius norm, that nobody minds."""

ROUNDS = 4
"""Residuals taken of one matrix, at most."""

PROBES = 4
"""Vectors that measure X r^2: one alone would miss it by a factor of ten in one case of twelve."""

REFINABLE = 2.0**-6
"""A residual that one step in float64 brings below 2^-12."""


class Step(NamedTuple):
    """A correction's degree, and whether X Y is taken in single precision."""

    degree: int
    single: bool


STEPS = (Step(1, single=True), Step(2, single=True), Step(2, single=False))


class Correction(NamedTuple):
    """Corrected inverses of k matrices with their bounds, beside weights W (k, n, m).

    Attributes
    ----------
    X : (k, n, n)
        the candidate, as it was left, where nothing is proven
    residual : (k,)
        ‖I - A X‖F of the last candidate, about
    error : (k, n, m)
        at least |A^-1 - X| W; inf where nothing is proven
    modulus : (k, n, m)
        at least |X| W
    size : (k,)
        at most ‖X‖inf
    """

    X: Array
    residual: Array
    error: Array
    modulus: Array
    size: Array


def corrected(A: Array, X: Array, W: Array) -> Correction:
    """Correct candidates, and bound |A^-1 - Z| W by (1).

    Parameters
    ----------
    A : (k, n, n)
        of Frobenius norm below 1
    X : (k, n, n)
        overwritten
    W : (k, n, m)
        weights in [0, 1], the first column ones

    Notes
    -----
    Cost: 1.5 products, 2 with r^2; 2 more for each step of refinement. A matrix's bits do not
    depend on its neighbours.
    """
    k = len(A)
    nothing = np.full(W.shape, np.inf)
    out = Correction(X, np.full(k, np.inf), nothing, nothing.copy(), np.zeros(k))
    index = np.arange(k)
    for _ in range(ROUNDS):
        a, x = (A, X) if index.size == k else (A[index], X[index])
        r = (I - Stack(np.matmul(a, x), last=False)).array
        before, size = out.residual[index], norms(r)
        out.residual[index] = size
        chosen = np.where(size < REFINABLE, _chosen(a, x, r, size), len(STEPS))
        going = np.flatnonzero((chosen < 0) & (4 * size < before))
        refined = x[going] + np.matmul(x[going], r[going]) if going.size else x
        for number, step in enumerate(STEPS):
            here = np.flatnonzero(chosen == number)
            if here.size:
                _put(out, index, here, (a, x, r, W), step)
        if not going.size:
            break
        index = index[going]
        X[index] = refined
    return out


def norms(A: Array) -> Array:
    """Frobenius norms (k,)."""
    return Stack(np.ascontiguousarray(A), last=False).norm()


def moduli(A: Array, V: Array) -> Array:
    """|A| V."""
    if kernel.available():
        return kernel.moduli(A, V)
    n = A.shape[1]
    step, out = max(1, (1 << 15) // n), np.empty(V.shape)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        part = np.abs(A[:, rows])
        for j in range(V.shape[2]):  # BLAS's bits depend on how many columns there are
            out[:, rows, j] = np.matmul(part, V[:, :, j : j + 1])[:, :, 0]
    return out


def squares(A: Array, v: Array) -> tuple[Array, Array]:
    """The entries' squares times v (k, n), and their sums along columns (k, n)."""
    if kernel.available():
        return kernel.squares(A, v)
    S = A * A
    return np.matmul(S, v[:, :, None])[:, :, 0], S.sum(axis=1)


def _chosen(A: Array, X: Array, r: Array, size: Array) -> NDArray[np.int64]:
    """The first of `STEPS` that is accurate enough, by its number; -1 where none is."""
    chosen = np.full(len(A), -1)
    # ‖X r^2‖ <= ‖X‖ ‖r‖^2, and so on: then measuring is no use.
    chosen[V32 * size + size * size < NEGLIGIBLE] = 0
    todo = np.flatnonzero(chosen < 0)
    if todo.size == len(A):
        return _measured_choice(A, X, r)
    if todo.size:
        chosen[todo] = _measured_choice(A[todo], X[todo], r[todo])
    return chosen


def _measured_choice(A: Array, X: Array, r: Array) -> NDArray[np.int64]:
    ones = np.ones(A.shape[:2])
    rows, columns = squares(X, ones)
    size = np.sqrt(rows.sum(axis=1))
    allowed = U * np.sqrt((columns * squares(A, rows)[0]).sum(axis=1)) + NEGLIGIBLE * size
    single = V32 * np.sqrt((columns * squares(r, ones)[0]).sum(axis=1))
    times = kernel.products if kernel.available() else np.matmul
    probes = np.broadcast_to(signs(A.shape[1], PROBES), (len(A), A.shape[1], PROBES))
    power = times(r, times(r, probes))
    moved = times(X, np.concatenate([power, times(r, power)], axis=2))
    second, third = (norms(m) / np.sqrt(PROBES) for m in np.split(moved, 2, axis=2))
    left = np.stack([second + single, third + single, third], axis=1)
    enough = left <= allowed[:, None]
    return np.where(enough.any(axis=1), enough.argmax(axis=1), -1)


def _put(
    out: Correction,
    index: NDArray[np.intp],
    here: NDArray[np.intp],
    matrices: tuple[Array, Array, Array, Array],
    step: Step,
) -> None:
    """Z and its bounds at ``index[here]``, by the matrices A, X and r at ``here``, W at all."""
    A, X, r, W = matrices
    where = index[here]
    if len(here) < len(A):
        A, X, r = A[here], X[here], r[here]
    if len(here) < len(W):
        W = W[where]
    sums = Sums.of(A, X, r, W)
    C = _correction(X, r, step)
    error, out.modulus[where], out.size[where] = sums.bounds(step)
    out.error[where] = error
    if len(here) == len(out.X):
        np.add(X, C, out=out.X)
    else:
        out.X[where] = X + C


def _correction(X: Array, r: Array, step: Step) -> NDArray:
    """C, in the step's precision; r is overwritten."""
    Y = r.astype(np.float32)
    if step.degree == 2 and step.single:
        Y += Y @ Y
    elif step.degree == 2:
        r += Y @ Y
    return X.astype(np.float32) @ Y if step.single else X @ r


class Sums(NamedTuple):
    """What the bounds are made of: (k, n, m) each, and tau = sum sigma (k, 1, 1)."""

    sigma: Array
    delta: Array
    v: Array
    t: Array
    f: Array
    tau: Array

    @classmethod
    def of(cls, A: Array, X: Array, r: Array, W: Array) -> Sums:
        """The row sums of a candidate's moduli beside W."""
        k, n, m = W.shape
        sigma, rho = moduli(X, W), moduli(r, W)
        sums = moduli(A, np.concatenate([np.ones((k, n, 1)), sigma], axis=2))
        tau = sigma[:, :, :1].sum(axis=1, keepdims=True)
        delta = error_sums(n, rho, 0.0, sums[:, :, 1:], sums[:, :, :1], tau)
        v = rho + delta
        both = moduli(X, np.concatenate([delta, v], axis=2))
        return cls(sigma, delta, v, both[:, :, :m], both[:, :, m:], tau)

    def bounds(self, step: Step) -> tuple[Array, Array, Array]:
        """(1), and bounds on |Z| W from above and ‖Z‖inf from below."""
        n = self.v.shape[1]
        t, f, sigma = self.t, self.f, self.sigma
        V = self.v.max(axis=1, keepdims=True)
        alpha = inflated(V[:, :, :1], n)
        rest = _gamma32(2 * n + 5) * V + V * alpha ** (step.degree - 1) / (1 - alpha)
        error = t + (_gamma32(n + 3) if step.single else gamma(n + 2)) * f
        if step.degree == 2:
            rest += self.delta.max(axis=1, keepdims=True)
            error += t[:, :, :1] * V
        error += f[:, :, :1] * rest
        change = 2 * (f + f[:, :, :1] * V)
        modulus = sigma + change
        error += U * modulus + 32 * n * (n + 2) * ETA32 * (1 + sigma[:, :, :1])
        error = np.where((alpha < 1) & (self.tau < LARGEST), inflated(error, n), np.inf)
        largest = sigma[:, :, 0].max(axis=1) / inflated(np.ones(1), n)
        size = largest - inflated(change[:, :, 0].max(axis=1), n)
        return error, inflated(modulus, n), np.maximum(size, 0.0)


def _gamma32(m: int) -> float:
    """gamma'_m of single precision, rounded up."""
    return m * V32 / (1 - m * V32) * (1 + 4 * U)
