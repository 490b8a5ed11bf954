"""Iterations that turn approximate inverses, or none, into inverses with matrix products only."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.linalg.product import (
    Array,
    batch_axis,
    chunks,
    doubled_residual,
    frobenius,
    from_layout,
    product,
    put,
    residual,
    spread,
    take,
    to_layout,
    transpose,
)

Steps = NDArray[np.int64]

POLISH_BELOW = 2.0**-18
"""A residual below which one step of `polish_layout` reaches working accuracy (R^3 < u / 2)."""


class Refinement(NamedTuple):
    """Refined inverses: ``X`` (..., n, n), ``residual`` ‖I - A X‖F (...), ``steps`` taken (...)."""

    X: Array
    residual: Array
    steps: Steps


def newton_layout(
    A: Array,
    X: Array,
    axis: int,
    max_steps: int = 50,
    tol: float | Array = 0.0,
    *,
    left: bool = False,
) -> tuple[Array, Array, Steps]:
    """`refine` for one chunk in the layout ``axis``; returns ``X`` itself where no step is taken.

    ``tol`` may be one value for each matrix. With ``left``, R = I - X A and X <- X + R X: the same
    in exact arithmetic, but rounding errors leave the residual on the chosen side small, and up to
    kappa times larger the one on the other.
    """
    R = residual(X, A, axis) if left else residual(A, X, axis)
    best = frobenius(R, axis)
    steps = np.zeros(len(best), dtype=np.int64)
    index = np.flatnonzero((best > tol) & (best < np.inf))
    limit = np.broadcast_to(tol, best.shape)[index]
    if not index.size:
        return X, best, steps
    a, x, rho, out = A, X, best.copy(), X
    if index.size < len(best):
        a, x, R, rho = take(A, index, axis), take(X, index, axis), take(R, index, axis), best[index]
        out = X.copy()

    def finish(which: NDArray[np.bool_] | slice, iterate: Array, norm: Array) -> None:
        """Keep these iterates of the matrices in progress."""
        nonlocal out
        where = index[which]
        if where.size == len(best):
            out = iterate
        elif where.size:
            out = X.copy() if out is X else out
            done = np.arange(len(index))[which]
            put(out, where, iterate if done.size == len(index) else take(iterate, done, axis), axis)
        best[where] = norm[which]

    for _ in range(max_steps):
        # A step squares a residual far below 1, or cubes it as X + X (R + R^2): where that
        # reaches the tolerance there is nothing left to measure.
        predicted = rho * rho
        cubic = np.flatnonzero((predicted > limit) & (predicted * rho <= limit))
        if cubic.size:
            r = take(R, cubic, axis)
            put(R, cubic, r + product(r, r, axis), axis)
            predicted[cubic] *= rho[cubic]
        x_next = product(R, x, axis) if left else product(x, R, axis)
        x_next += x
        steps[index] += 1
        certain = predicted <= limit
        if certain.all():
            finish(slice(None), x_next, predicted)
            return out, best, steps
        R = residual(x_next, a, axis) if left else residual(a, x_next, axis)
        rho_next = np.where(certain, predicted, frobenius(R, axis))
        better = rho_next < rho
        # Where a small residual is not at least halved, rounding has the upper hand already.
        going = better & (rho_next > limit) & ~((rho < 0.25) & (rho_next > 0.5 * rho)) & ~certain
        if going.all():
            x, rho = x_next, rho_next
            continue
        finish(better & ~going, x_next, rho_next)
        finish(~better, x, rho)
        keep = np.flatnonzero(going)
        if not keep.size:
            return out, best, steps
        index, rho, limit = index[keep], rho_next[keep], limit[keep]
        a, x, R = take(a, keep, axis), take(x_next, keep, axis), take(R, keep, axis)
    finish(slice(None), x, rho)
    return out, best, steps


def refine(A: ArrayLike, X: ArrayLike, max_steps: int = 50, *, tol: float = 0.0) -> Refinement:
    r"""Refine approximate inverses by Newton-Schulz steps until the residual stops shrinking.

    .. math:: X \leftarrow X + X R, \qquad R = I - A X, \qquad R \to R^2

    Each matrix stops by itself, and then costs nothing more; the best iterate is kept, so that no
    residual ends larger than it began. A NaN or an infinity stops its own matrix only.

    Parameters
    ----------
    A, X : (..., n, n) array_like
        matrices and approximate inverses, computed with in float64
    max_steps : int
        largest number of steps for each matrix
    tol : float
        a residual at or below which a matrix is done; where one step of second or third order
        (X + X (R + R^2)) must reach it, that step is taken and not measured

    Returns
    -------
    Refinement
        ``residual`` is the measured Frobenius norm, inf where it is not finite, or (with ``tol``)
        the square or cube of the one before

    Notes
    -----
    Cost: 1 product and 2 a step; with ``tol`` the last step takes 1, or 2 at third order.

    Examples
    --------
    >>> result = refine([[4.0, 0.0], [0.0, 2.0]], [[0.24, 0.01], [0.0, 0.51]])
    >>> result.X.round(12).tolist(), bool(result.residual < 1e-15)
    ([[0.25, 0.0], [0.0, 0.5]], True)

    References
    ----------
    Schulz 1933, "Iterative Berechnung der reziproken Matrix", ZAMM 13.
    """
    A = np.asarray(A, dtype=np.float64)
    X = np.asarray(X, dtype=np.float64)
    n = A.shape[-1]
    batch = A.shape[:-2]
    k = math.prod(batch)
    a, x = A.reshape(k, n, n), np.array(X).reshape(k, n, n)
    norms, steps = np.zeros(k), np.zeros(k, dtype=np.int64)
    if n:
        axis = batch_axis(n)
        with np.errstate(all="ignore"):
            for part in chunks(k, n):
                refined, norms[part], steps[part] = newton_layout(
                    to_layout(a[part], axis), to_layout(x[part], axis), axis, max_steps, tol
                )
                x[part] = from_layout(refined, axis)
    return Refinement(x.reshape(A.shape), norms.reshape(batch), steps.reshape(batch))


def polish_layout(A: Array, X: Array, axis: int) -> tuple[Array, Array]:
    """One step X + X (R + R^2), R in doubled precision, and the norm of R; for one chunk.

    R^2 is left out where no residual of the chunk's matrices needs it; a matrix's own bits do not
    depend on that, because it is added to those matrices alone.
    """
    R = doubled_residual(A, X, axis)
    rho = frobenius(R, axis)
    large = np.flatnonzero((rho > 2.0**-28) & (rho < 1.0))
    if large.size:
        r = take(R, large, axis)
        put(R, large, r + product(r, r, axis), axis)
    step = product(X, R, axis)
    step += X
    # A step from a residual of 1 or more proves nothing; keep the start there.
    bad = np.flatnonzero(~(rho < 1.0))
    if bad.size:
        put(step, bad, take(X, bad, axis), axis)
    return step, rho


def polish(A: ArrayLike, X: ArrayLike) -> Array:
    r"""Polish approximate inverses to a forward error of about one rounding of X.

    .. math:: X \leftarrow X + X (R + R^2), \qquad R = I - A X \text{ in doubled precision}

    leaves a normwise relative error of about u + \|R\|^3 + 2^{-26} u \kappa(A), where a step in
    working precision, like LAPACK's inverse, leaves about u \kappa(A). Residuals of 1 or more are
    left alone.

    Parameters
    ----------
    A, X : (..., n, n) array_like
        A of moderate scale, such as `scaling.normalise` gives

    Returns
    -------
    (..., n, n) float64

    Notes
    -----
    Cost: 4 products, 5 where the residual exceeds 2^-28.

    Examples
    --------
    >>> float(polish([[0.75]], [[1.3333333]])[0, 0]) == 1 / 0.75
    True
    """
    A = np.asarray(A, dtype=np.float64)
    X = np.array(X, dtype=np.float64)
    n = A.shape[-1]
    k = math.prod(A.shape[:-2])
    a, x = A.reshape(k, n, n), X.reshape(k, n, n)
    axis = batch_axis(n)
    if n:
        with np.errstate(all="ignore"):
            for part in chunks(k, n):
                y, _ = polish_layout(to_layout(a[part], axis), to_layout(x[part], axis), axis)
                x[part] = from_layout(y, axis)
    return x.reshape(A.shape)


def _symmetrised_start(A: Array, axis: int, X: Array | None) -> Array:
    """alpha A^T, or alpha X (A X)^T: then A times the start is alpha B B^T, eigenvalues in [0, 1].

    Overflow or NaN in the guess falls back on alpha A^T.
    """
    if X is not None:
        B = product(A, X, axis)
        start = product(X, transpose(B, axis), axis)
        scale = frobenius(B, axis)
        start *= spread(1.0 / (scale * scale), axis)
        bad = np.flatnonzero(~np.isfinite(frobenius(start, axis)))
        if bad.size:
            put(start, bad, _symmetrised_start(take(A, bad, axis), axis, None), axis)
        return start
    scale = frobenius(A, axis)
    scale = np.where(scale > 0, scale, 1.0)  # a zero matrix starts, and stays, at X = 0
    return transpose(A, axis) * spread(1.0 / (scale * scale), axis)


def transpose_layout(
    A: Array, X: Array | None, axis: int, max_steps: int = 130
) -> tuple[Array, Array, Steps]:
    """`iterate_from_transpose` for one chunk in the layout ``axis``."""
    n = A.shape[1]
    x = _symmetrised_start(A, axis, X)
    k = A.shape[axis]
    out, best = x.copy(), np.full(k, np.inf)
    steps = np.zeros(k, dtype=np.int64)
    index, a = np.arange(k), A
    for step in range(max_steps):
        R = residual(a, x, axis)
        rho = frobenius(R, axis)
        # The eigenvalues of R start in [0, 1) and are squared: a norm beyond sqrt(n) is noise.
        lost = ~(rho < 2.0 * math.sqrt(n) + 1.0)
        if step % 8 == 7:
            lost |= frobenius(x, axis) > 2.0**60
        ended = (rho < 0.5) | lost
        if ended.any():
            leaving = np.flatnonzero(ended)
            put(out, index[leaving], take(x, leaving, axis), axis)
            best[index[leaving]] = rho[leaving]
            keep = np.flatnonzero(~ended)
            if not keep.size:
                index = keep
                break
            index, a, x, R = index[keep], *(take(M, keep, axis) for M in (a, x, R))
        x = x + product(x, R, axis)
        steps[index] += 1
    if index.size:
        put(out, index, x, axis)
    out, best, more = newton_layout(A, out, axis)
    return out, best, steps + more


def iterate_from_transpose(
    A: ArrayLike, guess: ArrayLike | None = None, max_steps: int = 130
) -> Refinement:
    r"""Invert without a good guess, by Newton-Schulz steps from a start that always converges.

    From :math:`X_0 = \alpha A^T`, :math:`\alpha = 1/\|A\|_F^2`, the residual's eigenvalues start in
    [0, 1) and are squared by each step. A guess whose residual is 1 or more is turned into one
    of the same kind, :math:`X_0 = X (A X)^T / \|A X\|_F^2`, which needs only
    about 2 log2 kappa(A X) steps instead of 2 log2 kappa(A).

    Parameters
    ----------
    A : (..., n, n) array_like
        of moderate scale, such as `scaling.normalise` gives
    guess : (..., n, n) array_like, optional
    max_steps : int
        steps before the residual falls below 1/2; singular matrices take them all, or fewer where
        the iterate exceeds 2^60

    Returns
    -------
    Refinement
        with a residual of 1 or more where the iteration failed

    Notes
    -----
    Cost: 2 products a step, 2 more with a guess. Stable: rounding errors are not amplified beyond
    u kappa (Söderström & Stewart 1974), so it converges for kappa up to about 1e15.

    Examples
    --------
    >>> iterate_from_transpose([[0.5, 0.0], [0.0, 0.25]]).X.round(12).tolist()
    [[2.0, 0.0], [0.0, 4.0]]

    References
    ----------
    Ben-Israel & Cohen 1966, "On iterative computation of generalized inverses and associated
    projections", SIAM J. Numer. Anal. 3; Söderström & Stewart 1974, "On the numerical properties
    of an iterative method for computing the Moore-Penrose generalized inverse", ibid. 11.
    """
    A = np.asarray(A, dtype=np.float64)
    n = A.shape[-1]
    batch = A.shape[:-2]
    k = math.prod(batch)
    a = A.reshape(k, n, n)
    g = None if guess is None else np.asarray(guess, dtype=np.float64).reshape(k, n, n)
    x, norms, steps = np.empty_like(a), np.zeros(k), np.zeros(k, dtype=np.int64)
    axis = batch_axis(n)
    if n:
        with np.errstate(all="ignore"):
            for part in chunks(k, n):
                start = None if g is None else to_layout(g[part], axis)
                y, norms[part], steps[part] = transpose_layout(
                    to_layout(a[part], axis), start, axis, max_steps
                )
                x[part] = from_layout(y, axis)
    return Refinement(x.reshape(A.shape), norms.reshape(batch), steps.reshape(batch))
