"""An ONNX ``Loop`` around nodes that are written as all others are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript import evaluator

from deepmatrixinversion.export.algebra import Value, op

Step = Callable[..., tuple[Value, list[Value]]]


def loop(step: Step, start: list[Value], most: int, name: str) -> list[Value]:
    """Repeat ``step``, of the number of steps before and the state: (whether to go on, next state).

    At most ``most`` times, and at least once. Values from outside ``step`` may be used within it.
    ``name`` must be the graph's only one: all names inside start with it.

    Notes
    -----
    ``torch.while_loop`` would write the same node, but only for a model that calls it: here it is
    ``torch.linalg.inv`` that becomes a loop.
    """
    recorder: Any = evaluator.default()
    outside, recorder.nodes = recorder.nodes, []
    try:
        number = _scalar(f"{name}_step", ir.DataType.INT64)
        going = _scalar(f"{name}_going", ir.DataType.BOOL)
        state = [
            ir.Value(name=f"{name}_state_{k}", type=value.node.type, shape=value.node.shape)
            for k, value in enumerate(start)
        ]
        before = Value(number, np.dtype(np.int64), 0)
        more, following = step(before, *(v.of(node) for v, node in zip(start, state, strict=True)))
        inputs = [number, going, *state]
        outputs = [more.node, *(value.node for value in following)]
        # Names that are left to the exporter would be used in the outer graph again, which
        # onnxruntime refuses.
        for k, node in enumerate(recorder.nodes):
            node.name = f"{name}_node_{k}"
            for j, value in enumerate(node.outputs):
                value.name = f"{name}_value_{k}_{j}"
        body = ir.Graph(inputs, outputs, nodes=recorder.nodes, name=f"{name}_body")
    finally:
        recorder.nodes = outside
    count = op.Constant(value=ir.tensor(np.int64(most)))
    first = op.Constant(value=ir.tensor(np.bool_(True)))
    node = ir.Node(
        "",
        "Loop",
        [count, first, *(value.node for value in start)],
        [ir.AttrGraph("body", body)],
        num_outputs=len(start),
    )
    recorder.nodes.append(node)
    for output, given in zip(node.outputs, start, strict=True):
        output.type, output.shape = given.node.type, given.node.shape
    return [value.of(output) for value, output in zip(start, node.outputs, strict=True)]


def _scalar(name: str, dtype: ir.DataType) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape([]))
