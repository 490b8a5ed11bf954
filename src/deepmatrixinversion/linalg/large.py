"""Large matrices, one at a time: candidates corrected and certified by norms, in 1.5 products.

`correction` proves them beside the scaled matrix, with weights on the columns that carry the bound
back to the original, as `certificate` (1) does with matrices. What this leaves without a good proof
goes the careful way of the engine.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.certificate import Certificate, shifted
from deepmatrixinversion.linalg.correction import corrected, moduli
from deepmatrixinversion.linalg.dominant import improved
from deepmatrixinversion.linalg.polish import inflated
from deepmatrixinversion.linalg.residual import ETA, U
from deepmatrixinversion.linalg.scaling import Scaled
from deepmatrixinversion.linalg.stack import Array, Stack

SMALLEST_ORDER = 65
"""Below it the compiled kernel proves the last bits for less."""

FARTHEST = 400
"""Binary exponent up to which a matrix with one exponent for all is scaled back exactly, or to
within what `correction` allows for underflow in single precision."""


class Weights(NamedTuple):
    """Weights W (k, n, 4) in [0, 1] for the norms of E, of E S, and of both as scaled back.

    The norm of row sums beside a column is their largest, each times 2^shifts, (k, n or 1, 4).
    Where every matrix has a single exponent the last two columns are the first, and left out.
    """

    W: Array
    shifts: NDArray[np.int64]

    @classmethod
    def of(cls, scaled: Scaled) -> Weights:
        """For scaled matrices."""
        S, rows, columns = scaled.S.array, scaled.rows, scaled.columns
        k, n = S.shape[:2]
        kinds = 1 if scaled.uniform else 2
        W = np.ones((k, n, 2 * kinds))
        back, top = (-rows).max(axis=1, keepdims=True), columns.max(axis=1, keepdims=True)
        if not scaled.uniform:
            W[:, :, 2] = np.ldexp(1.0, np.maximum(-rows - back, -1022))
            W[:, :, 3] = np.ldexp(1.0, np.maximum(columns - top, -1022))
        # Of the ones, and of the last: W[..., 3], or once more the ones.
        exponents = _normalised_sums(S, W[:, :, ::3], W[:, :, 1::2])
        shifts = np.zeros((*columns.shape, 4), dtype=np.int64)
        shifts[:, :, 1] = exponents[:, :1]
        shifts[:, :, 2] = back - columns
        shifts[:, :, 3] = exponents[:, -1:] + top - columns
        return cls(W, shifts)

    def norms(self, sums: Array) -> Array:
        """The four norms (4, k), rounded up; NaN becomes inf."""
        if self.W.shape[2] == 2:
            sums = np.tile(sums.max(axis=1, keepdims=True), 2)
        return shifted(np.ldexp(sums, self.shifts).max(axis=1)).T.copy()


def _normalised_sums(S: Array, V: Array, out: Array) -> NDArray[np.int64]:
    """|S| V over powers of two that bring its columns to [0, 1), into ``out``; their exponents."""
    sums = moduli(S, V)
    exponents = np.frexp(sums.max(axis=1))[1].astype(np.int64)
    out[...] = np.ldexp(sums, -exponents[:, None])
    return exponents


class Proven(NamedTuple):
    """Corrected inverses X of the k scaled matrices, as they are returned, and what is proven.

    ``residual`` is ‖I - S X‖F of the last candidates, which X still are where that failed.
    """

    X: Stack
    held: NDArray
    certificate: Certificate
    residual: Array


def corrected_inverses(
    scaled: Scaled, X: Stack, dtype: np.dtype, rtol: float, reach: Stack | None
) -> Proven:
    """Correct candidates of the scaled matrices, overwriting them, each by itself.

    Parameters
    ----------
    scaled : Scaled
    X : Stack
    dtype : dtype
        in which the inverses are returned
    rtol : float
        relative error that a certified inverse is proven to have at most
    reach : Stack or None
        0 where the pattern of zeros makes the inverse's entry zero, 1 elsewhere
    """
    weights = Weights.of(scaled)
    found = corrected(scaled.S.array, X.array, weights.W)
    moved = _improved(scaled.S.array, X.array, found.size > 0.0, weights.W)
    n = X.order
    modulus = found.modulus + inflated(moved, n)
    error = found.error + inflated(moved + 4 * n * ETA + U * modulus, n)
    size = found.size - inflated(moved[:, :, 0].max(axis=1), n)
    if reach is not None:
        X.array *= reach.array
        X.array += 0.0
    held = scaled.unscaled(X).matrices().astype(dtype, copy=False)
    largest = np.full(len(X), np.inf)
    inexact = np.flatnonzero(~_exact(scaled, dtype))
    if inexact.size:
        # What scaling back or a cast left out.
        back = scaled.at(inexact).scaled(Stack.of(held[inexact]))
        lost = moduli(X.array[inexact] - back.array, weights.W[inexact])
        error[inexact] += inflated(lost + n * ETA, n)
        largest[inexact] = Stack.of(held[inexact]).row_sums().max(axis=1)
        error[inexact[~np.isfinite(largest[inexact])]] = np.inf
    bound, _, error_bound, residual_bound = weights.norms(error)
    # Zeros by pattern, and a cast, change the norm by no more than the bound.
    relative = inflated(bound / np.maximum(size - bound, 0.0), n)
    relative = np.maximum(relative, inflated(error_bound / largest, n))
    spread = weights.norms(modulus)[1]
    certified = (2 * n * U * spread < 1.0) & (relative <= rtol)
    certificate = Certificate(certified, residual_bound, error_bound, relative)
    return Proven(X, held, certificate, found.residual)


def _exact(scaled: Scaled, dtype: np.dtype) -> NDArray[np.bool_]:
    """Which matrices have a single exponent, of no great size, and no cast to come."""
    r, c = scaled.rows, scaled.columns
    single = (r == r[:, :1]).all(axis=1) & (c == c[:, :1]).all(axis=1)
    return single & (abs(r[:, 0] + c[:, 0]) <= FARTHEST) & (dtype == np.float64)


def _improved(A: Array, X: Array, proven: NDArray[np.bool_], W: Array) -> Array:
    """Improve what is proven, in place; |g||w|^T W of `dominant`."""
    if proven.all():
        g, w = improved(A, X)
        return np.abs(g) * np.matmul(np.abs(w), W)
    moved, index = np.zeros_like(W), np.flatnonzero(proven)
    if index.size:
        part = X[index]
        moved[index] = _improved(A[index], part, proven[index], W[index])
        X[index] = part
    return moved
