"""Cholesky factors and triangular systems, unrolled row by row in ONNX operators.

As many steps as the order has rows, each of a few elementwise operations: as accurate as LAPACK's.
"""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.export.algebra import Algebra, Value, op


def _column(a: Algebra, M: Value, j: int) -> Value:
    return op.Gather(M, a.integers([j]), axis=-1)


def _row(a: Algebra, M: Value, j: int) -> Value:
    return op.Gather(M, a.integers([j]), axis=-2)


def cholesky(a: Algebra, A: Value, rank: int) -> Value:
    """The lower triangular L with L Lᵀ = A, NaN where there is none; A's lower triangle is read."""
    columns = []
    for j in range(a.order):
        below = a.constant(np.arange(a.order)[:, None] >= j)
        column = op.Mul(_column(a, A, j), below)
        column = op.Div(column, op.Sqrt(_row(a, column, j)))
        columns.append(column)
        if j + 1 < a.order:
            A = op.Sub(A, op.MatMul(column, a.transpose(column, rank)))
    return op.Concat(*columns, axis=-1)


def solve_triangular(a: Algebra, T: Value, B: Value, *, upper: bool, unit: bool = False) -> Value:
    """The Y with T Y = B, of which only T's upper or lower triangle is read."""
    n = a.order
    solved: list[Value] = [None] * n
    for j in reversed(range(n)) if upper else range(n):
        column = _column(a, T, j)
        row = _row(a, B, j)
        if not unit:
            row = op.Div(row, _row(a, column, j))
        solved[j] = row
        rest = np.arange(n)[:, None] < j if upper else np.arange(n)[:, None] > j
        if rest.any():
            B = op.Sub(B, op.MatMul(op.Mul(column, a.constant(rest)), row))
    return op.Concat(*solved, axis=-2)
