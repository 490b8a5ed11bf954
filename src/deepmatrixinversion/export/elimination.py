"""Gauss-Jordan elimination with partial pivoting, unrolled column by column in ONNX operators."""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.export.algebra import Algebra, Value, op

LARGEST = 64
"""Where ``auto`` changes to iteration, whose file is smaller from here on (order 32: 66 KiB of
elimination, 109 of iteration; 64: 156 and 148; 128: 338 and 208) and takes less time soon after (in
onnxruntime, batches of 100, times elimination's: 1.1 at 16 and 32, 1.2 at 64 and 96, 0.8 at 128;
one matrix alone: 2.0, 2.0, 0.9, 0.7, 0.6)."""


def inverse(a: Algebra, A: Value, rank: int) -> Value:
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
    n = a.order
    equilibrated, r, c = a.equilibrated(A)
    S = equilibrated
    rows = a.integers(np.arange(n)[:, None])
    free, units = a.constant(np.ones((n, 1))), []
    for j in range(n):
        column = op.Gather(S, a.integers([j]), axis=-1)
        candidates = op.Mul(op.Abs(column), free)
        chosen = op.Equal(rows, op.ArgMax(candidates, axis=-2, keepdims=1))
        unit = op.Where(chosen, a.constant(1), a.constant(0))
        units.append(unit)
        free = op.Sub(free, unit)
        row = op.MatMul(a.transpose(unit, rank), S)
        pivot = op.Gather(row, a.integers([j]), axis=-1)
        pivot = op.Where(op.Equal(pivot, a.constant(0)), a.constant(1), pivot)
        here = a.booleans(np.arange(n) == j)
        row = op.Div(op.Where(here, a.constant(1), row), pivot)
        S = op.Where(here, a.constant(0), S)
        S = op.Where(chosen, row, op.Sub(S, op.MatMul(column, row)))
    P = a.transpose(op.Concat(*units, axis=-1), rank) if n > 1 else a.constant([[1]])
    Y = a.newton_schulz(equilibrated, op.MatMul(P, op.MatMul(S, P)), 1)
    return a.unequilibrated(Y, r, c, rank)
