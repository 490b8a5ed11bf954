"""PyTorch's LU factorisation with partial pivoting, in panels of columns, as ONNX nodes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from deepmatrixinversion.export.algebra import (
    Value,
    cast,
    concatenate,
    constant,
    gathered,
    op,
    where,
)
from deepmatrixinversion.export.blocks import (
    columns,
    diagonal,
    part,
    stack_first,
    stack_last,
    widths,
)
from deepmatrixinversion.export.cholesky import first_bad
from deepmatrixinversion.export.elimination import pivot_row, units
from deepmatrixinversion.export.operand import operand
from deepmatrixinversion.export.triangular import Triangle, inverse, lower

PANEL = 8
"""Columns eliminated one by one before a product takes them out of the others."""


class Panel(NamedTuple):
    """Eight columns or fewer of P A = L U: rows of P, columns of Pᵀ L, rows of U from there on."""

    P: Value
    Q: Value
    U: Value


def factor(A: Value, n: int) -> tuple[Value, Value, Value]:
    """P, L and U with P A = L U: LAPACK's pivots, the first of the largest where several are.

    Notes
    -----
    n steps of 16 operators on panels of 8 columns, and n³/3 multiplications in products. Rows stay
    where they are until the end: each step picks its pivot among those not yet used.
    """
    found = eliminated(A, n)
    P, within = concatenate([p.P for p in found], -2), constant(np.tri(n).T, np.dtype(bool))
    L = lower(P @ concatenate([p.Q for p in found], -1), n, True)
    upper, start = [], 0
    for panel, width in zip(found, widths(n, PANEL), strict=True):
        # What stands below the diagonal is of this shape, and left out.
        below = [part(A, (0, width), (0, start))] if start else []
        upper.append(concatenate([*below, panel.U], -1))
        start += width
    return P, L, where(within, concatenate(upper, -2), 0)


def eliminated(A: Value, n: int, *, permuted: bool = True) -> list[Panel]:
    """The panels of elimination with partial pivoting.

    Without ``permuted``, which spares 5 operators a step, a row may be used twice where all that
    are left are 0 in a column; pivots are right all the same.
    """
    rest, found, free = A, [], constant(1, A.dtype) if permuted else None
    left = n
    for width in widths(n, PANEL):
        head = columns(rest, 0, width) if width < left else rest
        P, Q, U, free = _panel(head, width, n, free)
        if width < left:
            rest = columns(rest, width, left)
            right = inverse(lower(P @ Q, width, True), width) @ (P @ rest)
            rest = rest - Q @ right
            if not permuted:
                rest = rest * (1 - P.sum((-2,), True)).mT
            U = concatenate([U, right], -1)
        found.append(Panel(P, Q, U))
        left -= width
    return found


def _panel(
    head: Value, width: int, n: int, free: Value | None
) -> tuple[Value, Value, Value, Value | None]:
    """The pivots' unit vectors as rows, multipliers, pivot rows, and the rows left free.

    Pivot rows get a multiplier of 0, and are never chosen again; or, if ``free`` is None, one of
    c/c = 1, which leaves exact zeros of them.
    """
    M = stack_last(head)
    indices, multipliers, rows = [], [], []
    for j in range(width):
        column = M.take(j, 1)
        # Of a column of zeros a free one, too: P is a permutation whatever the matrix is.
        sizes = abs(column) if free is None else where(free > 0, abs(column), -1)
        index = pivot_row(sizes)
        row = gathered(M, index, 0, 1, width, *[1] * (M.rank - 2))
        pivot = row.take(j, 1)
        # Where no pivot is left the column is 0, and so are its multipliers.
        divisor = where(pivot.equals(0), 1, pivot)
        multiplier = (column if free is None else column * free) / divisor
        if free is not None:
            free = free - units(index, n, 0, M)
        M = M - multiplier * row
        indices.append(index)
        multipliers.append(multiplier)
        rows.append(row)
    P = stack_first(units(op.Concat(*indices, axis=0), n, 1, M))
    return P, stack_first(concatenate(multipliers, 1)), stack_first(concatenate(rows, 0)), free


def lu(A, *, pivot: bool = True):
    """P, L and U with A = P L U."""
    P, L, U, _ = _factors(A, pivot, "lu")
    return P.mT.node, L.node, U.node


def _factors(matrix: Any, pivot: bool, name: str) -> tuple[Value, Value, Value, int]:
    A, rows, columns_ = operand(matrix, name)
    if not pivot:
        raise ValueError(f"{name}: pivot=False, which PyTorch has on CUDA alone, is not translated")
    if rows != columns_:
        raise ValueError(f"{name}: square matrices only, not {rows} x {columns_}")
    return *factor(A, rows), rows


def lu_factor(A, *, pivot: bool = True):
    """L below the diagonal with U above it, and LAPACK's interchanges."""
    return lu_factor_ex(A, pivot=pivot)[:2]


