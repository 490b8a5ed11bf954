r"""Pseudo-inverses with a rank tolerance, by matrix products only.

From X0 = alpha A^T, Newton-Schulz steps X <- X (2I - A X) act on each singular triple alone:

.. math:: X_k = \sum_i \frac{p_i}{\sigma_i} v_i u_i^T, \qquad
          p_i = 1 - (1 - \alpha \sigma_i^2)^{2^k},

a spectral filter (Ben-Israel & Cohen 1966). Left to itself it needs 2 log2(sigma_1/sigma_r) steps,
and by then the rounding errors of the first ones, outside the range, have doubled as often. So we

* stop as soon as every p_i is near 0 or 1, or where p(tau) = 1/2 at the tolerance tau;
* purify, X <- X (3P - 2P^2) with P = A X: p <- p^2 (3 - 2p) sends p below 1/2 to 0, others to 1;
* project, X <- (XA)^T X (AX)^T, back into the row space on the left and range on the right;
* deflate, E = L^T L A R R^T with L = I - AX and R = I - XA in doubled precision: the singular
  triples that were not captured. X has errors of u sigma_1/sigma_r; L's lie in A's range, so
  that L^T L has them squared, E to the fourth power. The pseudo-inverse of A is the sum of those
  of its stages; E is the next stage's matrix, until its norm falls to tau. Small singular values
  become large ones of their stage, so few steps find them.

Small matrices of full rank, far from the tolerance, are spared all that (`full_rank`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.linalg.full_rank import full_rank_inverses
from deepmatrixinversion.linalg.residual import residual
from deepmatrixinversion.linalg.scaling import normalise, times_power
from deepmatrixinversion.linalg.stack import Array, Stack, chunks

STAGE_STEPS = 24
"""Longest stage: it captures singular values down to 2^-12 of the stage's largest."""

MAX_STAGES = 24


class PseudoInversion(NamedTuple):
    """Pseudo-inverses and what they satisfy.

    Attributes
    ----------
    pseudoinverse : (..., q, p)
    rank : (...) int64
        number of singular values above rtol sigma_1
    penrose : (..., 4) float64
        ‖AXA - A‖F/‖A‖F, ‖XAX - X‖F/‖X‖F, ‖AX - (AX)^T‖F/‖AX‖F, ‖XA - (XA)^T‖F/‖XA‖F, measured in
        working precision
    """

    pseudoinverse: NDArray
    rank: NDArray[np.int64]
    penrose: Array


def _norm(A: Array) -> Array:
    return Stack(A, last=False).norm()


def _residual(A: Array, X: Array) -> Array:
    """I - A X with about 26 bits more than working precision."""
    return residual(Stack(A, last=False), Stack(X, last=False), 2).r.array


def largest_singular_value(A: Array, squarings: int = 5) -> Array:
    r"""Upper bounds on sigma_1, within a factor p^(1/128) (1.03 at p = 64), of a (k, p, q) stack.

    .. math:: \sigma_1 \le \|(A A^T)^{2^s}\|_F^{1/2^{s+1}}

    up to rounding, s = ``squarings``. Cost: s + 1 products.
    """
    G = np.matmul(A, A.swapaxes(-1, -2))
    logarithm = np.zeros(len(A))
    for power in range(squarings + 1):
        size = _norm(G)
        logarithm += np.log(np.where(size > 0, size, 1.0)) / 2.0**power
        if power == squarings:
            break
        G *= (1.0 / np.where(size > 0, size, 1.0))[:, None, None]
        G = np.matmul(G, G)
    return np.where(_norm(A) > 0, np.exp(0.5 * logarithm), 0.0)


def _trace_and_defect(P: Array) -> tuple[Array, Array]:
    """tr P, and sum_i p_i (1 - p_i), which vanishes where P is idempotent."""
    trace = np.einsum("kii->ki", P).sum(axis=1)
    return trace, trace - np.einsum("kij,kji->k", P, P)


