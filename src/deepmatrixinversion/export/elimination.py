"""Gauss-Jordan elimination with partial pivoting, in panels of columns, in ONNX operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepmatrixinversion.export import bordering, triangular
from deepmatrixinversion.export.algebra import (
    Value,
    concatenate,
    constant,
    floor_power,
    gathered,
    integers,
    op,
    where,
)
from deepmatrixinversion.export.blocks import columns, stack_first, stack_last, widths
from deepmatrixinversion.export.regularity import nan_unless, regular
from deepmatrixinversion.export.triangular import lower

LARGEST = 128
"""Where ``auto`` changes to iteration, whose file is smaller there (206 KiB, elimination 330) and
exported sooner (12 s of one core, elimination 19), though in onnxruntime it takes 1.4 to 8 times as
long, the more the larger the batch."""

PANEL = 16
"""Columns eliminated one by one before a product takes them out of all others. onnxruntime's time
over torch's at order 64, float32, 32 and 1,000 matrices at once: 1.1 and 1.5; with 8 columns 1.2
and 1.6, with 32 1.4 and 1.8."""

WHOLE = 32
"""Up to this order there is one panel. At order 32: 1.4 and 1.2, in two panels 1.6 and 1.4."""


def inverse(A: Value, n: int, *, finite: bool = False, guarded: bool = False) -> Value:
    """The inverse of each matrix, as accurate as LAPACK's, at any condition number.

    NaN where a pivot is 0; with ``guarded`` NaN unless `regular`. With ``finite`` it is finite as
    long as nothing overflows, and its residual says that it is no inverse.

    Notes
    -----
    Up to order 8 by `bordering`. Beyond, n steps of 15 operators, which lie with the stack's axes
    last, so that each operator runs along them: up to order 32 in one panel, then in panels of 16
    columns, for each of them three products with the rest and nine of its own width; and four
    products at the end.

    Rows stay where they are: each step picks its pivot among the rows not yet used, and two
    products with the permutation matrix put rows and columns in order at the end. The inverse
    grows in the place of A. With a panel's columns, each as it is before its step, as C, and the
    unit vectors of its pivots as rows of P, rest - (C - Pᵀ) Y takes it out of the rest, where
    L Y = P rest and L is the lower triangle of P C. (T, the product of the steps, would do it as
    well, and leave residuals of κ² u.) A Newton-Schulz step takes back the digit that eliminating
    above the pivot as well as below it costs: without it, errors are up to 14 times those allowed
    where pivots grow.
    """
    if n <= bordering.LARGEST:
        return bordering.inverse(A, n, finite=finite, guarded=guarded)
    S = stack_last(A)
    scale = floor_power(abs(S).sum((1,), False))
    S, P = _eliminated(S / scale.unsqueezed(1), n, finite)
    X = P @ (S @ (P / _last(scale).unsqueezed(-2)))
    X = X + X @ (constant(np.eye(n), A.dtype) - A @ X)
    return X + nan_unless(regular(A, X.mT, n), A.dtype).reshape(0, 1, 1) if guarded else X


def pivot_row(sizes: Value) -> Any:
    """The row (1, ...) of each column's (n, 1, ...) largest number."""
    return op.ArgMax(sizes.node, axis=0, keepdims=0)


def units(indices: Any, n: int, axis: int, like: Value) -> Value:
    """Unit vectors along a new axis, 1 where the indices say, as a value of this dtype and rank."""
    if like.dtype == np.float32:
        return like.of(
            op.OneHot(indices, integers(n), constant([0, 1], like.dtype).node, axis=axis)
        )
    # onnxruntime has no OneHot in float64, and converters to other precisions change a Cast's.
    places = integers(np.arange(n).reshape([n if k == axis else 1 for k in range(like.rank)]))
    here = op.Equal(places, op.Unsqueeze(indices, integers([axis])))
    return where(like.of(here), constant(1, like.dtype), 0)


def _eliminated(S: Value, n: int, finite: bool) -> tuple[Value, Value]:
    """S = (n, n, ...) to X (..., n, n), its inverse as P X P, and P (..., n, n)."""
    sign = constant(np.full((n, 1, *[1] * (S.rank - 2)), 0.5), S.dtype)
    if n <= WHOLE:
        T, _, _, P, _ = _panel(S, n, n, sign, finite)
        return stack_first(T), P
    S, chosen = stack_first(S), []
    for width in widths(n, PANEL):
        head, rest = columns(S, 0, width), columns(S, width, n)
        T, C, D, P, sign = _panel(stack_last(head), width, n, sign, finite)
        chosen.append(P)
        L = lower(P @ stack_first(C), width)
        if finite:
            L = L + where(L.equals(0), constant(np.eye(width), S.dtype), 0)
        rest = rest - stack_first(D) @ (triangular.inverse(L, width) @ (P @ rest))
        S = concatenate([rest, stack_first(T)], -1)
    return S, concatenate(chosen, -2)


def _last(A: Value) -> Value:
    """(n, ...) as (..., n)."""
    return A.of(op.Transpose(A.node, perm=[*range(1, A.rank), 0]))


def _panel(M: Value, width: int, n: int, sign: Value, finite: bool) -> tuple[Value, ...]:
    """T, C and D (n, width, ...), P (..., width, n), and the sign of rows, -½ of those used.

    A step turns column c and pivot row r with pivot p into -c/p and r/p, the pivot into 1/p, and
    subtracts c r/p elsewhere: all that is M - (c - unit) (r + e)/p, with e the column's unit
    vector. Rows whose magnitudes sum to 1 to 2 keep p from being so large that this cancels.
    C has the c of all steps and D, which is C - Pᵀ, the c - unit.
    """
    stack, rows, C, D = [1] * (M.rank - 2), [], [], []
    for j, e in enumerate(np.eye(width)):
        column = M.take(j, 1)
        # Of a column of zeros one with a 0 in any case: a row already used, whose sign is negative,
        # would hide that the matrix is singular.
        index = pivot_row(abs(column) * sign)
        unit = units(index, n, 0, M)
        sign = sign - unit
        row = gathered(M, index, 0, 1, width, *stack)
        pivot = row.take(j, 1)
        if finite:
            pivot = where(pivot.equals(0), 1, pivot)
        row = (row + e.reshape(1, width, *stack)) / pivot
        # One operand as large as the product: onnxruntime is slow where both are spread.
        C.append(column)
        D.append(column - unit)
        M = M - D[-1].expanded(1, width, *stack) * row
        rows.append(index)
    index = op.Concat(*rows, axis=0)
    if M.dtype == np.float32:
        P = stack_first(units(index, n, 1, M))
    else:
        # In float64 onnxruntime takes as long for a transpose of matrices as for four steps.
        P = units(_last(sign.of(index, M.rank - 1)).node, n, M.rank - 1, M)
    return M, concatenate(C, 1), concatenate(D, 1), P, sign
