r"""The last step to an inverse, and a bound on its error that costs no product more.

**Step.** Let X be a candidate, r close to R = I - A X (`residual`), v_i = rho_i + delta_i, so that
the row sums of |R| and of |r| are at most v, and alpha = max_i v_i < 1. Then A and X are
nonsingular, A^-1 = X (I - R)^-1, and with d = 1, 2, 4, 8, ...

.. math:: Y = r + r^2 + \dots + r^d, \qquad C = fl(X Y), \qquad Z = fl(X + C)

(Y_{2d} = Y_d + r^d (r^d + Y_d) - r^{2d} ... is evaluated as S <- S + P S, P <- P^2, from
S = r, P = r: S_{2d} = S_d + r^d S_d.)

**Error.** A^-1 - Z = (X + C - Z) + (X Y - C) + X (sum_{k<=d} R^k - Y) + X R^{d+1} (I - R)^-1.

* e = X + C - Z is known exactly (a two-sum).
* |X Y - C| <= gamma_n |X||Y|.
* Put f = |X| v and t = |X| delta; row sums of |X||R|^k are at most f alpha^{k-1}. By
  R^k - r^k = sum_i R^i (R - r) r^{k-1-i}, those of |X||R^k - r^k| are at most
  t alpha^{k-1} + (k-1) f D alpha^{k-2}, D = max_i delta_i; over all k
  t/(1 - alpha) + f D/(1 - alpha)^2.
* Rounding in Y: each doubling rounds two products and a sum: |error of S| <= gamma_{n+1} of the
  product's moduli and u|S|, that of P <= gamma_n |r^d||r^d|, carried on through later products with
  moduli whose row sums are at most alpha. All row sums carry a factor v_i, and the sum over the
  doublings is at most v_i (u + 4 gamma_{n+2} alpha)/(1 - alpha)^2. (The first doubling has
  gamma_n v alpha from r r and u v (1 + alpha) from the sum; the next S rounds once more, to u of
  its own; P's errors enter with alpha^{d-1} to spare.)
* |X||R|^{d+1}|(I - R)^-1| has row sums of at most f alpha^d/(1 - alpha).

So, with (1 + (4n + 64) u) for the roundings of the bound itself, the row sums of |A^-1 - Z| - |e|
are at most

.. math:: b_i = \Bigl[ t_i + f_i \Bigl( \gamma_{n+2} + u + \alpha^d
    + \frac{D + 6 \gamma_{n+2} \alpha}{1 - \alpha} \Bigr) \Bigr] \frac{1}{1 - \alpha}
    + 128 n (n + 4) \eta (1 + \sigma_i),                                                  \tag{1}

sigma = |X| 1; underflow loses at most 12 n eta an entry in r's powers and in C, n columns, carried
through X. ("u": rounding of S, whose sums are at most v/(1 - alpha).)

**A given X.** Without the step, Z = X and e = C: the same bound, that of `certify`.

References
----------
Rump 2010, "Verification methods: rigorous results using floating-point arithmetic", Acta Numerica
19, section 10; Ogita, Rump & Oishi 2005, SIAM J. Sci. Comput. 26. Taking the bound out of the step
itself is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.residual import (
    ETA,
    Residual,
    U,
    gamma,
    residual,
    two_sum,
)
from deepmatrixinversion.linalg.stack import Array, Stack

NEGLIGIBLE = 2.0**-58
"""What alpha^(d+1) may add to an inverse's relative error: 1/32 of u."""

LARGEST_DEGREE = 64


class Proof(NamedTuple):
    """Inverses with all that bounds their error, for k matrices of order n.

    Attributes
    ----------
    Z : Stack
    known : Stack
        |A^-1 - Z| <= |known| + a matrix whose row sums are at most ``rest``
    rest : vectors
        (1); inf where alpha >= 1, or NaN came up
    alpha : (k,)
        at least ‖I - A X‖inf of the candidate that Z was made from; inf for NaN
    """

    Z: Stack
    known: Stack
    rest: Array
    alpha: Array

    def at(self, index: NDArray[np.intp]) -> Proof:
        """The matrices at ``index``."""
        rest = self.rest[:, index] if self.Z.last else self.rest[index]
        return Proof(self.Z[index], self.known[index], rest, self.alpha[index])

    def put(self, index: NDArray[np.intp], other: Proof) -> None:
        """Replace the matrices at ``index``, in place."""
        self.Z[index], self.known[index] = other.Z, other.known
        self.rest[(slice(None), index) if self.Z.last else index] = other.rest
        self.alpha[index] = other.alpha


