"""Cholesky factors in blocks, each unrolled row by row, and products for all the rest."""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.export.algebra import (
    Value,
    cast,
    concatenate,
    constant,
    integers,
    op,
    where,
)
from deepmatrixinversion.export.blocks import diagonal, like, part, widths
from deepmatrixinversion.export.loop import loop


def factor(A: Value, order: int, loop_name: str = "") -> Value:
    """The lower triangular L with L Lᵀ = A, of which the lower triangle is read.

    Where A is not positive definite, a number on L's diagonal is not positive: `first_bad`.

    Notes
    -----
    n³/3 multiplications, most of them in products, and 7 nodes a row; with a ``loop_name`` the rows
    of each block are a loop, with the same results to rounding. Panels are products with
    the inverses of diagonal blocks; a step of refinement makes them as good as solutions.
    """
    within = constant(np.tri(order), np.dtype(bool))
    given = A = where(within, A, A.mT)
    columns, start = [], 0
    for width in widths(order):
        left = order - start
        corner = A if left == width else part(A, (0, width), (0, width))
        L, Y = _eliminated(corner, width, loop_name and f"{loop_name}_{start}")
        if left > width:
            under = part(A, (width, left), (0, width))
            panel = under @ Y.mT
            panel = panel + (under - panel @ L.mT) @ Y.mT
            A = part(A, (width, left), (width, left)) - panel @ panel.mT
            L = concatenate([L, panel], -2)
        above = part(given, (0, start), (start, start + width))  # of this shape, and left out below
        columns.append(concatenate([above, L], -2) if start else L)
        start += width
    return where(within, concatenate(columns, -1), 0)


def _eliminated(A: Value, order: int, loop_name: str) -> tuple[Value, Value]:
    """L and its inverse: elimination turns (A, I) into (D Lᵀ, L⁻¹), with pivots D."""
    M = concatenate([A, like(A, np.eye(order))], -1)
    both = _in_a_loop(M, order, loop_name) if loop_name else _unrolled(M, order)
    both = both / diagonal(both, order, 2 * order).reshape(1, order, 1) ** 0.5
    L = where(constant(np.tri(order), np.dtype(bool)), part(both, (0, order), (0, order)).mT, 0)
    return L, part(both, (0, order), (order, 2 * order))


def _unrolled(M: Value, order: int) -> Value:
    found = []
    for j in range(order):
        row = M.row(j)
        found.append(row)
        if j + 1 < order:
            M = M - M.column(j) / row.column(j) * row
    return concatenate(found, -2)


def _in_a_loop(M: Value, order: int, name: str) -> Value:
    places = constant(np.arange(order)[:, None], np.dtype(np.int64))

    def step(j: Value, M: Value) -> tuple[Value, list[Value]]:
        index = j.of(op.Reshape(j.node, integers([1])), 1)
        row, column = (M.of(op.Gather(M.node, index.node, axis=axis)) for axis in (-2, -1))
        pivot = M.of(op.Gather(row.node, index.node, axis=-1))
        below = where(places > index, column / pivot, 0)
        return index.reshape(1) < order, [M - below * row]

    return loop(step, [M], order - 1, name)[0] if order > 1 else M


def first_bad(pivots: Value) -> Value:
    """Of pivots (..., n), 1 + the index of the first that is not positive, or 0."""
    bad = where(pivots > 0, constant(0, np.dtype(np.float32)), 1)
    first = pivots.of(op.ArgMax(bad.node, axis=-1, keepdims=0), pivots.rank - 1)
    return where(bad.sum((-1,), False) > 0, cast(first, np.int32) + 1, 0)
