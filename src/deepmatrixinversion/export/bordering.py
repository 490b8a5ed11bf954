"""Inverses of small orders: eliminating A from [[A, -I], [I, 0]] leaves its inverse in the corner.

Twice as many rows and columns as in place, but fewer nodes, which is what onnxruntime's time is
made of at these orders: no row needs a mark that says whether it has been used, since a pivot row
less itself is 0 exactly; nothing is permuted; and the last row is the sum of all that are left.
"""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.export.algebra import Value, gathered, op, where
from deepmatrixinversion.export.blocks import stack_first, stack_last
from deepmatrixinversion.export.regularity import nan_unless, regular

LARGEST = 8
"""Beyond, elimination in place is faster, by a quarter at order 16."""


def inverse(A: Value, n: int, *, finite: bool = False, guarded: bool = False) -> Value:
    """The inverse of each matrix by elimination with partial pivoting, as accurate as LAPACK's.

    NaN where a pivot is 0, or with ``finite`` 0; with ``guarded`` NaN unless `regular`.

    Notes
    -----
    Steps of 10 operators, on arrays with the stack's axes last. Each subtracts c r/p from all of
    the matrix, pivot row r included, of which c/p is 1 exactly.
    """
    A = stack_last(A)
    K, stack = _bordered(A, n), [1] * (A.rank - 2)
    above, below = np.arange(n), np.arange(n, 2 * n)
    for j in range(n - 1):
        column = K.take(j, 1)
        index = op.ArgMax(abs(column.take(above, 0)).node, axis=0, keepdims=0)
        row = gathered(K, index, 0, 1, 2 * n, *stack)
        # One operand as large as the product: onnxruntime is slow where both are spread.
        K = K - (column / row.take(j, 1)).expanded(1, 2 * n, *stack) * row
    row, K = K.take(above, 0).sum((0,), True), K.take(below, 0)
    pivot = row.take(n - 1, 1)
    factor = K.take(n - 1, 1) / pivot
    if not guarded:
        # Earlier pivots are the largest of their columns, so that they leave 0/0 where they are 0;
        # the last one would leave infinities as well.
        factor = factor + (pivot - pivot) / pivot
    X = (K - factor * row).take(below, 1)
    if guarded:
        XT = X.of(op.Transpose(X.node, perm=[1, 0, *range(2, X.rank)]))
        X = X + nan_unless(regular(A, XT, n, (0, 1)), A.dtype)
    if finite:
        # An earlier pivot of 0 has left NaN, which is not larger than 0, in all of the matrix.
        X = where(abs(pivot) > 0, X, 0)
    return stack_first(X)


def _bordered(A: Value, n: int) -> Value:
    """[[A, -I], [I, 0]]. Not by Pad: onnxruntime would pad before it transposes, which is slow."""
    within = [*range(n), *[0] * n]
    kept = np.zeros((2 * n, 2 * n))
    kept[:n, :n] = 1
    border = np.block([[np.zeros((n, n)), -np.eye(n)], [np.eye(n), np.zeros((n, n))]])
    shape = (2 * n, 2 * n, *[1] * (A.rank - 2))
    return A.take(within, 0).take(within, 1) * kept.reshape(shape) + border.reshape(shape)
