"""Products of matrices in twice the precision, in operators of one precision.

Each factor is cut into three slices, two of them of so few bits that products of them are exact,
sums included, in whatever order they are added: what cancels leaves no rounding error behind.

References
----------
Ozaki, Ogita, Oishi & Rump 2012, "Error-free transformations of matrix multiplication by using fast
routines of matrix multiplication and its applications", Numer. Algorithms 59.
"""

from __future__ import annotations

import math

import numpy as np

from deepmatrixinversion.export.algebra import Value


def difference(C: Value, A: Value, B: Value, length: int) -> Value:
    """C - A B, whose sums have ``length`` terms; magnitudes in A and B of up to 2.

    Right within a few u of itself and 4 u² ``length``. Where a runtime computes in less precision
    than the dtype has it is as good as C - A @ B there.
    """
    for part in _products(A, B, length):
        C = C - part
    return C


def product(A: Value, B: Value, length: int) -> Value:
    """A B alike."""
    first, *others = _products(A, B, length)
    for part in others:
        first = first + part
    return first


def skew(A: Value, B: Value, length: int) -> Value:
    """A B - (A B)ᵀ alike, of A B that is nearly symmetric."""
    first, *others = (part - part.mT for part in _products(A, B, length))
    for part in others:
        first = first + part
    return first


def _products(A: Value, B: Value, length: int) -> list[Value]:
    """A B in four parts, large ones first, of which the last alone has rounding errors."""
    bits = (np.finfo(A.dtype).nmant + 1 - math.ceil(math.log2(length))) // 2
    A1, A2, A3 = _slices(A, bits)
    B1, B2, B3 = _slices(B, bits)
    return [A1 @ B1, A1 @ B2, A2 @ B1, A1 @ B3 + A2 @ (B2 + B3) + A3 @ B]


def _slices(A: Value, bits: int) -> tuple[Value, Value, Value]:
    """Multiples of 2^(1 - bits) and of 2^(1 - 2 bits), and what is left."""
    first = _rounded(A, bits)
    rest = A - first
    second = _rounded(rest, 2 * bits)
    return first, second, rest - second


def _rounded(A: Value, bits: int) -> Value:
    """A to the nearest multiple of 2^(1 - bits)."""
    shift = 1.5 * 2.0 ** (np.finfo(A.dtype).nmant + 1 - bits)
    return (A + shift) - shift
