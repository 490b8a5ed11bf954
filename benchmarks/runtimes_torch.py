"""An ONNX file of dmxexport's as a PyTorch module, for the runtimes that convert from PyTorch.

LiteRT, Core ML and ExecuTorch have no converter from ONNX of their own that is still kept up. The
graph is a straight line of standard operators, so that a short interpreter is enough. All shapes
are those of ``batch`` matrices, as these runtimes want them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper


def _sum(x: Any, axes: Any = None, *, keepdims: int = 1, **_: Any) -> Any:
    dim = tuple(range(x.dim())) if axes is None else tuple(int(a) for a in axes)
    return x.sum(dim=dim, keepdim=bool(keepdims))


def _max(x: Any, axes: Any, *, keepdims: int = 1, **_: Any) -> Any:
    return x.amax(dim=tuple(int(a) for a in axes), keepdim=bool(keepdims))


def _reshape(x: Any, shape: Any, **_: Any) -> Any:
    return x.reshape([x.shape[i] if s == 0 else int(s) for i, s in enumerate(shape)])


def _expand(x: Any, shape: Any) -> Any:
    # ONNX broadcasts both ways: a 1 in the shape leaves the axis alone.
    return x.expand(torch.broadcast_shapes(x.shape, tuple(int(s) for s in shape)))


def _unsqueeze(x: Any, axes: Any) -> Any:
    if isinstance(x, np.ndarray):
        return np.expand_dims(x, tuple(int(a) for a in axes))
    rank = x.dim() + len(axes)
    for axis in sorted(int(a) % rank for a in axes):
        x = x.unsqueeze(axis)
    return x


def _slice(x: Any, starts: Any, ends: Any, axes: Any, steps: Any = None) -> Any:
    for i, (start, end, axis) in enumerate(zip(starts, ends, axes, strict=True)):
        if steps is not None and int(steps[i]) != 1:
            raise NotImplementedError("slices with steps")
        places = range(x.shape[int(axis)])[int(start) : int(min(end, 2**31))]
        if isinstance(x, np.ndarray):
            x = np.take(x, places, axis=int(axis))
        else:
            x = x.narrow(int(axis), places.start, len(places))
    return x


def _gather(x: Any, index: Any, *, axis: int = 0) -> Any:
    if isinstance(x, np.ndarray):
        return np.take(x, index, axis=axis)
    axis %= x.dim()
    found = torch.index_select(x, axis, torch.as_tensor(np.ravel(index)))
    shape = [*x.shape[:axis], *np.shape(index), *x.shape[axis + 1 :]]
    return found.reshape(shape)


def _split(x: Any, sizes: Any = None, *, axis: int = 0, num_outputs: int = 0) -> Any:
    parts = -(-x.shape[axis] // num_outputs) if sizes is None else [int(s) for s in sizes]
    return torch.split(x, parts, dim=axis)


def _concat(*parts: Any, axis: int) -> Any:
    if all(isinstance(p, np.ndarray) for p in parts):
        return np.concatenate(parts, axis=axis)
    return torch.cat([torch.as_tensor(p) for p in parts], dim=axis)


def _clip(x: Any, low: Any = None, high: Any = None) -> Any:
    x = x if low is None else torch.maximum(x, low)
    return x if high is None else torch.minimum(x, high)


def _cast(x: Any, *, to: int) -> Any:
    return x.to(torch.from_numpy(np.zeros(0, onnx.helper.tensor_dtype_to_np_dtype(to))).dtype)


def _argmax(x: Any, *, axis: int, keepdims: int = 1, select_last_index: int = 0) -> Any:
    if select_last_index:
        raise NotImplementedError("the last of several that are largest")
    return x.argmax(dim=axis, keepdim=bool(keepdims))


def _one_hot(index: Any, depth: Any, values: Any, *, axis: int) -> Any:
    if list(values) != [0, 1] or axis < 0:
        raise NotImplementedError("other values than 0 and 1, or an axis counted from the end")
    places = torch.arange(int(depth)).reshape([-1] + [1] * (index.dim() - axis))
    return (index.unsqueeze(axis) == places).to(torch.from_numpy(values).dtype)


def _top_k(x: Any, k: Any, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> Any:
    return torch.topk(x, int(np.ravel(k)[0]), axis, bool(largest), bool(sorted))


UNARY = ("Abs", "Floor", "Log", "Neg", "Reciprocal", "Sigmoid", "Sign", "Sqrt")
OTHERS = ("Add", "Div", "MatMul", "Mul", "Pow", "Sub", "Where")
OPERATORS: dict[str, Any] = {name: getattr(torch, name.lower()) for name in UNARY + OTHERS} | {
    "And": torch.logical_and,
    "ArgMax": _argmax,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Equal": torch.eq,
    "Expand": _expand,
    "Gather": _gather,
    "GatherElements": lambda x, index, axis: torch.gather(x, axis, index),
    "Greater": torch.gt,
    "Identity": lambda x: x,
    "Less": torch.lt,
    "Max": torch.maximum,
    "Not": torch.logical_not,
    "OneHot": _one_hot,
    "Or": torch.logical_or,
    "ReduceMax": _max,
    "ReduceSum": _sum,
    "Reshape": _reshape,
    "Shape": lambda x, start=0: np.array(x.shape[start:], dtype=np.int64),
    "Slice": _slice,
    "Split": _split,
    "Sum": lambda first, *others: sum(others, first),
    "TopK": _top_k,
    "Transpose": lambda x, perm: x.permute(*perm),
    "Unsqueeze": _unsqueeze,
}
# Inputs that are shapes, axes or indices, which PyTorch takes as numbers and not as tensors.
NUMBERS = {
    "Expand",
    "Gather",
    "OneHot",
    "ReduceMax",
    "ReduceSum",
    "Reshape",
    "Slice",
    "Split",
    "TopK",
    "Unsqueeze",
}


class FromOnnx(torch.nn.Module):
    """Computes what the graph does, node by node; without ``booleans``, gives 0 or 1 for those."""

    def __init__(self, path: str, booleans: bool = True) -> None:
        super().__init__()
        self.booleans = booleans
        graph = onnx.load(path).graph
        self.inputs = [i.name for i in graph.input]
        self.outputs = [o.name for o in graph.output]
        self.numbers = {t.name: numpy_helper.to_array(t).copy() for t in graph.initializer}
        self.steps = []
        for node in graph.node:
            options = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            options.pop("allowzero", None)
            options.pop("noop_with_empty_axes", None)
            if node.op_type == "Constant":
                self.numbers[node.output[0]] = numpy_helper.to_array(options["value"]).copy()
                continue
            self.steps.append((node.op_type, list(node.input), list(node.output), options))
        self.position = {}
        for name, value in self.numbers.items():
            self.position[name] = f"constant_{len(self.position)}"
            self.register_buffer(self.position[name], torch.from_numpy(np.asarray(value)))

    def _value(self, name: str, known: dict[str, Any], number: bool) -> Any:
        if not name:
            return None
        if name in known:
            return known[name]
        return self.numbers[name] if number else getattr(self, self.position[name])

    def forward(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The graph's outputs, in order."""
        known: dict[str, Any] = dict(zip(self.inputs, values, strict=True))
        for kind, names, outputs, options in self.steps:
            taken = [
                self._value(name, known, kind in NUMBERS and i > 0) for i, name in enumerate(names)
            ]
            made = OPERATORS[kind](*taken, **options)
            known.update(zip(outputs, made if kind in ("Split", "TopK") else [made], strict=True))
        found = [known[name] for name in self.outputs]
        if not self.booleans:
            found = [x.float() if x.dtype == torch.bool else x for x in found]
        return tuple(found)
