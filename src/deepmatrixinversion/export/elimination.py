"""Gauss-Jordan elimination with partial pivoting, in panels of columns, in ONNX operators."""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.export.algebra import (
    Value,
    concatenate,
    constant,
    floor_power,
    integers,
    op,
    size,
    where,
)
from deepmatrixinversion.export.blocks import columns, stack_first, stack_last, widths

LARGEST = 64
"""Where ``auto`` changes to iteration, whose file is as large there (130 KiB) and smaller beyond
(order 128: 204 KiB, elimination 311), though in onnxruntime it takes four to six times as long."""

PANEL = 8
"""Columns eliminated one by one before a product takes them out of all others. onnxruntime's time
over torch's, 1,000 matrices of order 32 and 64 at once: 1.3 and 1.5; with 16 columns 1.4 and 1.4,
with 32, and no step of refinement, 1.8 and 1.8."""


def inverse(A: Value, n: int, finite: bool = False) -> Value:
    """The inverse of each matrix, as accurate as LAPACK's, at any condition number.

    NaN where a pivot is 0. With ``finite`` it is taken as 1, so that the result is finite as long
    as nothing overflows, and its residual says that it is no inverse.

    Notes
    -----
    n steps of 15 operators on panels of 8 columns, which lie with the stack's axes last, so that
    each operator runs along them; and two products to a panel, five at the end.

    Rows stay where they are: each step picks its pivot among the rows not yet used, and two
    products with the permutation matrix put rows and columns in order at the end. The inverse
    grows in the place of A. A panel's pivots give the columns T of the transformation that
    eliminates it; rest + (T - P) (Pᵀ rest), with P the pivots' unit vectors, takes it out of the
    rest. A Newton-Schulz step takes back the digit that eliminating above the pivot as well as
    below it costs at larger orders.
    """
    scale = floor_power(size(A, (-1,)))
    S = given = A / scale
    free, chosen = constant(1, A.dtype), []
    for width in widths(n, PANEL):
        head, rest = columns(S, 0, width), columns(S, width, n) if width < n else None
        T, units, free = _panel(stack_last(head), width, n, free, finite)
        P = stack_first(units).mT
        if rest is None:
            S = stack_first(T)
        else:
            rest = rest + stack_first(T - units) @ (P @ rest)
            S = concatenate([rest, stack_first(T)], -1)
        chosen.append(P)
    P = concatenate(chosen, -2)
    X = P @ (S @ P)
    return (X + X @ (constant(np.eye(n), A.dtype) - given @ X)) / scale.mT


def pivot_unit(column: Value, free: Value, n: int) -> Value:
    """The unit vector (n, 1, ...) of a column's largest entry in the rows that are free."""
    rows = integers(np.arange(n).reshape(n, 1, *[1] * (column.rank - 2)))
    largest = op.ArgMax((abs(column) * free).node, axis=0, keepdims=1)
    # No Cast: converters to other precisions change what it casts to.
    return where(column.of(op.Equal(rows, largest)), constant(1, column.dtype), 0)


def _panel(M: Value, width: int, n: int, free: Value, finite: bool) -> tuple[Value, Value, Value]:
    """The transformation's columns and unit vectors (n, width, ...), and the rows left free.

    A step turns column c and pivot row r with pivot p into -c/p and r/p, the pivot into 1/p, and
    subtracts c r/p elsewhere: all that is M - (c - unit) (r + e)/p, with e the column's unit
    vector. Rows whose magnitudes sum to 1 to 2 keep p from being so large that this cancels.
    """
    stack, units = [1] * (M.rank - 2), []
    for j, e in enumerate(np.eye(width)):
        column = M.take(j, 1)
        unit = pivot_unit(column, free, n)
        free = free - unit
        row = (unit * M).sum((0,), True)
        pivot = row.take(j, 1)
        if finite:
            pivot = where(pivot.equals(0), 1, pivot)
        M = M - (column - unit) * ((row + e.reshape(1, width, *stack)) / pivot)
        units.append(unit)
    return M, concatenate(units, 1), free
