"""Cholesky factors and triangular systems, unrolled row by row in ONNX operators.

As many steps as the order has rows, each of a few elementwise operations: as accurate as LAPACK's.
"""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.export.algebra import Value, concatenate


def cholesky(A: Value, order: int) -> Value:
    """The lower triangular L with L Lᵀ = A, NaN where there is none; A's lower triangle is read."""
    columns = []
    for j in range(order):
        column = A.column(j) * (np.arange(order)[:, None] >= j)
        column = column / column.row(j) ** 0.5
        columns.append(column)
        if j + 1 < order:
            A = A - column @ column.mT
    return concatenate(columns, -1)


def solve_triangular(T: Value, B: Value, order: int, *, upper: bool, unit: bool = False) -> Value:
    """The Y with T Y = B, of which only T's upper or lower triangle is read."""
    solved: dict[int, Value] = {}
    index = np.arange(order)[:, None]
    for j in reversed(range(order)) if upper else range(order):
        column = T.column(j)
        row = B.row(j)
        if not unit:
            row = row / column.row(j)
        solved[j] = row
        rest = index < j if upper else index > j
        if rest.any():
            B = B - (column * rest) @ row
    return concatenate([solved[j] for j in range(order)], -2)
