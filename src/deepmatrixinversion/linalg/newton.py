"""Newton-Schulz iteration: from an approximate inverse, or from none, with matrix products only."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.stack import Array, I, Stack

Steps = NDArray[np.int64]


class Refined(NamedTuple):
    """Refined inverses: ``X``, ``residual`` ‖I - A X‖F (k,), ``steps`` taken (k,)."""

    X: Stack
    residual: Array
    steps: Steps

    def at(self, index: NDArray[np.intp]) -> Refined:
        """The matrices at ``index``."""
        return Refined(self.X[index], self.residual[index], self.steps[index])


def newton_schulz(A: Stack, X: Stack, *, tol: float | Array = 0.0, max_steps: int = 24) -> Refined:
    r"""Newton-Schulz steps until the residual stops shrinking, or is at most ``tol``.

    .. math:: X \leftarrow X + X R, \qquad R = I - A X, \qquad R \to R^2

    Each matrix stops by itself, and then costs nothing more; the best iterate is kept, so that no
    residual ends larger than it began. A NaN or an infinity stops its own matrix only.

    Parameters
    ----------
    A, X : Stack
        matrices of moderate scale, and approximate inverses
    tol : float or (k,)
        a residual at or below which a matrix is done; where one step must reach it, that step is
        taken and not measured: the ``residual`` given back is then the square
    max_steps : int

    Returns
    -------
    Refined
        ``residual`` is inf where it is not finite

    Notes
    -----
    Cost: 1 product and 2 a step; with ``tol`` the last step takes 1.

    References
    ----------
    Schulz 1933, "Iterative Berechnung der reziproken Matrix", ZAMM 13.
    """
    R = I - A @ X
    rho = R.norm()
    limit = np.broadcast_to(tol, rho.shape)
    done = Refined(X, rho.copy(), np.zeros(len(A), dtype=np.int64))
    index = np.flatnonzero((rho > limit) & (rho < np.inf))
    if index.size and index.size < len(A):
        A, X, R, rho, limit = A[index], X[index], R[index], rho[index], limit[index]
    if index.size:
        done = done._replace(X=done.X.copy())
    for _ in range(max_steps):
        if not index.size:
            break
        new_X = X + X @ R
        predicted = rho * rho
        certain = predicted <= limit
        done.steps[index] += 1
        if certain.all():
            done.X[index], done.residual[index] = new_X, predicted
            break
        R = I - A @ new_X
        measured = np.where(certain, predicted, R.norm())
        better = measured < rho
        # Where a small residual is not at least halved, rounding has the upper hand already.
        going = better & ~certain & (measured > limit) & ((rho >= 0.25) | (measured <= 0.5 * rho))
        kept = np.flatnonzero(better & ~going)
        done.X[index[kept]], done.residual[index[kept]] = new_X[kept], measured[kept]
        worse = np.flatnonzero(~better)
        done.X[index[worse]], done.residual[index[worse]] = X[worse], rho[worse]
        keep = np.flatnonzero(going)
        if keep.size == index.size:
            X, rho = new_X, measured
        else:
            index, A, X, R = index[keep], A[keep], new_X[keep], R[keep]
            rho, limit = measured[keep], limit[keep]
    else:
        done.X[index], done.residual[index] = X, rho
    return done


def transpose_start(A: Stack) -> Stack:
    """alpha A^T, alpha = 1/‖A‖F^2; 0 for a zero matrix."""
    size = A.norm()
    size = np.where(size > 0, size, 1.0)
    return A.T.scaled(1.0 / (size * size))


def _symmetrised(A: Stack, X: Stack) -> Stack:
    """alpha X (A X)^T: A times it is alpha B B^T, eigenvalues in [0, 1]; alpha A^T for bad X."""
    B = A @ X
    size = B.norm()
    start = (X @ B.T).scaled(1.0 / (size * size))
    bad = np.flatnonzero(~np.isfinite(start.norm()))
    if bad.size:
        start[bad] = transpose_start(A[bad])
    return start


def from_transpose(A: Stack, X: Stack, max_steps: int = 130) -> Stack:
    r"""Approximate inverses, residual below 1/2, from a start that always converges.

    From :math:`X_0 = \alpha A^T`, :math:`\alpha = 1/\|A\|_F^2`, the residual's eigenvalues start in
    [0, 1) and are squared by each step. A guess X whose residual is 1 or more is turned into a
    start of the same kind, :math:`X (A X)^T / \|A X\|_F^2`, which needs only about
    2 log2 kappa(A X) steps instead of 2 log2 kappa(A).

    Notes
    -----
    Cost: 2 products a step, 2 more for the start. Singular matrices take all steps, or fewer where
    the iterate exceeds 2^60. Stable: rounding errors are not amplified beyond u kappa (Söderström &
    Stewart 1974), so it converges for kappa up to about 1e15.

    References
    ----------
    Ben-Israel & Cohen 1966, "On iterative computation of generalized inverses and associated
    projections", SIAM J. Numer. Anal. 3; Söderström & Stewart 1974, "On the numerical properties
    of an iterative method for computing the Moore-Penrose generalized inverse", ibid. 11.
    """
    x = _symmetrised(A, X)
    out = x.copy()
    index, a = np.arange(len(A)), A
    for step in range(max_steps):
        R = I - a @ x
        rho = R.norm()
        # The eigenvalues of R start in [0, 1) and are squared: a norm beyond sqrt(n) is noise.
        ended = (rho < 0.5) | ~(rho < 2.0 * math.sqrt(A.order) + 1.0)
        if step % 8 == 7:
            ended |= x.norm() > 2.0**60
        leaving, keep = np.flatnonzero(ended), np.flatnonzero(~ended)
        if leaving.size:
            out[index[leaving]] = x[leaving]
            index, a, x, R = index[keep], a[keep], x[keep], R[keep]
        if not index.size:
            return out
        x = x + x @ R
    out[index] = x
    return out
