"""Inverses of any order by block recursion over an inverter of small matrices."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from deepmatrixinversion.linalg.butterfly import transform, undo
from deepmatrixinversion.linalg.iteration import (
    POLISH_BELOW,
    Refinement,
    newton_layout,
    transpose_layout,
)
from deepmatrixinversion.linalg.product import (
    Array,
    batch_axis,
    frobenius,
    from_layout,
    residual,
    to_layout,
)
from deepmatrixinversion.linalg.scaling import (
    equilibrate,
    normalise,
    spread_exponent,
    times_power,
    unequilibrate,
)

Leaf = Callable[[Array], Array]

SPREAD = 6
"""Rows and columns are equilibrated where their norms differ by more than 2^SPREAD."""

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
    n = A.shape[-1]
    axis = batch_axis(n)
    S, exponent = normalise(A)
    rows = columns = None
    if (spread_exponent(S, 0) > SPREAD).any():
        S, rows, columns = equilibrate(S)
        S, more = normalise(S)
        exponent = exponent + more
    s, x = to_layout(S, axis), to_layout(guess_inverse(S, leaf, m), axis)
    x, rho, _ = newton_layout(s, x, axis, tol=LEAF_RESIDUAL)
    bad = np.flatnonzero(~(rho < 1.0))
    X = from_layout(x, axis)
    if bad.size:
        y, rest, _ = transpose_layout(to_layout(S[bad], axis), to_layout(X[bad], axis), axis, 60)
        X = np.array(X)
        X[bad] = from_layout(y, axis)
        X[bad[~(rest < 1.0)]] = np.nan
    if rows is not None and columns is not None:
        X = unequilibrate(X, rows, columns)
    return times_power(X, -exponent[:, None, None])


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
        R = residual(A, X, 0)
        rho = frobenius(R, 0)
        improvable = np.flatnonzero((rho > 2.0**-36) & (rho < 1.0))
        if improvable.size == len(A):
            X += np.matmul(X, R)
        elif improvable.size:
            X[improvable] += np.matmul(X[improvable], R[improvable])
    return X


def block_inverse(A: ArrayLike, leaf: Leaf, m: int) -> Array:
    r"""Inverses by recursion on 2 x 2 blocks with a Schur complement, unpolished at the top.

    .. math:: \begin{pmatrix} A_{11} & B \\ C & D \end{pmatrix}^{-1} = \begin{pmatrix}
        Y + Y B Z C Y & -Y B Z \\ -Z C Y & Z \end{pmatrix}, \quad
        Y = A_{11}^{-1},\; Z = (D - C Y B)^{-1}

    The matrix is halved at a multiple of m; leaves are normalised, padded to m where smaller, and
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


def _through_butterfly(A: Array, leaf: Leaf, m: int, seed: int) -> Array:
    """`block_inverse` of the randomly mixed matrices, mixed back."""
    n = A.shape[-1]
    even = pad(A, n + n % 2)
    mixed, U, V = transform(even, seed)
    Y = block_inverse(mixed, leaf, m)
    return np.ascontiguousarray(undo(Y, U, V)[:, :n, :n])


def invert_large(
    A: ArrayLike,
    leaf: Leaf,
    m: int,
    seed: int = 0,
    *,
    retries: int = 2,
    tol: float = POLISH_BELOW,
    left: bool = True,
) -> Refinement:
    """Invert matrices of any order over a leaf of order m, with retries where that fails.

    `block_inverse` and Newton-Schulz steps; matrices whose residual is 1 or more then go through
    random butterflies with ``retries`` seeds, and at last through the iteration from A^T.

    Parameters
    ----------
    A : (..., n, n) array_like
        of moderate scale, such as `scaling.normalise` gives
    leaf, m
        as for `block_inverse`
    seed : int
        of the first butterfly
    tol : float
        residual at which refinement may stop; at 2^-59 ‖A‖F ‖X‖F it does
    left : bool
        refine ‖I - X A‖, the residual that is certified, rather than ‖I - A X‖, from which
        `iteration.polish` goes on: rounding errors keep only the refined one small

    Returns
    -------
    Refinement
        ``residual`` is the refined one; 1 or more where everything failed, as it must for
        singular matrices

    Notes
    -----
    Cost: about 1.7 products, and 1 and 2 a step for refinement; memory about 5 n^2 doubles. A
    retry costs that again and 24 n^2 log2 n operations; the iteration from A^T 2 products a step.
    """
    A = np.asarray(A, dtype=np.float64)
    n = A.shape[-1]
    batch = A.shape[:-2]
    k = math.prod(batch)
    a = np.ascontiguousarray(A).reshape(k, n, n)
    if n == 0 or k == 0:
        return Refinement(a.reshape(A.shape), np.zeros(batch), np.zeros(batch, dtype=np.int64))
    axis = batch_axis(n)

    def refined(index: slice | np.ndarray, X: Array) -> tuple[Array, Array, np.ndarray]:
        s, x = to_layout(a[index], axis), to_layout(X, axis)
        # A residual below this is rounding, which another step in working precision replaces by
        # its like: u/64 kappa_F is below the forward error of LAPACK's inverse, as measured.
        floor = 2.0**-59 * frobenius(s, axis) * frobenius(x, axis)
        x, rho, count = newton_layout(s, x, axis, tol=np.maximum(tol, floor), left=left)
        return from_layout(x, axis), rho, count

    with np.errstate(all="ignore"):
        X, rho, steps = refined(slice(None), block_inverse(a, leaf, m))
        for attempt in range(retries + 1):
            bad = np.flatnonzero(~(rho < 1.0))
            if not bad.size:
                break
            if attempt < retries:
                mixed = _through_butterfly(a[bad], leaf, m, seed + attempt)
                y, residuals, count = refined(bad, mixed)
            else:
                y, residuals, count = transpose_layout(
                    to_layout(a[bad], axis), to_layout(X[bad], axis), axis
                )
                y = from_layout(y, axis)
            steps[bad] += count
            better = residuals < rho[bad]
            X[bad[better]], rho[bad[better]] = y[better], residuals[better]
    return Refinement(X.reshape(A.shape), rho.reshape(batch), steps.reshape(batch))
