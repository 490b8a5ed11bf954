"""Gauss-Jordan elimination with partial pivoting, unrolled column by column in ONNX operators."""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.export.algebra import (
    Value,
    concatenate,
    constant,
    equilibrated,
    integers,
    op,
    refined,
    where,
)

LARGEST = 64
"""Where ``auto`` changes to iteration, whose file is smaller from here on (order 32: 66 KiB of
elimination, 109 of iteration; 64: 156 and 148; 128: 338 and 208) and takes less time soon after (in
onnxruntime, batches of 100, times elimination's: 1.1 at 16 and 32, 1.2 at 64 and 96, 0.8 at 128;
one matrix alone: 2.0, 2.0, 0.9, 0.7, 0.6)."""


def inverse(A: Value, n: int) -> Value:
    """The inverse of each matrix, as accurate as LAPACK's, at any condition number.

    Rows and columns are equilibrated by powers of two, and a Newton-Schulz step takes back the
    digit that eliminating above the pivot as well as below it costs at larger orders. Where a pivot
    is 0 it is taken as 1, so that the result is finite as long as nothing overflows, and its
    residual says that it is no inverse.

    Notes
    -----
    n dependent steps of 14 operators, n² multiplications each, and 5 products. onnxruntime on a
    processor takes less time for them than for the iterations up to order 64 or so; accelerators
    made for large products may see it otherwise.

    Rows stay where they are: each step picks its pivot among the rows not yet used by a mask, and
    two products with the permutation matrix put rows and columns in order at the end. The inverse
    grows in the place of A: column j, once eliminated, holds the column of the identity that the
    pivot's row brings with it.
    """
    given, undone = equilibrated(A)
    S = given
    index, rows = np.arange(n), integers(np.arange(n)[:, None])
    free, units = constant(np.ones((n, 1)), A.dtype), []
    for j in range(n):
        column = S.column(j)
        candidates = (abs(column) * free).node
        largest = op.Equal(rows, op.ArgMax(candidates, axis=-2, keepdims=1))
        chosen = Value(largest, np.dtype(bool), A.rank)
        unit = where(chosen, constant(1, A.dtype), 0)
        units.append(unit)
        free = free - unit
        row = unit.mT @ S
        pivot = row.column(j)
        pivot = where(pivot.equals(0), 1, pivot)
        here = constant(index == j, np.dtype(bool))
        row = where(here, 1, row) / pivot
        S = where(here, 0, S)
        S = where(chosen, row, S - column @ row)
    P = concatenate(units, -1).mT if n > 1 else constant([[1]], A.dtype)
    return undone(refined(given, P @ (S @ P), n))
