"""A bound on the error of solutions of A Y = B."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from deepmatrixinversion.linalg.polish import inflated
from deepmatrixinversion.linalg.residual import ETA, gamma
from deepmatrixinversion.linalg.stack import Array


def solution_error_bound(
    A: ArrayLike, X: ArrayLike, B: ArrayLike, Y: ArrayLike, residual_bound: ArrayLike
) -> Array:
    r"""Bound ‖A^-1 B - Y‖inf column by column, given a bound alpha < 1 on ‖I - XA‖inf.

    A^-1 = (I - (I - XA))^-1 X, so with the residual r = B - A Y of each column

    .. math:: \|A^{-1} b - y\|_\infty \le \frac{\||X r|\|_\infty}{1 - \alpha}, \qquad
        |X r| \le |\hat w| + |X| \left( \gamma_{n} |\hat r| + \gamma_{n+1} (|B| + |A||Y|) \right)

    where r^ = fl(B - A Y) and w^ = fl(X r^). Underflow is covered as in `certify`.

    Parameters
    ----------
    A, X : (..., n, n) float64 or float32 array_like
    B, Y : (..., n, p) float64 or float32 array_like
        right-hand sides and the approximate solutions whose error is bounded
    residual_bound : (...) array_like
        ``certify(A, X).residual_bound``

    Returns
    -------
    (..., p) float64
        inf where ``residual_bound`` is not below 1

    Notes
    -----
    Cost: 4 products of an n x n by an n x p matrix. Sharp: with r computed in working precision the
    bound is about n u cond(A) ‖Y‖ beyond the error itself.

    References
    ----------
    Rump 2010, Acta Numerica 19, section 10; Higham 2002, section 7.4.
    """
    A, X, B, Y = (np.asarray(M, dtype=np.float64) for M in (A, X, B, Y))
    alpha = np.asarray(residual_bound, dtype=np.float64)
    n = A.shape[-1]
    with np.errstate(all="ignore"):
        r = B - np.matmul(A, Y)
        w = np.abs(np.matmul(X, r))
        size = np.abs(r) + np.abs(B) + np.matmul(np.abs(A), np.abs(Y))
        # Each of the n + 1 operations behind r may underflow or read a subnormal as zero: eta
        # times the other factor, for which the sums over A and Y stand.
        sums = np.abs(A).sum(axis=-1)[..., None] + np.abs(Y).sum(axis=-2, keepdims=True)
        slack = ETA * (sums + 16.0 * (n + 2))
        x_sums = np.abs(X).sum(axis=-1)[..., None]
        flushed = ETA * (np.abs(r).sum(axis=-2, keepdims=True) + x_sums + 16.0 * (n + 2))
        error = gamma(n + 1) * size + slack
        v = w + np.matmul(np.abs(X), error) + flushed
        v = v + ETA * error.sum(axis=-2, keepdims=True)
        top = inflated(v.max(axis=-2), 2 * n) if n else np.zeros((*B.shape[:-2], B.shape[-1]))
        bound = inflated((top + 4 * ETA) / (1.0 - alpha[..., None]), n)
    return np.where(alpha[..., None] < 1.0, bound, np.inf) if n else np.zeros_like(top)
