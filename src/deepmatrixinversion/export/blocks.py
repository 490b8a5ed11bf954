"""Blocks of the matrices of a graph: taken out, put together, those along a diagonal."""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.export.algebra import Value, constant, integers, op, where

WIDTH = 32
"""Order of the diagonal blocks that large factorisations are made of."""


def part(A: Value, rows: tuple[int, int], columns: tuple[int, int]) -> Value:
    """Rows and columns from and to these indices."""
    starts, ends = zip(rows, columns, strict=True)
    return A.of(op.Slice(A.node, integers(starts), integers(ends), integers([-2, -1])))


def rows(A: Value, first: int, last: int) -> Value:
    """Rows first to last - 1."""
    return A.of(op.Slice(A.node, integers([first]), integers([last]), integers([-2])))


def columns(A: Value, first: int, last: int) -> Value:
    """Columns first to last - 1."""
    return A.of(op.Slice(A.node, integers([first]), integers([last]), integers([-1])))


def like(A: Value, array: np.ndarray) -> Value:
    """The same matrix for each matrix of the stack A, in A's shape."""
    return where(constant(np.zeros(array.shape), np.dtype(bool)), A, array)


def widths(order: int, width: int = WIDTH) -> list[int]:
    """The order cut into blocks of this width and a smaller last one."""
    return [min(width, order - start) for start in range(0, order, width)]


def diagonal_blocks(A: Value, order: int, width: int) -> Value:
    """The diagonal blocks (..., order/width, width, width) of A, whose order they divide."""
    count = order // width
    if count == 1:
        return A.reshape(2, 1, width, width)
    r = A.rank + 2
    cut = A.reshape(2, count, width, count, width)
    perm = [*range(r - 4), r - 4, r - 2, r - 3, r - 1]
    cut = cut.of(op.Transpose(cut.node, perm=perm))
    return cut.reshape(4, count**2, width, width).take(np.arange(count) * (count + 1), -3)


def diagonal(A: Value, rows: int, columns: int) -> Value:
    """The diagonals (..., rows), whatever stands beside them, NaN included."""
    here = constant(np.eye(rows, columns), np.dtype(bool))
    return where(here, A, 0).sum((-1,), False)


def stack_last(A: Value) -> Value:
    """(..., n, k) as (n, k, ...)."""
    r = A.rank
    return A.of(op.Transpose(A.node, perm=[r - 2, r - 1, *range(r - 2)]))


def stack_first(A: Value) -> Value:
    """(n, k, ...) as (..., n, k)."""
    return A.of(op.Transpose(A.node, perm=[*range(2, A.rank), 0, 1]))
