"""Large matrices, one at a time: candidates corrected and certified by norms, for 1.5 products.

`correction` proves them beside the scaled matrix, with weights on the columns that carry the bound
back to the original, as `certificate` (1) does with matrices. What this leaves without a good proof
goes the careful way of the engine.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.certificate import Certificate, shifted
from deepmatrixinversion.linalg.correction import Correction, corrected, moduli
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
    """Columns W (n, 4) in [0, 1] for the norms of E, of E S, and of both as scaled back.

    Those of the last two, entry i times 2^(shift - columns_i), and of the second times 2^shift,
    by ``shifts``.
    """

    W: Array
    shifts: tuple[int, int, int]
    columns: NDArray[np.int64]

    @classmethod
    def of(cls, S: Array, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Weights:
        """For one scaled matrix and its exponents."""
        W = np.ones((len(S), 4))
        back, top = int(-rows.min()), int(columns.max())
        W[:, 2] = np.ldexp(1.0, np.maximum(-rows - back, -1022))
        W[:, 3] = np.ldexp(1.0, np.maximum(columns - top, -1022))
        sums = moduli(S, W[:, [0, 3]])
        even, uneven = np.frexp(sums.max(axis=0))[1].tolist()
        W[:, 1::2] = np.ldexp(sums, [-even, -uneven])
        return cls(W, (even, back, top + uneven), columns)

    def norms(self, sums: Array) -> Array:
        """The four norms, rounded up, from row sums (n, 4) beside W; NaN becomes inf."""
        even, *others = self.shifts
        rows = sums.copy()
        rows[:, 1] = np.ldexp(rows[:, 1], even)
        for j, shift in enumerate(others, start=2):
            rows[:, j] = np.ldexp(rows[:, j], shift - self.columns)
        return shifted(rows.max(axis=0))


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
    weights, found = [], []
    for i, (S, candidate) in enumerate(zip(scaled.S.array, X.array, strict=True)):
        weights.append(Weights.of(S, scaled.rows[i], scaled.columns[i]))
        found.append(corrected(S, candidate, weights[i].W))
    if reach is not None:
        X.array *= reach.array
        X.array += 0.0
    held = scaled.unscaled(X).matrices().astype(dtype, copy=False)
    exact = dtype == np.float64 and scaled.uniform and bool((abs(scaled.rows) <= FARTHEST).all())
    lost = None if exact else X.array - scaled.scaled(Stack.of(held)).array
    certificate = Certificate.blank(len(found))
    for i, (w, c) in enumerate(zip(weights, found, strict=True)):
        if c.size > 0.0:
            one = _certificate(w, c, None if lost is None else lost[i], held[i], rtol)
            certificate.put(i, one)
    return Proven(X, held, certificate, np.array([c.residual for c in found]))


def _certificate(
    weights: Weights, found: Correction, lost: Array | None, held: NDArray, rtol: float
) -> Certificate:
    """Of one matrix; ``lost`` is what scaling back or a cast left out."""
    n = len(held)
    error, size = found.error, found.size
    largest = np.inf
    if lost is not None:
        error = error + inflated(moduli(lost, weights.W) + n * ETA, n)
        largest = moduli(held.astype(np.float64, copy=False), np.ones((n, 1))).max()
    bound, _, error_bound, residual_bound = weights.norms(error)
    # Zeros by pattern, and the cast, change the norm by no more than the bound.
    relative = inflated(bound / (size - bound), n) if size > bound else np.inf
    if lost is not None:
        relative = max(relative, inflated(error_bound / largest, n))
        if not np.isfinite(largest):
            error_bound = residual_bound = relative = np.inf
    modulus = weights.norms(found.modulus)[1]
    certified = (2 * n * U * modulus < 1.0) & (relative <= rtol)
    return Certificate(certified, residual_bound, error_bound, relative)
