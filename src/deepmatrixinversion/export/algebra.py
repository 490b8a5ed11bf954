"""Values of an ONNX graph under construction, with arithmetic: each operation adds a node.

So that a text written for arrays (``linalg.minimal_residual``, ``linalg.purification``) writes a
graph as well. Nodes are ONNX's standard operators, through onnxscript. All matrices are stacks
(..., n, n), of any rank, whose leading axes may be dynamic.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript import opset18

from deepmatrixinversion.linalg.algebra import Algebra
from deepmatrixinversion.linalg.minimal_residual import newton_schulz

# onnxscript annotates operators for scripts; traced, they take and return values of onnx_ir.
op: Any = opset18


def _constant(array: np.ndarray) -> Any:
    return op.Constant(value=ir.tensor(array))


def _operator(name: str, swapped: bool = False) -> Callable[[Value, Any], Value]:
    """The method of `Value` that adds a node of this operator."""

    def method(self: Value, other: Any) -> Value:
        other = self.like(other)
        first, second = (other, self) if swapped else (self, other)
        node = getattr(op, name)(first.node, second.node)
        return Value(node, self.dtype, max(self.rank, other.rank))

    return method


class Value:
    """A value of a graph: its node's output, the dtype and number of axes of what it holds."""

    __array_ufunc__ = None  # arrays leave operations with values to the values

    def __init__(self, node: Any, dtype: np.dtype, rank: int) -> None:
        self.node = node
        self.dtype = dtype
        self.rank = rank

    def like(self, other: Any) -> Value:
        """Numbers and arrays as constants of this dtype; values as they are."""
        return other if isinstance(other, Value) else constant(other, self.dtype)

    def of(self, node: Any, rank: int | None = None) -> Value:
        """Another value of this dtype, and this rank where no other is given."""
        return Value(node, self.dtype, self.rank if rank is None else rank)

    __add__ = __radd__ = _operator("Add")
    __mul__ = __rmul__ = _operator("Mul")
    __sub__, __rsub__ = _operator("Sub"), _operator("Sub", swapped=True)
    __truediv__, __rtruediv__ = _operator("Div"), _operator("Div", swapped=True)
    __matmul__ = _operator("MatMul")
    __lt__, __gt__ = _operator("Less"), _operator("Greater")
    __and__, __or__ = _operator("And"), _operator("Or")
    equals = _operator("Equal")

    def __pow__(self, exponent: float) -> Value:
        if exponent == 0.5:
            return self.of(op.Sqrt(self.node))
        return self.of(op.Pow(self.node, self.like(exponent).node))

    def __abs__(self) -> Value:
        return self.of(op.Abs(self.node))

    @property
    def mT(self) -> Value:
        """The transpose of each matrix."""
        r = self.rank
        return self.of(op.Transpose(self.node, perm=[*range(r - 2), r - 1, r - 2]))

    def sum(self, axis: tuple[int, ...], keepdims: bool) -> Value:
        """The sum over axes."""
        node = op.ReduceSum(self.node, integers(axis), keepdims=int(keepdims))
        return self.of(node, self.rank - (0 if keepdims else len(axis)))

    def clip(self, least: float) -> Value:
        """The larger of each entry and ``least``."""
        # Not Max, which float16 converters leave in float32, with every constant that it takes.
        return where(self < least, least, self)

    def take(self, indices: Any, axis: int) -> Value:
        """Entries along an axis, which stays."""
        return self.of(op.Gather(self.node, integers(np.atleast_1d(indices)), axis=axis))

    def expanded(self, *shape: int) -> Value:
        """Repeated along axes of length 1."""
        return self.of(op.Expand(self.node, integers(shape)))

    def unsqueezed(self, axis: int) -> Value:
        """With one more axis, of length 1."""
        return self.of(op.Unsqueeze(self.node, integers([axis])), self.rank + 1)

    def reshape(self, replaced: int, *last: int) -> Value:
        """With the last ``replaced`` axes in this shape."""
        kept = self.rank - replaced
        return self.of(op.Reshape(self.node, integers([0] * kept + [*last])), kept + len(last))

    def column(self, j: int) -> Value:
        """Column j of each matrix, (..., n, 1)."""
        return self.take(j, -1)

    def row(self, j: int) -> Value:
        """Row j of each matrix, (..., 1, n)."""
        return self.take(j, -2)


