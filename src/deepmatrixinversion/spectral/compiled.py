"""The same guesses through the compiled kernel, one matrix at a time, while it is in cache."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.kernel import spectral as kernel
from deepmatrixinversion.linalg.greedy import EARLY_EXIT, EPS, FLOOR, Array, Guess
from deepmatrixinversion.spectral.advice import look
from deepmatrixinversion.spectral.driver import SMALL_ORDER, definite_of, spectral_guess
from deepmatrixinversion.spectral.moments import UNSEEN, Squared
from deepmatrixinversion.spectral.plan import NETWORK, way


def guess(
    weights: Mapping[str, NDArray], S: Array, *, max_products: int, tol: float = EARLY_EXIT
) -> Guess:
    """`spectral_guess`: itself without the kernel, and what it gives, but for rounding, with it.

    The kernel takes one matrix at a time, which stays in cache through all of its products. Which
    way each goes is decided here.
    """
    units = weights["mix.0.bias"].shape[0]
    n = S.shape[-1]
    if max_products < 1 or units > kernel.MOST_UNITS or not 1 <= n <= kernel.LARGEST_GUESS:
        return spectral_guess(weights, S, max_products=max_products, tol=tol)
    S = np.ascontiguousarray(S, dtype=np.float64)
    begun = kernel.spectral_start(S, definite_of(S, np.eye(n)))
    ways = np.full(len(S), NETWORK) if n <= SMALL_ORDER else _ways(weights, begun.gram)
    return Guess(
        *kernel.spectral_descend(begun, ways, kernel.packed(weights), max_products, max(tol, FLOOR))
    )


def _ways(weights: Mapping[str, NDArray], gram: Array) -> NDArray[np.intp]:
    """Which way each goes, by the inner products of I, R and R²: (k, 3, 3)."""
    space = Squared(np.ascontiguousarray(gram.transpose(1, 2, 0)))
    return way(weights, look(space.one, space.R, space, EPS, EPS + UNSEEN / 10), space)
