"""Inverses of any order by block recursion over an inverter of small matrices."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from deepmatrixinversion.linalg.butterfly import transform, undo
from deepmatrixinversion.linalg.elimination import eliminated
from deepmatrixinversion.linalg.newton import newton_schulz
from deepmatrixinversion.linalg.scaling import Scaled, normalise, times_power
from deepmatrixinversion.linalg.stack import Array, I, Stack

Leaf = Callable[[Array], Array]

LEAF_RESIDUAL = 2.0**-26
"""Residual that leaves are refined to; working accuracy after one more, unmeasured, step."""


def pad(A: Array, order: int) -> Array:
    """Extend (k, n, n) normalised matrices to ``order`` by a multiple of the identity.

    The multiple, a power of two near ‖A‖F / sqrt(n), sits amid A's singular values, so that the
    padded matrix is no worse conditioned, and the whole is scaled to ‖A‖F < 1 again.
    """
    k, n = A.shape[:2]
    if n == order:
        return A
    padded = np.zeros((k, order, order))
    padded[:, :n, :n] = A
    fill = np.arange(n, order)
    padded[:, fill, fill] = 2.0 ** -round(0.5 * math.log2(n) + 0.5)
    return padded


def guess_inverse(A: Array, leaf: Leaf, m: int) -> Array:
    """The leaf's proposals for normalised (k, n, n) matrices, n <= m, padded as needed."""
    n = A.shape[-1]
    padded, exponent = (A, None) if n == m else normalise(pad(A, m))
    X = np.asarray(leaf(padded))
    if X.shape != padded.shape:
        raise ValueError(f"the guess returned shape {X.shape} for matrices of {padded.shape}")
    X = np.ascontiguousarray(X[:, :n, :n], dtype=np.float64)
    return X if exponent is None else times_power(X, -exponent[:, None, None])


def _invert_leaf(A: Array, leaf: Leaf, m: int) -> Array:
    """Refined inverses of (k, n, n), n <= m, at any scale; NaN where that fails."""
    scaled = Scaled.of(A)
    S = scaled.S
    found = newton_schulz(S, Stack.of(guess_inverse(S.matrices(), leaf, m)), tol=LEAF_RESIDUAL)
    bad = np.flatnonzero(~(found.residual < 1.0))
    if bad.size:
        again = newton_schulz(S[bad], Stack.of(eliminated(S[bad].matrices())))
        X = found.X.copy()
        X[bad] = again.X.scaled(np.where(again.residual < 1.0, 1.0, np.nan))
        found = found._replace(X=X)
    return scaled.unscaled(found.X).matrices()


def _invert_blocks(A: Array, leaf: Leaf, m: int, top: bool) -> Array:
    """One level of the recursion on (k, n, n); refined once unless ``top``."""
    n = A.shape[-1]
    if n <= m:
        return _invert_leaf(A, leaf, m)
    h = m * (-(-n // m) // 2)
    block, right = np.ascontiguousarray(A[:, :h, :h]), np.ascontiguousarray(A[:, :h, h:])
    below, corner = np.ascontiguousarray(A[:, h:, :h]), A[:, h:, h:]
    Y = _invert_blocks(block, leaf, m, False)
    if np.isnan(Y[:, 0, 0]).all():
        return np.full_like(A, np.nan)  # a singular leading block: no use in going on
    YB = np.matmul(Y, right)
    schur = corner - np.matmul(below, YB)
    Z = _invert_blocks(schur, leaf, m, False)
    CY = np.matmul(below, Y)
    ZCY = np.matmul(Z, CY)
    X = np.empty_like(A)
    X[:, h:, h:] = Z
    np.negative(ZCY, out=X[:, h:, :h])
    np.negative(np.matmul(YB, Z), out=X[:, :h, h:])
    np.add(Y, np.matmul(YB, ZCY), out=X[:, :h, :h])
    if not top:
        # Errors of inner blocks are amplified by every level above: a step here costs 2 products
        # of the block's order, all levels together 2/3 of one of the whole's.
        S, x = Stack(A, last=False), Stack(X, last=False)
        R = I - S @ x
        rho = R.norm()
        improvable = np.flatnonzero((rho > 2.0**-36) & (rho < 1.0))
        if improvable.size == len(A):
            x += x @ R
        elif improvable.size:
            x[improvable] = x[improvable] + x[improvable] @ R[improvable]
    return X


def block_inverse(A: ArrayLike, leaf: Leaf, m: int) -> Array:
    r"""Inverses by recursion on 2 x 2 blocks with a Schur complement, unpolished at the top.

    .. math:: \begin{pmatrix} A_{11} & B \\ C & D \end{pmatrix}^{-1} = \begin{pmatrix}
        Y + Y B Z C Y & -Y B Z \\ -Z C Y & Z \end{pmatrix}, \quad
        Y = A_{11}^{-1},\; Z = (D - C Y B)^{-1}

    The matrix is halved at a multiple of m; leaves are scaled, padded to m where smaller, and
    refined, as is every inner inverse.

    Parameters
    ----------
    A : (k, n, n) array_like
    leaf : callable
        takes (k, m, m) float64 matrices of Frobenius norm in [1/2, 1), returns approximate inverses
    m : int

    Returns
    -------
    (k, n, n) float64
        garbage, NaN included, where a leading block is singular: check the residual

    Notes
    -----
    Cost: 1 product of order n for the recursion, 1/3 to 1 for the inner residuals and steps.

    References
    ----------
    Banachiewicz 1937; Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 14.
    """
    with np.errstate(all="ignore"):
        return _invert_blocks(np.asarray(A, dtype=np.float64), leaf, m, True)


def through_butterfly(A: Array, invert: Callable[[Array], Array], seed: int) -> Array:
    """Inverses of normalised (k, n, n) matrices, mixed at random, by ``invert``, mixed back.

    Leading blocks of the mixed matrices are as well conditioned as can be hoped for, whatever those
    of A. Cost: 24 n^2 log2 n operations beside ``invert``.
    """
    n = A.shape[-1]
    even = pad(A, n + n % 2)
    mixed, U, V = transform(even, seed)
    return np.ascontiguousarray(undo(invert(mixed), U, V)[:, :n, :n])