def lu_factor_ex(A, *, pivot: bool = True, check_errors: bool = False):
    """As `lu_factor`, with the index of the first pivot that is 0, counted from 1, or 0."""
    P, L, U, n = _factors(A, pivot, "lu_factor")
    info = first_bad(abs(diagonal(U, n, n)))
    return (L - np.eye(n) + U).node, cast(_interchanges(P, n), np.int32).node, info.node


def _interchanges(P: Value, n: int) -> Value:
    """The row (..., n), counted from 1, with which LAPACK swaps row j at its step j."""
    place = constant(np.arange(1.0, n + 1)[None], P.dtype)
    found = []
    for j in range(n):
        there = (P.row(j) * place).sum((-1,), True)
        found.append(there)
        place = where(place.equals(j + 1), there, place)
    return concatenate(found, -1).reshape(2, n)


def _permutation(interchanges: Value, n: int, dtype: np.dtype) -> Value:
    """The P of LAPACK's interchanges (..., n)."""
    pivots, index = cast(interchanges, np.int64), np.arange(n)
    order = constant(index, pivots.dtype)
    for j in range(n):
        there = (pivots.take(j, -1) - 1).equals(index)
        here = constant(index == j, np.dtype(bool))
        moved = where(there, order, 0).sum((-1,), True)
        order = where(here, moved, where(there, where(here, order, 0).sum((-1,), True), order))
    return where(order.reshape(1, n, 1).equals(index), constant(1, dtype), 0)


def lu_unpack(LU_data, LU_pivots, unpack_data: bool = True, unpack_pivots: bool = True):
    """P, L and U of what `lu_factor` gives; empty what is not asked for."""
    both, rows, n = operand(LU_data, "lu_unpack")
    if rows != n:
        raise ValueError(f"lu_unpack: square matrices only, not {rows} x {n}")
    P = L = U = constant([], both.dtype)
    if unpack_pivots:
        pivots = Value(LU_pivots, np.dtype(np.int32), both.rank - 1)
        P = _permutation(pivots, n, both.dtype).mT
    if unpack_data:
        L = lower(both, n, True)
        U = where(constant(np.tri(n).T, np.dtype(bool)), both, 0)
    return P.node, L.node, U.node


def lu_solve(LU, pivots, B, *, left: bool = True, adjoint: bool = False):
    """The solution of A X = B, Aᵀ X = B or X A = B."""
    both, n, _ = operand(LU, "lu_solve")
    P = _permutation(Value(pivots, np.dtype(np.int32), both.rank - 1), n, both.dtype)
    L, Ut = Triangle(both, n, unit=True), Triangle(both.mT, n)
    right = both.of(B, len(B.shape))
    right = right if left else right.mT
    if adjoint == left:
        X = P.mT @ L.solve(Ut.solve(right), transposed=True)
    else:
        X = Ut.solve(L.solve(P @ right), transposed=True)
    return (X if left else X.mT).node


aten = torch.ops.aten
TABLE = {
    aten.linalg_lu.default: lu,
    aten.linalg_lu_factor.default: lu_factor,
    aten.linalg_lu_factor_ex.default: lu_factor_ex,
    aten.linalg_lu_solve.default: lu_solve,
    aten.lu_unpack.default: lu_unpack,
}