def inflated(bound: Array, n: int) -> Array:
    """The bound times 1 + (4 n + 64) u, rounded up; NaN becomes inf."""
    raised = np.nextafter(bound * (1.0 + (4 * n + 64) * U), np.inf)
    return np.where(np.isnan(raised), np.inf, raised)


PRECISE_ORDER = 128
"""Largest order whose residuals get as many slices as a tight bound asks for; above, 2 serve."""


def slices_needed(A: Stack, X: Stack) -> NDArray[np.int64]:
    """Slices after which the residual's own error is no matter, by (2) of `residual`: 2 to 4."""
    n = A.order
    if n > PRECISE_ORDER:
        return np.full(len(A), 2)
    size = A.norm() * X.norm()
    more = np.where(n**3 * 2.0**-51 * size < 2.0**-5, 3, 4)
    return np.where(n * n * 2.0**-26 * size < 2.0**-5, 2, more)


def polish(A: Stack, X: Stack, slices: NDArray[np.int64]) -> Proof:
    """Z = X + X (r + ... + r^d) with its error; X itself where the residual is 1 or more.

    d is the power of two that each matrix needs. Cost in products: the residual's 1 to 10, 1 for
    X Y, and 2 for each doubling of d (1 for the first).
    """
    return _grouped(_polish, A, X, slices)


def prove(A: Stack, X: Stack, slices: NDArray[np.int64]) -> Proof:
    """The same bound for X as it is: ``known`` is X (r + ... + r^d), and Z is X."""
    return _grouped(_prove, A, X, slices)


def _grouped(
    step: Callable[[Stack, Stack, int], Proof], A: Stack, X: Stack, slices: NDArray[np.int64]
) -> Proof:
    """``step`` with each matrix's own number of slices."""
    counts = np.unique(slices).tolist()
    if len(counts) == 1:
        return step(A, X, counts[0])
    vectors = (A.order, len(A)) if A.last else (len(A), A.order)
    proof = Proof(X.copy(), X.copy(), np.empty(vectors), np.empty(len(A)))
    for count in counts:
        index = np.flatnonzero(slices == count)
        proof.put(index, step(A[index], X[index], count))
    return proof


def _polish(A: Stack, X: Stack, slices: int) -> Proof:
    proof = _prove(A, X, slices)
    C = proof.known
    Z, left = two_sum(X.array, C.array)
    bad = np.flatnonzero(~(proof.alpha < 1.0))
    polished = proof._replace(Z=Stack(Z, X.last), known=Stack(left, X.last))
    if bad.size:
        polished.Z[bad], polished.known[bad] = X[bad], C[bad]
    return polished


def _prove(A: Stack, X: Stack, slices: int) -> Proof:
    n = A.order
    found = residual(A, X, slices)
    v = found.rho + found.delta
    alpha = inflated(X.largest(v), n)
    Y, remainder = _series(found, alpha, n)
    f, t, sigma = X.moduli(v, found.delta, np.ones_like(v))
    one = np.where(alpha < 1.0, 1.0 - alpha, np.nan)
    g = gamma(n + 2)
    factor = (X.largest(found.delta) + 6 * g * alpha) / one + (g + U + remainder)
    rest = (t + f * X.rowwise(factor)) * X.rowwise(1.0 / one)
    rest += 128 * n * (n + 4) * ETA * (1.0 + sigma)
    return Proof(X, X @ Y, inflated(rest, n), alpha)


def _series(found: Residual, alpha: Array, n: int) -> tuple[Stack, Array]:
    """Y, and alpha^d, for each matrix's own d."""
    Y = found.r
    remainder = alpha.copy()
    # Rounding leaves no more than gamma alpha: no use in going on below that.
    enough = NEGLIGIBLE + gamma(n) * alpha
    index = np.flatnonzero((alpha < 1.0) & (alpha * remainder > enough))
    if not index.size:
        return Y, remainder
    Y = Y.copy()
    S = Y[index]
    P = S @ S
    S, degree = S + P, 2
    while True:
        # alpha^d by repeated squaring rounds up to d u; (1 + 64 u) for each is to spare in (1).
        remainder[index] = remainder[index] ** 2 * (1.0 + 64 * U)
        going = (alpha[index] * remainder[index] > enough[index]) & (degree < LARGEST_DEGREE)
        done = np.flatnonzero(~going)
        if done.size:
            Y[index[done]] = S[done]
        keep = np.flatnonzero(going)
        if not keep.size:
            return Y, remainder
        if done.size:
            index, S, P = index[keep], S[keep], P[keep]
        S, degree = S + P @ S, 2 * degree
        if degree < LARGEST_DEGREE:
            P = P @ P
