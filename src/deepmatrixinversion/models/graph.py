"""What a model's graph may hold, checked on its bytes before onnxruntime sees them.

Operators of matrix algebra from ONNX's own domain alone: no loops, branches or functions, so that a
run ends; no sizes but the input's and small constants, so that it fits in memory; and every number
of a tensor within the file itself. Parsed here, because ``onnx`` is not needed to invert matrices.
"""

from __future__ import annotations

import math

import numpy as np

from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.models.wire import fields, integers

# What the networks of this package export to, and their nearest relatives.
OPERATORS = frozenset(
    "Abs Add Clip Concat Div Equal Exp Expand Gather Gemm Greater GreaterOrEqual Identity Less "
    "LessOrEqual Log MatMul Max Min Mul Neg Pow ReduceMax ReduceMean ReduceMin ReduceSum "
    "ReduceSumSquare Relu Reshape Shape Sigmoid Split Sqrt Squeeze Sub Tanh Transpose Unsqueeze "
    "Where".split()
)
DOMAINS = (b"", b"ai.onnx")  # two names of one
MAX_NODES = 100_000
MAX_RANK = 8
LEAST_BOUND = 64  # of whole numbers in any graph: axes, shapes, indices

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
        Order n of the matrices: whole numbers in the graph may go up to n².
    where : str
        The file's name, with which the message begins.

    Raises
    ------
    ModelError
    """
    try:
        graph = _only(memoryview(data), 7, "graph", forbidden={20: "training", 25: "functions"})
        _check(graph, max(order**2, LEAST_BOUND))
    except _Outside:
        raise ModelError(f"{where} refers to weights outside the file") from None
    except ValueError as error:
        raise ModelError(f"{where} does not load ({error})") from None


class _Outside(Exception):
    """A tensor is kept in another file."""


def _check(graph: memoryview, bound: int) -> None:
    nodes = 0
    for number, value in fields(graph):
        if number == 1:
            nodes += 1
            if nodes > MAX_NODES:
                raise ValueError(f"it has more than {MAX_NODES} operators")
            _check_node(_bytes(value), bound)
        elif number == 5:
            _check_tensor(_bytes(value), bound)
        elif number == 15:
            raise ValueError("it holds sparse tensors")


def _check_node(node: memoryview, bound: int) -> None:
    names: dict[int, list[bytes]] = {4: [], 7: []}
    attributes = []
    for number, value in fields(node):
        if number in names:
            names[number].append(bytes(_bytes(value)))
        elif number == 5:
            attributes.append(_bytes(value))
    # Of a field that is there twice, the last one counts: check them all.
    known = names[4] and all(name.decode("latin-1") in OPERATORS for name in names[4])
    if not known or not all(domain in DOMAINS for domain in names[7]):
        shown = b"::".join([*names[7], *names[4]]).decode("ascii", "replace")[:60]
        raise ValueError(f"it has the operator {shown!a}, which no network of this package has")
    for attribute in attributes:
        _check_attribute(attribute, bound)


def _check_attribute(attribute: memoryview, bound: int) -> None:
    for number, value in fields(attribute):
        if number in (3, 8):  # i, ints
            _check_size(integers(value), bound)
        elif number in (5, 6, 10, 11, 14, 15, 22, 23):  # tensors, graphs, types
            raise ValueError("an operator's attribute holds a tensor or a graph")


def _check_tensor(tensor: memoryview, bound: int) -> None:
    shape: list[int] = []
    kind, raw, typed = 0, [], {number: 0 for number in set(TYPED.values())}
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
    _check_size(whole, bound)


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