def _stage(E: Array, tau: Array) -> tuple[Array, NDArray[np.int64]]:
    """Pseudo-inverses of the largest singular triples of (k, p, q) matrices, and how many they are.

    Nothing at or below ``tau`` is captured, up to the accuracy of sigma_1.
    """
    k = len(E)
    sigma = largest_singular_value(E)
    # The number of steps after which p(tau) = 1/2, and alpha so that it is exactly that number.
    ratio = np.maximum(sigma / np.maximum(tau, np.finfo(float).tiny), 1.0)
    last = np.ceil(np.log2(np.log(2.0)) + 2.0 * np.log2(ratio)).clip(0.0, STAGE_STEPS)
    sharp = -np.expm1(-np.log(2.0) * 2.0**-last) * ratio * ratio
    alpha = np.where(last < STAGE_STEPS, np.minimum(sharp, 1.0), 1.0) / (sigma * sigma)
    X = E.swapaxes(-1, -2) * alpha[:, None, None]

    active = np.arange(k)
    for step in range(STAGE_STEPS + 1):
        e, x = E[active], X[active]
        P = np.matmul(e, x)
        _, defect = _trace_and_defect(P)
        going = (step < last[active]) & ((step < 3) | (defect > 0.01))
        active, x, P = active[going], x[going], P[going]
        if not active.size:
            break
        X[active] = 2.0 * x - np.matmul(x, P)

    active = np.arange(k)
    previous = np.full(k, np.inf)
    rank = np.zeros(k, dtype=np.int64)
    for _ in range(60):
        x = X[active]
        P = np.matmul(E[active], x)
        trace, defect = _trace_and_defect(P)
        rank[active] = np.where(np.isfinite(trace), np.rint(trace), 0).astype(np.int64)
        defect = np.abs(defect)
        # A p near 1/2 leaves it slowly, so a defect above 0.01 may stay for a while.
        going = (defect > 1e-12) & ((defect > 0.01) | (defect < 0.5 * previous[active]))
        previous[active] = defect
        active, x, P = active[going], x[going], P[going]
        if not active.size:
            break
        X[active] = np.matmul(x, 3.0 * P - 2.0 * np.matmul(P, P))
    X = _project(E, X)
    X = 2.0 * X - np.matmul(X, np.matmul(E, X))
    X[rank == 0] = 0.0
    return X, rank


def _project(A: Array, X: Array) -> Array:
    """(X A)^T X (A X)^T: rows of X back in the range of A, columns in its row space."""
    P = np.matmul(A, X)
    gram = np.matmul(X.swapaxes(-1, -2), X)
    left = np.matmul(A.swapaxes(-1, -2), gram)
    return np.matmul(left, P.swapaxes(-1, -2))


def _wide(A: Array, rtol: Array) -> tuple[Array, NDArray[np.int64]]:
    """Pseudo-inverses and ranks of normalised (k, p, q) matrices, p <= q."""
    X, done = full_rank_inverses(A, rtol)
    rank = np.where(done, A.shape[1], 0)
    todo = np.flatnonzero(~done)
    if todo.size:
        X[todo], rank[todo] = _staged(A[todo], rtol[todo])
    return X, rank


def _staged(A: Array, rtol: Array) -> tuple[Array, NDArray[np.int64]]:
    """The same of any rank."""
    k, p, _ = A.shape
    X = np.zeros((k, A.shape[2], p))
    rank = np.zeros(k, dtype=np.int64)
    tau = rtol * largest_singular_value(A)
    active, E = np.arange(k), A
    for _ in range(MAX_STAGES):
        going = (largest_singular_value(E) > tau[active]) & (_norm(E) < np.inf)
        active, E = active[going], E[going]
        if not active.size:
            break
        e, exponent = normalise(E)
        x, found = _stage(e, times_power(tau[active], -exponent))
        rank[active] += found
        a, total = A[active], X[active] + times_power(x, -exponent[:, None, None])
        X[active] = total
        # What is of full rank, or has nothing left above tau, is done.
        going = (found > 0) & (rank[active] < p)
        active, a, total = active[going], a[going], total[going]
        if not active.size:
            break
        left, right = _residual(a, total), _residual(total, a)
        E = np.matmul(np.matmul(left, a), right)
        E = np.matmul(np.matmul(left.swapaxes(1, 2), E), right.swapaxes(1, 2))
    # Stages are accurate to u sigma_1/sigma_r each; a step squares that, a second makes sure.
    for _ in range(2):
        R = _residual(A, X)
        _, defect = _trace_and_defect(R)
        sound = np.abs(defect) < 0.1
        X[sound] += np.matmul(X[sound], R[sound])
    return X, rank


def _penrose(A: Array, X: Array) -> Array:
    """The four relative Penrose residuals (k, 4)."""
    P, Q = np.matmul(A, X), np.matmul(X, A)
    defects = (
        (np.matmul(P, A) - A, A),
        (np.matmul(Q, X) - X, X),
        (P - P.swapaxes(1, 2), P),
        (Q - Q.swapaxes(1, 2), Q),
    )
    columns = []
    for defect, of in defects:
        size = _norm(of)
        columns.append(_norm(np.ascontiguousarray(defect)) / np.where(size > 0, size, 1.0))
    return np.stack(columns, axis=-1)