def constant(value: Any, dtype: np.dtype) -> Value:
    """A number or an array."""
    array = np.asarray(value, dtype=dtype)
    return Value(_constant(array), np.dtype(dtype), array.ndim)


def integers(values: Any) -> Any:
    """A constant of 64-bit integers: axes, indices, shapes."""
    return _constant(np.asarray(values, dtype=np.int64))


def gathered(A: Value, index: Any, axis: int, *shape: int) -> Value:
    """Entries A[..., index[...], ...] along an axis, the index broadcast to this shape."""
    return A.of(op.GatherElements(A.node, op.Expand(index, integers(shape)), axis=axis))


def where(condition: Value, a: Any, b: Any) -> Value:
    """a where the condition holds, else b; one of them a value, which the other is like."""
    a, b = (a, a.like(b)) if isinstance(a, Value) else (b.like(a), b)
    return a.of(op.Where(condition.node, a.node, b.node), max(condition.rank, a.rank, b.rank))


def concatenate(values: list[Value], axis: int) -> Value:
    """Values side by side along an axis."""
    return values[0].of(op.Concat(*(v.node for v in values), axis=axis))


def cast(A: Value, dtype: Any) -> Value:
    """A in another dtype."""
    dtype = np.dtype(dtype)
    return Value(op.Cast(A.node, to=ir.DataType.from_numpy(dtype)), dtype, A.rank)


def algebra(order: int, dtype: np.dtype) -> Algebra:
    """For graphs of matrices of one order and dtype."""

    def plus(x: Value, tiny: float) -> Value:
        # A sum of two would be dropped: the exporter's optimizer takes x + 1e-12 for x.
        return x.of(op.Sum(x.node, x.like(tiny).node))

    one = constant(np.eye(order), dtype)
    return Algebra(order, float(np.finfo(dtype).eps), one, where, plus=plus)


def exponent(x: Value) -> Value:
    """The e of a power of two about as large as x > 0, and 0 for 0."""
    x = where(x > 0, x, 1)
    return x.of(op.Floor((x.of(op.Log(x.node)) / math.log(2)).node))


def power_of_two(e: Value) -> Value:
    """2^e for whole e."""
    return e.of(op.Pow(e.like(2).node, e.node))


def floor_power(x: Value) -> Value:
    """A power of two about as large as x > 0, and 1 for 0."""
    return power_of_two(exponent(x))


def size(A: Value, axes: tuple[int, ...]) -> Value:
    """The sum of magnitudes along axes, which are kept with length 1.

    Their maximum would do as well, but ReduceMax does not survive the exporter's conversion to
    opset 17.
    """
    return abs(A).sum(axes, True)


def equilibrated(A: Value) -> tuple[Value, Callable[[Value], Value]]:
    """S with A = r S c, r (..., n, 1) and c (..., 1, n) powers of two, and S⁻¹ to A⁻¹.

    The magnitudes in a column of S sum to 1 to 2, in a row to about as much, so that neither
    the scale of A nor units of its rows and columns count towards its condition.
    """
    r = floor_power(size(A, (-1,)))
    S = A / r
    c = floor_power(size(S, (-2,)))
    return S / c, lambda Y: Y / c.mT / r.mT


def refined(A: Value, X: Value, order: int) -> Value:
    """An inverse after one Newton-Schulz step, where that shrinks the residual."""
    return newton_schulz(algebra(order, A.dtype), A, X, 1)
