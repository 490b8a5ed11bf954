"""What an ONNX graph may be, read from its bytes: no runtime, no ``onnx`` package.

A model directory's graph is data from anywhere. Before a runtime sees it, it is held to what our
networks are made of: standard operators without bodies or side doors, one input A and one output
X of the configured order, all weights inside. So nothing loops for ever, no other file is read, and
no small file asks for a large memory.

References
----------
Protocol Buffers, "Encoding" (wire types); onnx.proto of ONNX 1.x (field numbers).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from deepmatrixinversion.errors import ModelError, quoted

# What dense, resnet, feedback and spectral networks are exported with: none has a subgraph, and
# none makes more entries than its inputs have, but for those whose shapes are checked below.
OPERATORS = frozenset(
    [
        "Abs",
        "Add",
        "Cast",
        "Clip",
        "Concat",
        "Constant",
        "Div",
        "Equal",
        "Expand",
        "Flatten",
        "Gather",
        "Gemm",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "Less",
        "LessOrEqual",
        "Log",
        "MatMul",
        "Max",
        "Mean",
        "Min",
        "Mul",
        "Neg",
        "Not",
        "Pow",
        "Range",
        "Reciprocal",
        "ReduceMax",
        "ReduceMean",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Shape",
        "Sigmoid",
        "Slice",
        "Softplus",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Tanh",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)

MOST_NODES = 200_000
MOST_OPERATOR_ENTRIES = 1 << 22
"""Largest number that a whole-number constant, a shape for Expand or a limit of Range, may hold."""

FLOAT, INT64, EXTERNAL = 1, 7, 1


class Malformed(ValueError):
    """The bytes are no protocol buffer, or not this one."""


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Malformed("it ends in the middle")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message: whole numbers, or bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise Malformed(f"a field of unknown kind {kind}")
        if size > len(data) - at:
            raise Malformed("it ends in the middle")
        yield number, data[at : at + size]
        at += size


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise Malformed("a number where a message belongs")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode("utf-8", "replace")


class Signature(NamedTuple):
    """Name, element type and shape of a graph's input or output; names of axes as they are."""

    name: str
    kind: int
    shape: list[int | str]


def _signature(value: memoryview) -> Signature:
    name, kind, shape = "", 0, []
    for number, part in fields(value):
        if number == 1:
            name = _text(part)
        elif number == 2:
            for _, tensor in (f for f in fields(_message(part)) if f[0] == 1):
                for inner, item in fields(_message(tensor)):
                    if inner == 1 and isinstance(item, int):
                        kind = item
                    elif inner == 2:
                        shape = [_axis(_message(d)) for n, d in fields(_message(item)) if n == 1]
    return Signature(name, kind, shape)


def _axis(value: memoryview) -> int | str:
    for number, part in fields(value):
        if number == 1 and isinstance(part, int):
            return part
        if number == 2:
            return _text(part)
    return "?"


def _check_tensor(value: memoryview) -> None:
    """Refuse weights outside the file, and whole numbers that ask for giant results."""
    kind, numbers, raw = 0, [], b""
    for number, part in fields(value):
        if number == 2 and isinstance(part, int):
            kind = part
        elif number == 13 or (number == 14 and part == EXTERNAL):
            raise Malformed("it refers to weights outside the file")
        elif number == 7:
            numbers += [part] if isinstance(part, int) else _packed(part)
        elif number == 9:
            raw = bytes(_message(part))
    if kind != INT64:
        return
    numbers += [int.from_bytes(raw[i : i + 8], "little") for i in range(0, len(raw), 8)]
    # The largest int64, and negative ones, are ends of slices and axes to be inferred.
    if any(MOST_OPERATOR_ENTRIES < n < (1 << 62) for n in numbers):
        raise Malformed("it has a constant that asks for a giant result")


def _packed(data: memoryview) -> list[int]:
    numbers, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        numbers.append(value)
    return numbers


def _check_node(value: memoryview) -> None:
    operator = domain = ""
    for number, part in fields(value):
        if number == 4:
            operator = _text(part)
        elif number == 7:
            domain = _text(part)
        elif number == 5:
            for inner, item in fields(_message(part)):
                if inner in (6, 11):
                    raise Malformed("it has an operator with a graph of its own")
                if inner in (5, 10):
                    _check_tensor(_message(item))
    if domain not in ("", "ai.onnx") or operator not in OPERATORS:
        name = f"{domain}.{operator}" if domain else operator
        raise Malformed(f"it has the operator {quoted(name)}, which no network of ours is made of")


def check_graph(data: bytes, order: int, where: str) -> None:
    """Refuse a graph that is not a network of this package.

    Parameters
    ----------
    data : bytes
        An ONNX model.
    order : int
        The order n of its matrices: A float32 (batch, n, n) -> X float32 (batch, n, n); 0 for any.
    where : str
        What to call the file in messages.

    Raises
    ------
    ModelError
        When it is no such graph, in one sentence.
    """
    try:
        graphs = []
        for number, part in fields(memoryview(data)):
            if number == 7:
                graphs.append(_message(part))
            elif number == 25:
                raise Malformed("it defines functions of its own")
        if len(graphs) != 1:
            raise Malformed("it has no graph" if not graphs else "it has several graphs")
        inputs, outputs, nodes = [], [], 0
        for number, part in fields(graphs[0]):
            if number == 1:
                _check_node(_message(part))
                nodes += 1
            elif number == 5:
                _check_tensor(_message(part))
            elif number == 11:
                inputs.append(_signature(_message(part)))
            elif number == 12:
                outputs.append(_signature(_message(part)))
            elif number == 15:
                raise Malformed("it has sparse weights")
        if not 0 < nodes <= MOST_NODES:
            raise Malformed(f"it has {nodes} operators")
        _check_signature(inputs, "A", order)
        _check_signature(outputs, "X", order)
    except Malformed as error:
        raise ModelError(f"{where}: no graph of this package: {error}") from None


def _check_signature(found: list[Signature], name: str, order: int) -> None:
    right = len(found) == 1 and found[0].name == name and found[0].kind == FLOAT
    right = right and len(found[0].shape) == 3 and isinstance(found[0].shape[0], str)
    if right and order:
        right = found[0].shape[1:] == [order, order]
    if not right:
        got = quoted(str([(s.name, s.shape) for s in found]))
        n = order or "n"
        raise Malformed(
            f"it has {got} where one float32 tensor '{name}' of shape (batch, {n}, {n}) belongs"
        )
