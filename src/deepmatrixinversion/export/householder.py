"""PyTorch's QR factorisation by Householder reflections, unrolled column by column in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from deepmatrixinversion.export.algebra import (
    Value,
    constant,
    floor_power,
    size,
    where,
)
from deepmatrixinversion.export.blocks import like, rows
from deepmatrixinversion.export.operand import operand

Reflections = list[tuple[Value, Value]]
"""Vectors v (..., m, 1) with a 1 after j zeros, and factors t (..., 1, 1), of I - t v vᵀ."""


def factor(A: Value, m: int, n: int) -> tuple[Value, Reflections]:
    """R, of A's shape, and the reflections whose product Q gives A = Q R, with LAPACK's signs.

    Notes
    -----
    About 34 operators a column, Q included; 2 m n multiplications each.
    """
    scale = floor_power(size(A, (-2, -1)))
    M, found = A / scale, []
    for j in range(min(m, n)):
        v, t = _reflection(M.column(j), j, m)
        found.append((v, t))
        M = _reflected(M, v, t)
    return where(constant(np.tri(n, m).T, np.dtype(bool)), M, 0) * scale, found


def _reflection(column: Value, j: int, m: int) -> tuple[Value, Value]:
    index = np.arange(m)[:, None]
    x = where(constant(index >= j, np.dtype(bool)), column, 0)
    first = x.row(j)
    largest = size(x, (-2, -1))
    largest = where(largest > 0, largest, 1)  # squares of small numbers would vanish
    y = x / largest
    norm = (y * y).sum((-2, -1), True) ** 0.5 * largest
    last = j + 1 == m
    beta = first if last else where(first > 0, -1 * norm, norm)
    nothing = (first - beta).equals(0)  # in a column of zeros
    v = where(constant(index == j, np.dtype(bool)), 1, x / where(nothing, 1, first - beta))
    t = where(nothing, 0 * first, (beta - first) / where(nothing, 1, beta))
    return v, t


def _reflected(M: Value, v: Value, t: Value) -> Value:
    return M - v @ (t * (v.mT @ M))


def product(found: Reflections, M: Value) -> Value:
    """Q M."""
    for v, t in reversed(found):
        M = _reflected(M, v, t)
    return M


def qr(A, mode: str = "reduced"):
    """Q and R."""
    return _qr(A, mode)


def old_qr(self_, some: bool = True):
    """Q and R."""
    return _qr(self_, "reduced" if some else "complete")


def _qr(matrix: Any, mode: str) -> tuple[Any, Any]:
    A, m, n = operand(matrix, "qr")
    R, found = factor(A, m, n)
    k = m if mode == "complete" else min(m, n)
    R = R if k == m else rows(R, 0, k)
    if mode == "r":
        return constant([], A.dtype).node, R.node
    return product(found, like((A @ A.mT).take(np.arange(k), -1), np.eye(m, k))).node, R.node


def householder_product(input_, tau):
    """The first columns of the product of reflections."""
    A, m, n = operand(input_, "householder_product")
    factors = A.of(tau, A.rank - 1)
    count = tau.shape[-1]
    found = []
    for j in range(count):
        index = np.arange(m)[:, None]
        v = where(constant(index > j, np.dtype(bool)), A.column(j), 0) + (index == j)
        found.append((v, factors.take(j, -1).reshape(1, 1, 1)))
    return product(found, like(A, np.eye(m, n))).node


aten = torch.ops.aten
TABLE = {
    aten.linalg_qr.default: qr,
    aten.linalg_householder_product.default: householder_product,
    aten.orgqr.default: householder_product,
}
if hasattr(aten, "qr"):  # until PyTorch 2.13
    TABLE[aten.qr.default] = old_qr
