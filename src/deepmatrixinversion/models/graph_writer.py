"""An ONNX graph written node by node, without ``onnx``: what ``graph.check_graph`` then reads."""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.models.graph import FLOAT, INT64, RAW
from deepmatrixinversion.models.wire import message, number

IR_VERSION, OPSET = 8, 17
_INT_ATTRIBUTE = 2


class GraphWriter:
    """A graph with the float32 input ``A`` of shape (batch, n, n), to which nodes are added."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []

    def node(self, operator: str, *inputs: str, axis: int | None = None, output: str = "") -> str:
        """Add an operator, and return the name of what it gives."""
        output = output or f"v{len(self._nodes)}"
        attribute = b""
        if axis is not None:
            value = message(1, "axis") + number(3, axis) + number(20, _INT_ATTRIBUTE)
            attribute = message(5, value)
        named = b"".join(message(1, name) for name in inputs)
        self._nodes.append(named + message(2, output) + message(4, operator) + attribute)
        return output

    def constant(self, value: np.ndarray) -> str:
        """Add a float32 tensor, or one of int64 where ``value`` holds whole numbers."""
        whole = value.dtype.kind == "i"
        name = f"c{len(self._constants)}"
        self._constants.append(
            b"".join(number(1, length) for length in value.shape)
            + number(2, INT64 if whole else FLOAT)
            + message(8, name)
            + message(RAW, np.ascontiguousarray(value, "<i8" if whole else "<f4").tobytes())
        )
        return name

    def model(self, order: int, output: str) -> bytes:
        """The bytes of the model whose output ``X`` is the value of that name."""
        self.node("Identity", output, output="X")
        graph = (
            b"".join(message(1, node) for node in self._nodes)
            + message(2, "network")
            + b"".join(message(5, constant) for constant in self._constants)
            + message(11, _signature("A", order))
            + message(12, _signature("X", order))
        )
        opset = message(8, message(1, "") + number(2, OPSET))
        return number(1, IR_VERSION) + message(7, graph) + opset


def _signature(name: str, order: int) -> bytes:
    axes = [message(2, "batch"), number(1, order), number(1, order)]
    shape = b"".join(message(1, axis) for axis in axes)
    return message(1, name) + message(2, message(1, number(1, FLOAT) + message(2, shape)))