def pseudo_inverse(A: ArrayLike, rtol: ArrayLike | None = None) -> PseudoInversion:
    r"""Moore-Penrose inverses of any shape and rank, singular values below a tolerance taken as 0.

    .. math:: A^+ = \sum_{\sigma_i > \mathrm{rtol}\,\sigma_1} \frac{1}{\sigma_i} v_i u_i^T

    Parameters
    ----------
    A : (..., p, q) float64 or float32 array_like
        a matrix with NaN or infinite entries gives NaN and rank -1, and disturbs no neighbour
    rtol : (...) array_like, optional
        one for all or one each; max(p, q) eps by default, with eps of A's dtype, as NumPy's
        ``matrix_rank``

    Returns
    -------
    PseudoInversion
        ``pseudoinverse`` (..., q, p) of A's dtype

    Raises
    ------
    ValueError
        for fewer than two axes, another dtype, and rtol below 0, NaN, or of another shape

    Notes
    -----
    Cost of small matrices of full rank: an inverse, and 4 products for what is reported. Elsewhere,
    in products of A with a p x p matrix, p the smaller side: 2 a filter step, 3 a
    purification step, about 25 a stage beside them; one or two stages of 5 to 15 steps for matrices
    with a clear gap, one for every 2 to 3 decades of singular values otherwise.

    A singular value within a few u sigma_1 of the tolerance may fall to either side.

    Examples
    --------
    >>> result = pseudo_inverse([[1.0, 1.0], [1.0, 1.0]])
    >>> result.pseudoinverse.round(12).tolist(), int(result.rank)
    ([[0.25, 0.25], [0.25, 0.25]], 1)

    References
    ----------
    Ben-Israel & Cohen 1966, SIAM J. Numer. Anal. 3 (the iteration); McWeeny 1960, Rev. Mod.
    Phys. 32 (purification); Penrose 1955, Proc. Cambridge Phil. Soc. 51 (the four equations).
    Deflation with residuals in doubled precision is ours.
    """
    A = np.asarray(A)
    if A.ndim < 2:
        raise ValueError(f"matrices (..., p, q) are needed, not shape {A.shape}")
    if A.dtype.kind != "f" or A.dtype.itemsize not in (4, 8):
        raise ValueError(f"float64 or float32 matrices are needed, not {A.dtype}")
    dtype = A.dtype.newbyteorder("=")
    p, q = A.shape[-2:]
    batch = A.shape[:-2]
    k = math.prod(batch)
    default = max(p, q) * float(np.finfo(dtype).eps)
    given = np.asarray(default if rtol is None else rtol, dtype=np.float64)
    if not (given >= 0.0).all():
        raise ValueError(f"rtol must be at least 0, not {rtol}")
    try:
        # Below this, rounding errors would be counted as singular values.
        tolerance = np.broadcast_to(given, batch).reshape(k).clip(2.0**-52, 2.0)
    except ValueError:
        raise ValueError(
            f"rtol of shape {given.shape} does not fit matrices of shape {A.shape}"
        ) from None
    a = A.reshape(k, p, q)
    X = np.zeros((k, q, p), dtype=dtype)
    rank, penrose = np.zeros(k, dtype=np.int64), np.zeros((k, 4))
    if p and q:
        with np.errstate(all="ignore"):
            for part in chunks(k, max(p, q)):
                finite = np.asarray(np.isfinite(a[part]).all(axis=(1, 2)))
                S, exponent = normalise(np.where(finite[:, None, None], a[part], 0.0))
                tall = p > q
                W = np.ascontiguousarray(S.swapaxes(1, 2)) if tall else S
                Y, rank[part] = _wide(W, tolerance[part])
                penrose[part] = _penrose(W, Y)
                if tall:
                    Y = np.ascontiguousarray(Y.swapaxes(1, 2))
                    penrose[part] = penrose[part][:, [0, 1, 3, 2]]
                X[part] = times_power(Y, -exponent[:, None, None])
                bad = np.flatnonzero(~finite) + part.start
                X[bad], rank[bad], penrose[bad] = np.nan, -1, np.nan
    return PseudoInversion(X.reshape(*batch, q, p), rank.reshape(batch), penrose.reshape(*batch, 4))
