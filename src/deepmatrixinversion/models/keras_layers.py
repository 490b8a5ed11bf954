"""Keras's layers as ONNX operators: those of plain feed-forward networks, and no others."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from deepmatrixinversion.errors import ModelError, quoted
from deepmatrixinversion.models.config import MAX_UNITS
from deepmatrixinversion.models.graph_writer import GraphWriter
from deepmatrixinversion.models.keras_file import KerasFile, Layer


class Value(NamedTuple):
    """A tensor of the graph, and its shape without the batch's axis."""

    name: str
    shape: tuple[int, ...]


class _Place(NamedTuple):
    """A layer of a file, what it takes, and the graph that it is written into."""

    file: KerasFile
    layer: Layer
    inputs: list[Value]
    graph: GraphWriter

    def fail(self, what: str) -> ModelError:
        """The error that this layer is not as it must be."""
        return ModelError(f"{self.file.path}: layer {quoted(self.layer.name)} {what}")

    def setting(self, name: str, *allowed: Any, default: Any = None) -> Any:
        """A setting of the layer, one of the values allowed where there are any."""
        value = self.layer.config.get(name, default)
        if allowed and not any(value is a or value == a for a in allowed):
            raise self.fail(f"has {name} {quoted(value)}, which is not supported")
        return value

    @property
    def input(self) -> Value:
        """The one tensor that it takes."""
        if len(self.inputs) != 1:
            raise self.fail(f"takes {len(self.inputs)} tensors, not one")
        return self.inputs[0]


def write_network(file: KerasFile, graph: GraphWriter, name: str, order: int) -> Value:
    """Write the layers of a file into a graph whose value ``name`` is (batch, n, n)."""
    values: dict[str, Value] = {}
    for layer in file.layers:
        if layer.kind == "InputLayer":
            values[layer.name] = _entry(file, layer, graph, name, order)
            continue
        if layer.kind not in _LAYERS:
            raise ModelError(
                f"{file.path}: layer {quoted(layer.name)} is a {quoted(layer.kind)}: only "
                f"{', '.join(_LAYERS)} are read, and nothing that holds code"
            )
        missing = [n for n in layer.inputs if n not in values]
        place = _Place(file, layer, [values[n] for n in layer.inputs if n in values], graph)
        if missing:
            raise place.fail(f"takes {quoted(missing[0])}, which is not before it")
        values[layer.name] = _LAYERS[layer.kind](place)
    if file.output not in values:
        raise ModelError(f"{file.path}: its output {quoted(file.output)} is none of its layers")
    answer = values[file.output]
    if math.prod(answer.shape) != order**2:
        raise ModelError(f"{file.path}: it answers with {answer.shape}, not {order} x {order}")
    return answer if answer.shape == (order, order) else _reshaped(graph, answer, (order, order))


def order_of(file: KerasFile) -> int:
    """The order n of the matrices that a network takes, as (n, n) or as n² entries."""
    shapes = [_input_shape(layer) for layer in file.layers if layer.kind == "InputLayer"]
    if len(shapes) != 1 or not shapes[0] or not all(isinstance(d, int) for d in shapes[0]):
        raise ModelError(f"{file.path}: it must have one input of known shape, n x n")
    entries = math.prod(shapes[0])
    order = math.isqrt(max(entries, 0))
    if order < 1 or shapes[0] not in ((order, order), (order**2,)):
        raise ModelError(f"{file.path}: it takes {shapes[0]}, which is no square matrix")
    return order


def _input_shape(layer: Layer) -> tuple[Any, ...]:
    found = layer.config.get("batch_shape") or layer.config.get("batch_input_shape") or [None]
    return tuple(found[1:]) if isinstance(found, list) else ()


def _entry(file: KerasFile, layer: Layer, graph: GraphWriter, name: str, order: int) -> Value:
    shape = _input_shape(layer)
    whole = Value(name, (order, order))
    return whole if shape == (order, order) else _reshaped(graph, whole, shape)


def _reshaped(graph: GraphWriter, value: Value, shape: tuple[int, ...]) -> Value:
    target = graph.constant(np.array([-1, *shape], dtype=np.int64))
    return Value(graph.node("Reshape", value.name, target), shape)


