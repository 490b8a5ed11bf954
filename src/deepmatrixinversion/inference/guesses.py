"""Raw answers: matrices brought to a norm near one, a leaf or a start, and back."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.inference.leaf import Leaf, from_start
from deepmatrixinversion.linalg.scaling import normalise, times_power
from deepmatrixinversion.linalg.stack import chunks


def guesses(leaf: Leaf, A: NDArray, start: NDArray | None, max_products: int | None) -> NDArray:
    """What the leaf, or steps from a start, answer for finite real A (..., n, n), in A's dtype."""
    n = A.shape[-1]
    S, exponent = normalise(A)
    X = np.empty(S.shape)
    flat, out = S.reshape(math.prod(A.shape[:-2]), n, n), X.reshape(-1, n, n) if n else X
    with np.errstate(all="ignore"):
        if start is not None:
            start = times_power(np.broadcast_to(start, S.shape), exponent[..., None, None])
            start = start.reshape(flat.shape)
        for part in chunks(len(flat), n) if n else ():
            if start is not None:
                out[part] = from_start(flat[part], start[part], max_products)
            elif max_products is None:
                out[part] = leaf(flat[part])
            else:
                out[part] = leaf.within(flat[part], max_products)
        return times_power(X, -exponent[..., None, None]).astype(A.dtype, copy=False)
