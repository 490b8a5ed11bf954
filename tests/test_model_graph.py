"""model.onnx: graphs that hide, lie, loop or read other files are refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deepmatrixinversion.inference.session import Session
from deepmatrixinversion.models.directory import open_model
from models_for_tests import (
    graph,
    identity_graph,
    newton_graph,
    replace,
)
from spoiled_models import refused


def _node(*words, **options):
    return helper.make_node(*words, **options)


def _two_outputs():
    made = helper.make_graph(
        [_node("Identity", ["A"], ["X"]), _node("Identity", ["A"], ["Y"])],
        "graph",
        [helper.make_tensor_value_info("A", TensorProto.FLOAT, ["b", 3, 3])],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, ["b", 3, 3]) for k in "XY"],
    )
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(made, opset_imports=opset, ir_version=9).SerializeToString()


def _whole(name, values):
    return numpy_helper.from_array(np.array(values), name)


def _hidden(count):
    """``zeros``: as many indices 0 as said, for three matrices, which no shape inference sees."""
    return [
        _node("Shape", ["A"], ["shape"]),
        _node("ReduceMin", ["shape"], ["least"], keepdims=1),  # 3
        _node("Div", ["least", "3"], ["one"]),
        _node("Mul", ["one", str(count)], ["count"]),
        _node("Expand", ["0", "count"], ["zeros"]),
    ]


HIDING = [_whole(str(k), [k]) for k in range(4)]


def _endless_loop():
    """X <- A for 2^62 times."""
    body = helper.make_graph(
        [_node("Identity", ["go"], ["on"]), _node("Identity", ["x"], ["y"])],
        "body",
        [
            helper.make_tensor_value_info("k", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
        ],
    )
    return graph(
        [_node("Loop", ["times", "", "A"], ["X"], body=body)],
        initializers=[numpy_helper.from_array(np.array(2**62, dtype=np.int64), "times")],
    )


def _second_operator():
    """A node whose operator is named twice: the last name counts."""
    op_type = b"\x22\x03Add\x22\x04Loop"  # in as many bytes as the inputs and output of the other
    plain = b"\x0a\x01A\x12\x01X\x22\x08Identity"
    data = identity_graph()
    assert data.count(plain) == 1
    return data.replace(plain, op_type + b"\x1a\x03abc")


def _with_function():
    model = onnx.load_from_string(identity_graph())
    model.functions.add(name="f", domain="")
    return model.SerializeToString()


def _missing_numbers():
    return TensorProto(
        name="W", data_type=TensorProto.FLOAT, dims=[100_000, 100_000], raw_data=b"1234"
    )


BAD_GRAPHS = {
    "garbage": (b"\x00\xffgarbage" * 100, "does not load"),
    "empty": (b"", "does not load"),
    "text": (b"model", "does not load"),
    "truncated": (newton_graph(3)[:1000], "does not load"),
    "another order": (newton_graph(4), "belongs"),
    "order not fixed": (identity_graph("n"), "belongs"),
    "float64": (identity_graph(kind=TensorProto.DOUBLE), "belongs"),
    "float16": (identity_graph(kind=TensorProto.FLOAT16), "belongs"),
    "int64": (identity_graph(kind=TensorProto.INT64), "belongs"),
    "input's name": (identity_graph(input_name="B"), "belongs"),
    "one matrix only": (identity_graph(batch=1), "belongs"),
    "two outputs": (_two_outputs(), "belongs"),
    "foreign operator": (
        graph([_node("Shell", ["A"], ["X"], domain="com.example")]),
        "does not load",
    ),
    "one answer for all": (
        graph(
            [*_hidden(1), _node("Gather", ["A", "zeros"], ["X"], axis=0)],
            initializers=HIDING,
        ),
        "gave shape (1, 3, 3) for matrices of shape",
    ),
    "fails when it runs": (
        graph(
            [
                *_hidden(2),
                _node("Gather", ["A", "zeros"], ["two"], axis=0),
                _node("Add", ["A", "two"], ["X"]),
            ],
            initializers=HIDING,
        ),
        "does not run",
    ),
    "a loop": (_endless_loop(), "operator 'Loop'"),
    "a branch": (graph([_node("If", ["A"], ["X"])]), "operator 'If'"),
    "a scan": (graph([_node("Scan", ["A"], ["X"], num_scan_inputs=1)]), "operator 'Scan'"),
    "a hidden operator": (_second_operator(), "operator 'Add::Loop'"),
    "a function": (_with_function(), "does not load (it holds functions)"),
    "two graphs": (newton_graph(3) + newton_graph(3), "it holds 2 graphs"),
    "a giant constant": (
        graph([_node("Expand", ["A", "s"], ["X"])], initializers=[_whole("s", [200_000] * 2)]),
        "whole number beyond 64",
    ),
    "a giant constant in words": (
        graph([_node("ConstantOfShape", ["A"], ["X"])]),
        "operator 'ConstantOfShape'",
    ),
    "a constant that is not there": (
        graph([_node("Add", ["A", "W"], ["X"])], initializers=[_missing_numbers()]),
        "a tensor of shape (100000, 100000) comes with 1 elements",
    ),
    "a graph in an attribute": (
        graph([_node("Identity", ["A"], ["X"], body=onnx.load_from_string(newton_graph(3)).graph)]),
        "attribute holds a tensor or a graph",
    ),
    "a constant as attribute": (
        graph([_node("Identity", ["A"], ["X"], value=_whole("v", [1]))]),
        "attribute holds a tensor or a graph",
    ),
}


@pytest.mark.parametrize("data, words", BAD_GRAPHS.values(), ids=BAD_GRAPHS.keys())
def test_a_bad_graph_is_refused(model, data, words):
    replace(model, "model.onnx", data)
    refused(model, "model.onnx", words)


def external(where: str, size: int = 36) -> bytes:
    """A graph X = A W whose W is kept in another file."""
    W = TensorProto(name="W", data_type=TensorProto.FLOAT, dims=[3, 3])
    W.data_location = TensorProto.EXTERNAL
    for key, value in (("location", where), ("offset", "0"), ("length", str(size))):
        W.external_data.add(key=key, value=value)
    return graph([_node("MatMul", ["A", "W"], ["X"])], initializers=[W])


@pytest.mark.parametrize("place", ["beside", "working directory", "above", "absolute", "passwd"])
def test_a_graph_never_reads_another_file(model, tmp_path, monkeypatch, place):
    """onnxruntime itself would: relative to the working directory."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    secret = {
        "beside": model / "secret.bin",
        "working directory": here / "secret.bin",
        "above": tmp_path / "secret.bin",
        "absolute": tmp_path / "secret.bin",
        "passwd": None,
    }[place]
    if secret is not None:
        secret.write_bytes(np.arange(9, dtype=np.float32).tobytes())
    name = {"above": "../secret.bin", "absolute": str(secret), "passwd": "/etc/passwd"}
    replace(model, "model.onnx", external(name.get(place, "secret.bin")))
    refused(model, "model.onnx refers to weights outside the file")


def test_the_word_location_in_a_name_is_no_file(model):
    """It is the field that says where a tensor is kept, and not the bytes of a name."""
    nodes = [_node("Identity", ["A"], ["location"]), _node("Identity", ["location"], ["X"])]
    replace(model, "model.onnx", graph(nodes))
    opened = open_model(model)
    assert Session(opened)(np.ones((2, 3, 3))).shape == (2, 3, 3)
