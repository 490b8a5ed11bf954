"""A network as one ONNX graph of standard operators with a dynamic batch."""

from __future__ import annotations

import logging
import warnings

import onnx
import torch
from torch import nn

OPSET = 18


def onnx_bytes(net: nn.Module, order: int) -> bytes:
    """The ONNX model ``A`` float32 (batch, n, n) -> ``X`` float32 (batch, n, n) of a network.

    Raises
    ------
    ValueError
        When the graph would need an operator outside ONNX's standard domain.
    """
    example = torch.eye(order).expand(2, order, order) + 0.1
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            net.eval(),
            (example,),
            dynamo=True,
            input_names=["A"],
            output_names=["X"],
            dynamic_shapes=({0: batch},),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    check_standard(model)
    # Metadata of the exporter holds source paths of the machine at hand, and doubles the size.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def check_standard(model: onnx.ModelProto) -> None:
    """Raise ``ValueError`` unless the model is made of ONNX's standard operators alone."""
    foreign = sorted({f"{n.domain}::{n.op_type}" for n in model.graph.node if n.domain})
    if foreign or model.functions:
        names = foreign + [f"function {f.name}" for f in model.functions]
        raise ValueError(f"the graph uses operators outside ONNX's standard domain: {names}")
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer):
        raise ValueError("the graph refers to weights outside the file")
