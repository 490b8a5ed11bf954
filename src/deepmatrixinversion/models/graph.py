"""What a model's graph may hold, checked on its bytes before onnxruntime sees them.

One input A and one output X of the configured order. Operators of matrix algebra from ONNX's own
domain alone: no loops, branches or functions, so that a run ends; no sizes but the input's and
small constants, so that it fits in memory; and every number of a tensor within the file itself.
Parsed here, because ``onnx`` is not needed to invert matrices.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from deepmatrixinversion.errors import ModelError, printable, quoted
from deepmatrixinversion.models.wire import fields, integers

# What the networks of this package export to, and their nearest relatives.
OPERATORS = frozenset((
    "Abs", "Add", "Clip", "Concat", "Div", "Equal", "Exp", "Expand", "Gather", "Gemm",
    "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Log", "MatMul", "Max",
    "Min", "Mul", "Neg", "Pow", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum",
    "ReduceSumSquare", "Relu", "Reshape", "Shape", "Sigmoid", "Split", "Sqrt", "Squeeze", "Sub",
    "Tanh", "Transpose", "Unsqueeze", "Where",
))  # fmt: skip
ANY_ORDER_OPERATORS = frozenset(("Cast", "Range", "Slice"))  # where n itself is an input
DOMAINS = (b"", b"ai.onnx")  # two names of one
MAX_NODES = 100_000
MAX_RANK = 8
LEAST_BOUND = 64  # of whole numbers in any graph: axes, shapes, indices
NO_END = (1 << 63) - 1  # of a slice

# ONNX's numbers for the element types, and the field that holds them where raw_data does not.
FLOAT, INT32, INT64, BOOL, DOUBLE = 1, 6, 7, 9, 11
RAW, EXTERNAL, LOCATION = 9, 13, 14
ITEMS = {FLOAT: 4, INT32: 4, INT64: 8, BOOL: 1, DOUBLE: 8}
TYPED = {FLOAT: 4, INT32: 5, BOOL: 5, INT64: 7, DOUBLE: 10}


def check_graph(data: bytes, order: int, where: str) -> None:
    """Refuse the bytes of an ONNX model that are not those of a network for one order.

    Parameters
    ----------
    data : bytes
        The file.
    order : int
        Order n of the matrices, up to whose square whole numbers in the graph may go; 0 for any.
    where : str
        The file's name, with which the message begins.

    Raises
    ------
    ModelError
    """
    try:
        graph = _only(memoryview(data), 7, "graph", forbidden={20: "training", 25: "functions"})
        _check(graph, order)
    except _Outside:
        raise ModelError(f"{where} refers to weights outside the file") from None
    except ValueError as error:
        raise ModelError(f"{where} does not load ({error})") from None


class _Outside(Exception):
    """A tensor is kept in another file."""


class _Signature(NamedTuple):
    """Name, element type and shape of an input or output; names of axes as they are."""

    name: str
    kind: int
    shape: list[int | str]


def _check(graph: memoryview, order: int) -> None:
    operators = OPERATORS if order else OPERATORS | ANY_ORDER_OPERATORS
    bound = max(order**2, LEAST_BOUND)
    values: dict[int, list[_Signature]] = {11: [], 12: []}
    nodes = 0
    for number, value in fields(graph):
        if number == 1:
            nodes += 1
            if nodes > MAX_NODES:
                raise ValueError(f"it has more than {MAX_NODES} operators")
            _check_node(_bytes(value), operators, bound)
        elif number == 5:
            _check_tensor(_bytes(value), bound, no_end=not order)
        elif number in values:
            values[number].append(_signature(_bytes(value)))
        elif number == 15:
            raise ValueError("it holds sparse tensors")
    _check_signature(values[11], "A", order)
    _check_signature(values[12], "X", order)


def _check_signature(found: list[_Signature], name: str, order: int) -> None:
    right = len(found) == 1 and found[0].name == name and found[0].kind == FLOAT
    right = right and len(found[0].shape) == 3 and isinstance(found[0].shape[0], str)
    if right and order:
        right = found[0].shape[1:] == [order, order]
    if not right:
        got, n = printable([tuple(s) for s in found]), order or "n"
        raise ValueError(
            f"it has {got} where one float32 tensor '{name}' of shape (batch, {n}, {n}) belongs"
        )


def _signature(value: memoryview) -> _Signature:
    """Of a ValueInfoProto: name, and within its type the tensor's elements and shape."""
    name, kind, shape = "", 0, []
    for number, part in fields(value):
        if number == 1:
            name = bytes(_bytes(part)).decode("utf-8", "replace")
        elif number == 2:
            for tensor in _within(part, 1):
                for inner, item in fields(_bytes(tensor)):
                    if inner == 1 and isinstance(item, int):
                        kind = item
                    elif inner == 2:
                        shape += [_axis(_bytes(axis)) for axis in _within(item, 1)]
    return _Signature(name, kind, shape)


