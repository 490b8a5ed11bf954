"""Householder reflections, unrolled column by column in ONNX operators."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepmatrixinversion.export.algebra import Value, constant, op, where

TINY = 1e-18
"""What is added to norms, so that nothing is divided by 0. Matrices are scaled to 1."""


class Reflection(NamedTuple):
    """The reflection I - z vᵀ, z (..., m, 1) and vᵀ (..., 1, m)."""

    z: Value
    vT: Value

    def __call__(self, X: Value) -> Value:
        """Of X (..., m, k)."""
        return X - self.z @ (self.vT @ X)


def reflection(column: Value, j: int, rows: int) -> Reflection:
    """That which takes the entries of a column below entry j to 0, and lets those above it be.

    Orthogonal to rounding whatever the column is, zero included.
    """
    index = np.arange(rows)[:, None]
    x = column * (index >= j) if j else column
    norm = (x * x).sum((-2,), True) ** 0.5
    x = x / norm.of(op.Sum(norm.node, norm.like(TINY).node))  # the optimizer would drop Add
    unit = constant(index == j, x.dtype)
    v = x + where(x.row(j) < 0, unit * -1, unit)
    vT = v.mT
    return Reflection(v / (vT @ (v * 0.5)), vT)


def triangular(A: Value, rows: int, columns: int) -> tuple[Value, list[Reflection]]:
    """R, (..., m, k) upper triangular in its first ``columns``, and the reflections to it.

    ``A`` may have more columns, which are transformed with the others.
    """
    reflections = []
    for j in range(min(columns, rows - 1)):
        reflections.append(reflection(A.column(j), j, rows))
        A = reflections[-1](A)
    return A, reflections


def orthogonal(reflections: list[Reflection], X: Value) -> Value:
    """Q X, where Q R was made triangular by the reflections, one after the other."""
    for reflect in reversed(reflections):
        X = reflect(X)
    return X
