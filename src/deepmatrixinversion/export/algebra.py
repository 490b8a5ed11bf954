"""Matrix algebra written in ONNX's standard operators, node by node, through onnxscript.

Values are those of a graph under construction: calling a method adds its nodes. All matrices are
stacks (..., n, n), of any rank, whose leading axes may be dynamic.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript import opset18

# onnxscript annotates operators for scripts; traced, they take and return values of onnx_ir.
Value = Any
op: Any = opset18

MATRIX = (-2, -1)


class Algebra:
    """The operations on stacks of one order and one dtype that the inverses are made of."""

    def __init__(self, order: int, dtype: np.dtype) -> None:
        self.order = order
        self.dtype = np.dtype(dtype)
        self.eps = float(np.finfo(self.dtype).eps)
        self.identity = self.constant(np.eye(order))

    def constant(self, value: Any) -> Value:
        """A constant of this algebra's dtype."""
        return op.Constant(value=ir.tensor(np.asarray(value, dtype=self.dtype)))

    @staticmethod
    def integers(values: Any) -> Value:
        """A constant of 64-bit integers: axes, indices, shapes."""
        return op.Constant(value=ir.tensor(np.asarray(values, dtype=np.int64)))

    def scaled(self, factor: float, M: Value) -> Value:
        """factor M."""
        return op.Mul(self.constant(factor), M)

    def transpose(self, M: Value, rank: int) -> Value:
        """Mᵀ of each matrix of a stack with ``rank`` axes in all."""
        return op.Transpose(M, perm=[*range(rank - 2), rank - 1, rank - 2])

    def inner(self, M: Value, N: Value) -> Value:
        """The Frobenius inner product, shape (..., 1, 1)."""
        return op.ReduceSum(op.Mul(M, N), self.integers(MATRIX), keepdims=1)

    def norm(self, M: Value) -> Value:
        """‖M‖F, shape (..., 1, 1)."""
        return op.Sqrt(self.inner(M, M))

    def total(self, values: list[Value]) -> Value:
        """The sum of values, broadcast."""
        result, *others = values
        for value in others:
            result = op.Add(result, value)
        return result

    def floor_power(self, x: Value) -> Value:
        """A power of two about as large as x > 0, and 1 for 0."""
        one = self.constant(1)
        x = op.Where(op.Greater(x, self.constant(0)), x, one)
        exponent = op.Floor(op.Div(op.Log(x), self.constant(math.log(2))))
        return op.Pow(self.constant(2), exponent)

    def size(self, M: Value, axes: tuple[int, ...]) -> Value:
        """The sum of magnitudes along axes, which are kept with length 1.

        Their maximum would do as well, but ReduceMax does not survive the exporter's conversion to
        opset 17.
        """
        return op.ReduceSum(op.Abs(M), self.integers(axes), keepdims=1)

    def equilibrated(self, A: Value) -> tuple[Value, Value, Value]:
        """``(S, r, c)`` with A = r S c, r (..., n, 1) and c (..., 1, n) powers of two.

        The magnitudes in a column of S sum to 1 to 2, in a row to about as much, so that neither
        the scale of A nor units of its rows and columns count towards its condition.
        """
        r = self.floor_power(self.size(A, (-1,)))
        S = op.Div(A, r)
        c = self.floor_power(self.size(S, (-2,)))
        return op.Div(S, c), r, c

    def unequilibrated(self, Y: Value, r: Value, c: Value, rank: int) -> Value:
        """The inverse of r S c from the inverse Y of S."""
        return op.Div(op.Div(Y, self.transpose(c, rank)), self.transpose(r, rank))

    def better(self, A: Value, X: Value, R: Value, norm: Value, next_X: Value) -> list[Value]:
        """X, R = I - A X and ‖R‖F of whichever has the smaller residual, matrix by matrix."""
        next_R = op.Sub(self.identity, op.MatMul(A, next_X))
        next_norm = self.norm(next_R)
        accept = op.Less(next_norm, norm)
        return [
            op.Where(accept, new, old) for new, old in ((next_X, X), (next_R, R), (next_norm, norm))
        ]

    def booleans(self, values: np.ndarray) -> Value:
        """A constant mask."""
        return op.Constant(value=ir.tensor(values.astype(bool)))

    def newton_schulz(self, A: Value, X: Value, steps: int) -> Value:
        """X <- X + X (I - A X), where that shrinks the residual: 1 + 2 ``steps`` products."""
        R = op.Sub(self.identity, op.MatMul(A, X))
        norm = self.norm(R)
        for _ in range(steps):
            X, R, norm = self.better(A, X, R, norm, op.Add(X, op.MatMul(X, R)))
        return X