def _axis(value: memoryview) -> int | str:
    for number, part in fields(value):
        if number == 1 and isinstance(part, int):
            return part
        if number == 2:
            return bytes(_bytes(part)).decode("utf-8", "replace")
    return "?"


def _within(message: int | memoryview, wanted: int) -> list[int | memoryview]:
    return [value for number, value in fields(_bytes(message)) if number == wanted]


def _check_node(node: memoryview, operators: frozenset[str], bound: int) -> None:
    names: dict[int, list[bytes]] = {4: [], 7: []}
    attributes = []
    for number, value in fields(node):
        if number in names:
            names[number].append(bytes(_bytes(value)))
        elif number == 5:
            attributes.append(_bytes(value))
    # Of a field that is there twice, the last one counts: check them all.
    known = names[4] and all(name.decode("latin-1") in operators for name in names[4])
    if not known or not all(domain in DOMAINS for domain in names[7]):
        shown = quoted(b"::".join([*names[7], *names[4]]).decode("utf-8", "replace"))
        raise ValueError(f"it has the operator {shown}, which no network of this package has")
    for attribute in attributes:
        _check_attribute(attribute, bound)


def _check_attribute(attribute: memoryview, bound: int) -> None:
    for number, value in fields(attribute):
        if number in (3, 8):  # i, ints
            _check_size(integers(value), bound)
        elif number in (5, 6, 10, 11, 14, 15, 22, 23):  # tensors, graphs, types
            raise ValueError("an operator's attribute holds a tensor or a graph")


def _check_tensor(tensor: memoryview, bound: int, *, no_end: bool) -> None:
    shape: list[int] = []
    kind, raw, typed = 0, [], dict.fromkeys(set(TYPED.values()), 0)
    whole: list[int] = []
    for number, value in fields(tensor):
        if number == EXTERNAL or (number == LOCATION and value != 0):
            raise _Outside
        if number == 1:
            shape += integers(value)
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == RAW:
            raw.append(_bytes(value))
        elif number in (5, 7):
            found = integers(value)
            whole += found
            typed[number] += len(found)
        elif number in typed:
            typed[number] += len(_bytes(value)) // (4 if number == 4 else 8)
    if kind not in ITEMS:
        raise ValueError(f"a tensor has elements of type {kind}")
    if len(shape) > MAX_RANK or any(length < 0 for length in shape):
        raise ValueError("a tensor has an impossible shape")
    count = math.prod(shape)
    stored = len(raw[-1]) / ITEMS[kind] if raw else typed[TYPED[kind]]
    if stored != count:
        raise ValueError(f"a tensor of shape {tuple(shape)} comes with {stored:g} elements")
    if raw and kind in (INT32, INT64):
        whole += np.frombuffer(raw[-1], np.dtype("<i4" if kind == INT32 else "<i8")).tolist()
    _check_size([n for n in whole if not (no_end and n == NO_END)], bound)


def _check_size(values: list[int], bound: int) -> None:
    if values and max(map(abs, values)) > bound:
        raise ValueError(f"it has a whole number beyond {bound}, too large for a shape or an axis")


def _only(message: memoryview, wanted: int, what: str, forbidden: dict[int, str]) -> memoryview:
    """The one occurrence of a field: a reader would merge several into one."""
    found = []
    for number, value in fields(message):
        if number in forbidden:
            raise ValueError(f"it holds {forbidden[number]}")
        if number == wanted:
            found.append(_bytes(value))
    if len(found) != 1:
        raise ValueError(f"it holds {len(found) or 'no'} {what}{'s' if found else ''}")
    return found[0]


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands where a message belongs")
    return value
