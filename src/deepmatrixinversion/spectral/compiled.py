"""The same guesses through the compiled kernel, one matrix at a time, while it is in cache."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.kernel import spectral as kernel
from deepmatrixinversion.linalg.greedy import EARLY_EXIT, EPS, FLOOR, Array, Guess
from deepmatrixinversion.spectral.advice import look, unaligned
from deepmatrixinversion.spectral.driver import SMALL_ORDER, definite_of, spectral_guess
from deepmatrixinversion.spectral.moments import UNSEEN, Squared


def guess(
    weights: Mapping[str, NDArray], S: Array, *, max_products: int, tol: float = EARLY_EXIT
) -> Guess:
    """`spectral_guess`: itself without the kernel, and what it gives, but for rounding, with it.

    The kernel takes one matrix at a time, which stays in cache through all of its products. Who
    goes without the network is decided here.
    """
    units = weights["mix.0.bias"].shape[0]
    n = S.shape[-1]
    if max_products < 1 or units > kernel.MOST_UNITS or not 1 <= n <= kernel.LARGEST_GUESS:
        return spectral_guess(weights, S, max_products=max_products, tol=tol)
    S = np.ascontiguousarray(S, dtype=np.float64)
    begun = kernel.spectral_start(S, definite_of(S, np.eye(n)))
    enough = max(tol, FLOOR)
    plain = np.zeros(len(S), dtype=bool) if n <= SMALL_ORDER else _plain(begun.gram, enough)
    return Guess(
        *kernel.spectral_descend(begun, plain, kernel.packed(weights), max_products, enough)
    )


def _plain(gram: Array, enough: float) -> NDArray[np.bool_]:
    """Which matrices go without the network, by the inner products of I, R and R²: (k, 3, 3)."""
    space = Squared(np.ascontiguousarray(gram.transpose(1, 2, 0)))
    seen = look(space.one, space.R, space, EPS, EPS + UNSEEN / 10)
    left = space.seen(seen.fit.remainder)
    return unaligned(seen, left, space, np) & (left[0] > enough)
