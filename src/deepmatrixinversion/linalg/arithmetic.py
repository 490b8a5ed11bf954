"""Whether this thread's arithmetic is the one that proofs are made for."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray


def rounds_to_nearest() -> bool:
    """Whether additions round to nearest: a directed mode on the calling thread breaks bounds."""
    one, small = np.ones(1), np.full(1, 2.0**-54)
    up, down = one + small, one - small
    return bool(up[0] == 1.0 and down[0] == 1.0 and (-up)[0] == -1.0)


def warn_unless_nearest() -> bool:
    """`rounds_to_nearest`, with a warning where it is False and nothing can be certified."""
    nearest = rounds_to_nearest()
    if not nearest:
        warnings.warn(
            "this thread does not round to nearest, so no bound holds and nothing is certified; "
            "restore the rounding mode (fesetround(FE_TONEAREST))",
            RuntimeWarning,
            stacklevel=3,
        )
    return nearest


def smallest_result() -> float:
    """What a subnormal result may be off by here: 2^-1022 where such results become zero, or 0."""
    halved = np.full(1, 2.0**-1022) * np.full(1, 0.5)
    return 0.0 if halved.view(np.int64)[0] and halved[0] != 0.0 else 2.0**-1022


def flushed(A: NDArray) -> NDArray[np.bool_]:
    """Matrices (k,) with a subnormal entry that this processor's mode reads as zero.

    What is computed from them is not about them, and must not be certified.
    """
    if (A != 0.0).all():
        return np.zeros(A.shape[:-2], dtype=bool)  # what is read as zero is no true value
    integers = np.uint32 if A.dtype.itemsize == 4 else np.uint64
    bits = np.ascontiguousarray(A).view(integers) << integers(1)
    return ((A == 0.0) & (bits != 0)).any(axis=(-2, -1))