def _dense(at: _Place) -> Value:
    units = at.setting("units")
    if not isinstance(units, int) or not 1 <= units <= MAX_UNITS:
        raise at.fail(f"has {quoted(units)} units")
    width = at.input.shape[-1]
    shapes = [(width, units), (units,)] if at.setting("use_bias", True, False) else [(width, units)]
    kernel, *bias = at.file.weights(at.layer, shapes)
    name = at.graph.node("MatMul", at.input.name, at.graph.constant(kernel))
    for b in bias:
        name = at.graph.node("Add", name, at.graph.constant(b))
    return _activated(at, Value(name, (*at.input.shape[:-1], units)))


def _activated(at: _Place, value: Value) -> Value:
    activation = at.setting("activation", None, "linear", *_ACTIVATIONS)
    operator = _ACTIVATIONS.get(activation)
    return value if operator is None else value._replace(name=at.graph.node(operator, value.name))


def _relu(at: _Place) -> Value:
    for name in ("negative_slope", "threshold"):
        at.setting(name, None, 0)
    at.setting("max_value", None)
    return at.input._replace(name=at.graph.node("Relu", at.input.name))


def _flatten(at: _Place) -> Value:
    return _reshaped(at.graph, at.input, (math.prod(at.input.shape),))


def _reshape(at: _Place) -> Value:
    shape = at.setting("target_shape")
    whole = isinstance(shape, list) and all(isinstance(d, int) and d > 0 for d in shape)
    if not whole or math.prod(shape) != math.prod(at.input.shape):
        raise at.fail(f"makes {quoted(shape)} of {at.input.shape}")
    return _reshaped(at.graph, at.input, tuple(shape))


def _concatenate(at: _Place) -> Value:
    first = at.inputs[0].shape if at.inputs else ()
    if not first or any(v.shape[:-1] != first[:-1] for v in at.inputs):
        raise at.fail("joins tensors that do not fit")
    at.setting("axis", -1, len(first), default=-1)
    name = at.graph.node("Concat", *(v.name for v in at.inputs), axis=len(first))
    return Value(name, (*first[:-1], sum(v.shape[-1] for v in at.inputs)))


def _add(at: _Place) -> Value:
    if len(at.inputs) < 2 or len({v.shape for v in at.inputs}) > 1:
        raise at.fail("adds tensors that do not fit")
    total, *others = at.inputs
    for value in others:
        total = total._replace(name=at.graph.node("Add", total.name, value.name))
    return total


def _operation(at: _Place) -> Value:
    """``x + y`` as Keras 2 writes it."""
    at.setting("function", "__operators__.add", "math.add")
    return _add(at)


def _batch_normalization(at: _Place) -> Value:
    last = len(at.input.shape)
    at.setting("axis", -1, last, [-1], [last], default=-1)
    epsilon = at.setting("epsilon", default=1e-3)
    if not isinstance(epsilon, int | float) or not 0 <= epsilon < 1e3:
        raise at.fail(f"has epsilon {quoted(epsilon)}")
    names = ["gamma"] * bool(at.setting("scale", True, False, default=True))
    names += ["beta"] * bool(at.setting("center", True, False, default=True))
    names += ["mean", "variance"]
    found = at.file.weights(at.layer, [(at.input.shape[-1],)] * len(names))
    part = dict(zip(names, (w.astype(np.float64) for w in found), strict=True))
    if not (part["variance"] + epsilon > 0).all():
        raise at.fail("has a variance that is not positive")
    factor = part.get("gamma", 1.0) / np.sqrt(part["variance"] + epsilon)
    shift = part.get("beta", 0.0) - factor * part["mean"]
    name = at.graph.node("Mul", at.input.name, at.graph.constant(np.asarray(factor)))
    return at.input._replace(name=at.graph.node("Add", name, at.graph.constant(np.asarray(shift))))


_ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}
_LAYERS: dict[str, Callable[[_Place], Value]] = {
    "Dense": _dense,
    "Activation": lambda at: _activated(at, at.input),
    "ReLU": _relu,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Concatenate": _concatenate,
    "Add": _add,
    "TFOpLambda": _operation,
    "BatchNormalization": _batch_normalization,
    "Dropout": lambda at: at.input,  # which only training changes
}
