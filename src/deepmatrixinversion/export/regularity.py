"""Which matrices are singular to working precision, told from their computed inverses.

No term a_ij x_ji of tr(A X) changes with the scales of A's rows and columns. Where X is the inverse
they sum to n, and their magnitudes to at most n κ, κ the condition number with rows and columns
scaled as well as can be. Where A is singular, elimination inverts some A + E instead, with E of
rounding's size. That inverse is v wᵀ/(wᵀ E v), beside which all else is small, where A v = 0 and
wᵀ A = 0: so tr(A X) = n - tr(E X) = n - 1, and magnitudes sum to 1/(c u) or more, where
|E| <= c u |A|. The first tells as long as rounding leaves the trace right, beyond it the second.
"""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.export.algebra import Value, constant, where

NOISE = 8
"""Times u the sum of magnitudes: more than rounding changes the trace by."""
MISSED = 15 / 16
"""What both may come to. The sum of magnitudes is then below 1/(8 u); κ < 1/(16 n u) leaves it at
half of that. Of 507,000 singular matrices of order 2 to 20 in float32, all but one came to more
than 1: one of order 5, rows scaled by 1e-6 to 1e6, on which partial pivoting went wrong."""


def regular(A: Value, XT: Value, n: int, axes: tuple[int, int] = (-2, -1)) -> Value:
    """Whether X is the inverse of a regular A, up to rounding: X given transposed, along axes."""
    terms = A * XT
    missed = abs(terms.sum(axes, False) - n)
    noise = abs(terms).sum(axes, False) * (NOISE * float(np.finfo(A.dtype).eps) / 2)
    return missed + noise < MISSED


def nan_unless(good: Value, dtype: np.dtype) -> Value:
    """0 where this holds, NaN elsewhere."""
    return where(good, constant(0, dtype), np.nan)
