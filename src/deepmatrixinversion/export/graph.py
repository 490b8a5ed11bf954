"""A network as one ONNX graph of standard operators with a dynamic batch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import torch
from torch import nn

from deepmatrixinversion.export.stripping import graphs, strip
from deepmatrixinversion.models.config import ANY_ORDER

OPSET = 18
STANDARD = ("", "ai.onnx")  # two names of one domain


def onnx_bytes(net: nn.Module, order: int) -> bytes:
    """The ONNX model ``A`` float32 (batch, n, n) -> ``X`` float32 (batch, n, n) of a network.

    ``order`` is n, or 0 for a network that takes any: then n is dynamic too.

    Raises
    ------
    ValueError
        When the graph would need an operator outside ONNX's standard domain.
    """
    n = order or 6
    example = torch.eye(n).expand(2, n, n) + 0.1
    shape = {0: torch.export.Dim("batch", min=1)}
    if order == ANY_ORDER:
        side = torch.export.Dim("n", min=1)
        shape |= {1: side, 2: side}
    with warnings.catch_warnings(), quiet("torch.onnx"):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            net.eval(),
            (example,),
            dynamo=True,
            input_names=["A"],
            output_names=["X"],
            dynamic_shapes=(shape,),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    check_standard(model)
    strip(model)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Only errors from these loggers: what they else say of an export, its checks say better."""
    named = [logging.getLogger(name) for name in loggers]
    levels = [logger.level for logger in named]
    for logger in named:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(named, levels, strict=True):
            logger.setLevel(level)


def check_standard(model: onnx.ModelProto) -> None:
    """Raise ``ValueError`` unless the model is made of ONNX's standard operators alone."""
    parts = list(graphs(model.graph))
    nodes = [node for graph in parts for node in graph.node]
    foreign = sorted({f"{n.domain}::{n.op_type}" for n in nodes if n.domain not in STANDARD})
    if foreign or model.functions:
        names = foreign + [f"function {f.name}" for f in model.functions]
        raise ValueError(f"the graph uses operators outside ONNX's standard domain: {names}")
    tensors = [t for graph in parts for t in graph.initializer]
    tensors += [t for n in nodes for a in n.attribute for t in (a.t, *a.tensors)]
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in tensors):
        raise ValueError("the graph refers to weights outside the file")
