"""Powers of two that bring matrices of any finite scale near 1, and what marks those not finite."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from deepmatrixinversion.export.algebra import Value, floor_power, size, where


class Scaled(NamedTuple):
    """A matrix S = A / (c 2^k), its magnitudes summing to 1 to 2, and how to go back."""

    S: Value
    c: Value
    steps: float

    def undone(self, x: Value, axes: int) -> Value:
        """x c 2^k, where ``axes`` are those that x has behind the leading ones, at most two."""
        c = self.c if axes == 2 else self.c.reshape(2, *(1,) * axes)
        return x * self.steps * c

    def inverted(self, X: Value) -> Value:
        """X / (c 2^k), (..., n, m)."""
        return X / self.steps / self.c


def scaled(A: Value, rows: int, columns: int) -> Scaled:
    """A near 1, by powers of two that neither overflow nor underflow where A does not."""
    steps = 2.0 ** math.ceil(math.log2(rows * columns))
    c = floor_power(size(A / steps, (-2, -1)))
    return Scaled(A / c / steps, c, steps)


def roundoff(zeros: Value) -> Value:
    """Twice the unit roundoff with which the graph is computed, of the shape of ``zeros``.

    That of the dtype, or of float16 in a file that was converted: what (4/3 - 1) 3 misses 1 by,
    computed from a 0 that no optimizer knows.
    """
    missed = abs(((zeros + 4 / 3) - 1) * 3 - 1)
    eps = float(np.finfo(zeros.dtype).eps)
    return where(missed > eps, missed, eps)


def nan_unless_finite(A: Value) -> Value:
    """0 for each finite matrix, NaN for others, (..., 1, 1)."""
    return (A - A).sum((-2, -1), True)
