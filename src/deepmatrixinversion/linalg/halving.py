"""Inverses of large matrices by halving, down to what the compiled kernel inverts in cache."""

from __future__ import annotations

import functools
import math

import numpy as np

from deepmatrixinversion.kernel import halve_into
from deepmatrixinversion.linalg.stack import Array

LEAF_ORDER = 128
"""Largest order that the kernel halves on in its own products; measured: above, BLAS's are faster
than theirs by more than what a call costs."""

REFINED_ORDER = 128
"""Smallest order of inner inverses that are probed, and refined where that pays."""

ROUGH = (math.inf, 2.0**-20, 2.0**-27)
"""Residuals above which the whole, its halves, and smaller inverses are refined: each level above
amplifies an error, and the larger an inverse the more its refinement costs. Measured."""

HOPELESS = 2.0**-6
"""A residual above which a single step is no use."""


def halved(A: Array) -> Array:
    r"""Inverses of (k, n, n) matrices, one by one, by recursion on halves.

    .. math:: \begin{pmatrix} A_{11} & B \\ C & D \end{pmatrix}^{-1} = \begin{pmatrix}
        P + P B Q C P & -P B Q \\ -Q C P & Q \end{pmatrix}, \quad
        P = A_{11}^{-1},\; Q = (D - C P B)^{-1}

    Inner inverses of some size are refined, X + X (I - A X), where two random probes say that the
    residual is large; the whole never is.

    Ends, of order 32, are eliminated with pivots, each in its own rows alone: what the network
    proposes for one at a time costs more than all the rest, and whatever comes out is proven
    afterwards.

    Parameters
    ----------
    A : (k, n, n) float64 array

    Returns
    -------
    (k, n, n) float64
        garbage, NaN included, where a leading block is singular: measure the residual

    Notes
    -----
    Cost: 1 product of order n, at most 0.5 more for refinements; n^2 doubles beside the result.

    References
    ----------
    Banachiewicz 1937; Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 14.
    """
    X = np.empty(A.shape)
    for matrix, inverse in zip(A, X, strict=True):
        _halve(matrix, inverse, 0)
    return X


def _halve(A: Array, X: Array, depth: int) -> None:
    """A's inverse into X, both of any row stride."""
    n = len(A)
    if n <= LEAF_ORDER:
        halve_into(A, X)
    else:
        _by_blocks(A, X, depth)
    if depth and n >= REFINED_ORDER:
        _refine(A, X, ROUGH[min(depth, 2)])


def _by_blocks(A: Array, X: Array, depth: int) -> None:
    """One level of the recursion."""
    h = len(A) // 2
    B, C = A[:h, h:], A[h:, :h]
    P, right, below, Q = X[:h, :h], X[:h, h:], X[h:, :h], X[h:, h:]
    _halve(A[:h, :h], P, depth + 1)
    PB = np.matmul(P, B)
    complement = np.matmul(C, PB)
    np.subtract(A[h:, h:], complement, out=complement)
    _halve(complement, Q, depth + 1)
    minus_Q = np.negative(Q, out=complement)
    np.matmul(PB, minus_Q, out=right)
    del PB
    CP = np.matmul(C, P)
    np.matmul(minus_Q, CP, out=below)
    P -= np.matmul(right, CP)


def _refine(A: Array, X: Array, rough: float) -> None:
    """One step for X where its residual is above ``rough``, in two random probes."""
    z = signs(len(A), 2)
    left = np.matmul(A, np.matmul(X, z))
    left -= z
    if rough < math.sqrt(np.vdot(left, left) / 2) < HOPELESS:
        R = np.matmul(A, X)
        np.negative(R, out=R)
        R.flat[:: len(R) + 1] += 1.0
        # In double precision: these are the ill-conditioned ones.
        X += np.matmul(X, R)


@functools.lru_cache(maxsize=32)
def signs(n: int, count: int) -> Array:
    """Random vectors (n, count) of signs, always the same."""
    return np.random.default_rng(n).choice([-1.0, 1.0], (n, count))
