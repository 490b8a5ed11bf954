"""PyTorch's determinants, eigenvalues and singular values, as ONNX nodes.

Parameters are those of the ATen operators, which the exporter passes by name. What is not here is
composed of these by PyTorch itself, before the exporter sees it: ``cond``, ``matrix_norm``,
``matrix_rank``, ``torch.svd``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from deepmatrixinversion.export import singular_values
from deepmatrixinversion.export.algebra import Value, constant, where
from deepmatrixinversion.export.determinant import determinant, sign_and_logarithm
from deepmatrixinversion.export.operand import operand
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
    """U, singular values and the transpose of V."""
    value, rows, columns = operand(A, "svd")
    return tuple(x.node for x in singular_values.svd(value, rows, columns, full=full_matrices))


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
}
