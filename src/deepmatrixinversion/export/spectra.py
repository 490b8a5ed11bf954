"""PyTorch's determinants, eigenvalues and singular values, as ONNX nodes.

Parameters are those of the ATen operators, which the exporter passes by name. What is not here is
composed of these by PyTorch itself, before the exporter sees it: ``matrix_norm``, ``torch.svd``,
``cond`` with norms that have names.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from deepmatrixinversion.export import elimination, singular_values
from deepmatrixinversion.export.algebra import Value, cast, constant, integers, op, where
from deepmatrixinversion.export.determinant import determinant, sign_and_logarithm
from deepmatrixinversion.export.operand import operand
from deepmatrixinversion.export.scale import nan_unless_finite
from deepmatrixinversion.export.sorting import ordered
from deepmatrixinversion.export.symmetric_eigen import eigen, symmetric


def _square(A: Any, name: str) -> tuple[Value, int]:
    value, rows, columns = operand(A, name)
    if rows != columns:
        raise ValueError(f"{name}: the matrix is {rows}x{columns}, not square")
    return value, rows


def det(A):
    """The determinant."""
    return determinant(*_square(A, "det")).node


def det_and_factors(A):
    """The determinant, in the place of its factors as well, of which only gradients make use."""
    node = det(A)
    return node, node, node


def slogdet(A):
    """The sign of the determinant, and the logarithm of its magnitude."""
    sign, logarithm = sign_and_logarithm(*_square(A, "slogdet"))
    return sign.node, logarithm.node


def slogdet_and_factors(A):
    """The same, with places for factors."""
    sign, logarithm = slogdet(A)
    return sign, logarithm, logarithm, logarithm


def logdet(A):
    """The logarithm of the determinant, NaN where that is negative."""
    sign, logarithm = sign_and_logarithm(*_square(A, "logdet"))
    return where(sign < 0, constant(np.nan, sign.dtype), logarithm).node


def eigh(A, UPLO: str = "L", compute_v: bool = True):
    """Eigenvalues and eigenvectors."""
    value, order = _square(A, "eigh")
    values, vectors = eigen(symmetric(value, order, upper=UPLO.upper() == "U"), order)
    return values.node, vectors.node


def eigvalsh(A, UPLO: str = "L"):
    """Eigenvalues."""
    return eigh(A, UPLO)[0]


def svd(A, full_matrices: bool = False, compute_uv: bool = True, *, driver: str | None = None):
    """U, singular values and the transpose of V; the values in each one's place without vectors."""
    value, rows, columns = operand(A, "svd")
    if not compute_uv:
        return (singular_values.values(value, rows, columns).node,) * 3
    return tuple(x.node for x in singular_values.svd(value, rows, columns, full=full_matrices))


def svdvals(A, *, driver: str | None = None):
    """Singular values."""
    return svd(A, compute_uv=False)[1]


def cond(self_, p=None):
    """The condition number; infinite where a matrix is singular."""
    if p in (None, 2, -2):
        value, rows, columns = operand(self_, "cond")
        _, found, _ = singular_values.svd(value, rows, columns, full=False)
        first, last = (found.take(k, -1) for k in (0, min(rows, columns) - 1))
        return (last / first if p == -2 else first / last).reshape(1).node
    value, n = _square(self_, "cond")
    axis = -2 if abs(p) == 1 else -1
    product = 1
    for X in (value, elimination.inverse(value, n)):
        sums = abs(X).sum((axis,), False)
        product = ordered(sums, n, descending=p > 0)[0].take([0], -1).reshape(1) * product
    finite = nan_unless_finite(value).reshape(2).equals(0)
    missing = Value(op.IsNaN(product.node), np.dtype(bool), product.rank)
    return where(missing & finite, constant(np.inf, value.dtype), product).node


def matrix_rank(self_, tol=None, hermitian: bool = False):
    """The rank, with the older name of atol."""
    return matrix_rank_above(self_, atol=tol, hermitian=hermitian)


def matrix_rank_of_input(input_, tol, hermitian: bool = False):
    """The same with a tensor."""
    return matrix_rank_above(input_, atol=tol, hermitian=hermitian)


def matrix_rank_above(self_, *, atol=None, rtol=None, hermitian: bool = False):
    """How many singular values are above the tolerance; -1 where the matrix is not finite."""
    A, m, n = operand(self_, "matrix_rank")
    if hermitian:
        found, _ = eigen(symmetric(A, n, upper=False), n)
        found, _ = ordered(abs(found), n, descending=True)
    else:
        found = singular_values.values(A, m, n)
    if rtol is None:
        rtol = 0.0 if atol is not None else max(m, n) * float(np.finfo(A.dtype).eps)
    bound = found.take([0], -1) * _tolerance(rtol, A)
    least = bound.like(0.0) if atol is None else _tolerance(atol, A)
    bound = where(bound > least, bound, least)
    rank = where(found > bound, constant(1, A.dtype), 0).sum((-1,), False)
    unknown = op.IsNaN(found.sum((-1,), False).node)
    return op.Where(unknown, integers(-1), cast(rank, np.int64).node)


def _tolerance(given: Any, A: Value) -> Value:
    """A number, or a tensor of one for each matrix, (..., 1)."""
    if isinstance(given, int | float):
        return constant(given, A.dtype)
    value = Value(given, given.dtype.numpy(), len(given.shape))
    return cast(value, A.dtype).unsqueezed(-1)


aten = torch.ops.aten
TABLE = {
    aten.linalg_det.default: det,
    aten.det.default: det,
    aten._linalg_det.default: det_and_factors,
    aten.linalg_slogdet.default: slogdet,
    aten.slogdet.default: slogdet,
    aten._linalg_slogdet.default: slogdet_and_factors,
    aten.logdet.default: logdet,
    aten._linalg_eigh.default: eigh,
    aten.linalg_eigvalsh.default: eigvalsh,
    aten._linalg_svd.default: svd,
    aten.linalg_svdvals.default: svdvals,
    aten.linalg_cond.default: cond,
    aten.linalg_matrix_rank.default: matrix_rank,
    aten.linalg_matrix_rank.tol_tensor: matrix_rank_of_input,
    aten.linalg_matrix_rank.atol_rtol_tensor: matrix_rank_above,
    aten.linalg_matrix_rank.atol_rtol_float: matrix_rank_above,
}
