"""PyTorch's functions of triangular factors, as ONNX nodes.

Parameters are those of the ATen operators, which the exporter passes by name.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from deepmatrixinversion.export import cholesky as blocks
from deepmatrixinversion.export.algebra import Value, constant, op, where
from deepmatrixinversion.export.blocks import diagonal
from deepmatrixinversion.export.operand import operand
from deepmatrixinversion.export.triangular import Triangle

aten = torch.ops.aten


def _factor(matrix: Any, upper: bool, name: str, loop_name: str) -> tuple[Value, Value]:
    """The factor, NaN where there is none, and LAPACK's ``info``."""
    A, order, _ = operand(matrix, name)
    L = blocks.factor(A.mT if upper else A, order, loop_name)
    info = blocks.first_bad(diagonal(L, order, order))
    L = L + where(info > 0, constant(np.nan, A.dtype), 0).reshape(0, 1, 1)
    return L.mT if upper else L, info


def cholesky_table(loops: bool) -> dict[Callable[..., Any], Callable[..., Any]]:
    """Of the Cholesky factor, whose pivots are written as loops where ``loops``."""
    names = (f"cholesky_{k}" if loops else "" for k in itertools.count())

    def cholesky(self_, upper: bool = False):
        """The Cholesky factor."""
        return _factor(self_, upper, "cholesky", next(names))[0].node

    def cholesky_ex(self_, *, upper: bool = False, check_errors: bool = False):
        """The factor, and the order of the first leading minor that is not positive, or 0."""
        L, info = _factor(self_, upper, "cholesky_ex", next(names))
        return L.node, info.node

    table = {aten.linalg_cholesky.default: cholesky, aten.linalg_cholesky_ex.default: cholesky_ex}
    if hasattr(aten, "cholesky"):  # until PyTorch 2.13
        table[aten.cholesky.default] = cholesky
    return table


def _triangle(matrix: Any, upper: bool, unit: bool, name: str) -> Triangle:
    """Of the lower triangular matrix, or of the transpose of the upper one."""
    T, order, _ = operand(matrix, name)
    return Triangle(T.mT if upper else T, order, unit=unit)


def solve_triangular(self_, B, *, upper: bool, left: bool = True, unitriangular: bool = False):
    """The solution of T Y = B, or of Y T = B."""
    T = _triangle(self_, upper, unitriangular, "solve_triangular")
    right = T.L.of(B, len(B.shape))
    if left:
        return T.solve(right, transposed=upper).node
    return T.solve(right.mT, transposed=not upper).mT.node


def triangular_solve(
    self_, A, upper: bool = True, transpose: bool = False, unitriangular: bool = False
):
    """The solution of A Y = B or Aᵀ Y = B, and A."""
    T = _triangle(A, upper, unitriangular, "triangular_solve")
    right = T.L.of(self_, len(self_.shape))
    return T.solve(right, transposed=upper != transpose).node, op.Identity(A)


def cholesky_inverse(self_, upper: bool = False):
    """The inverse of L Lᵀ from L."""
    L = _triangle(self_, upper, False, "cholesky_inverse")
    Y = L.solve(constant(np.eye(L.starts[-1]), L.L.dtype))
    return (Y.mT @ Y).node


def cholesky_solve(self_, input2, upper: bool = False):
    """The solution of L Lᵀ X = B from L."""
    L = _triangle(input2, upper, False, "cholesky_solve")
    Y = L.solve(L.L.of(self_, len(self_.shape)))
    return L.solve(Y, transposed=True).node


TABLE = {
    aten.linalg_solve_triangular.default: solve_triangular,
    aten.triangular_solve.default: triangular_solve,
    aten.cholesky_inverse.default: cholesky_inverse,
    aten.cholesky_solve.default: cholesky_solve,
}
