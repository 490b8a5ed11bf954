"""Stripped files compute what they did, hold no notes, and go through float16 converters."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import linalg

from deepmatrixinversion.export import strip
from deepmatrixinversion.export.inverse import standard_model
from deepmatrixinversion.export.modules import module_for
from deepmatrixinversion.export.options import Options
from test_translation import Call, export, run, spectrum

KAPPA = 10.0
F32 = onnx.TensorProto.FLOAT


@functools.cache
def noted():
    """A model with two inverses, one of them an operand of the other output, and its inputs."""
    inputs = spectrum(3, 4, KAPPA, torch.float32)
    function = lambda A, G: linalg.inv(G)  # noqa: E731
    model = Call(function, lambda A, G: linalg.inv(G) @ A)
    return export(model, inputs).SerializeToString(), inputs


def test_computes_the_same_without_notes(tmp_path):
    data, inputs = noted()
    before, path = onnx.load_from_string(data), tmp_path / "model.onnx"
    path.write_bytes(data)
    after = strip(path)
    assert onnx.load(path) == after
    for old, new in zip(run(before, inputs), run(after, inputs), strict=True):
        np.testing.assert_array_equal(old, new)
    text = after.SerializeToString()
    assert b"test_translation.py" in data
    assert b"test_translation.py" not in text
    assert b".py" not in text
    assert len(text) < len(data) / 3
    assert not after.graph.value_info
    onnx.checker.check_model(after, full_check=True)


def test_an_output_is_no_operand():
    after = strip(onnx.load_from_string(noted()[0]))
    operands = {name for node in after.graph.node for name in node.input}
    assert not operands & {value.name for value in after.graph.output}


def with_loop():
    """y = x + 2 by a loop of two steps whose body takes one of three equal initializers."""
    scalar = functools.partial(helper.make_tensor_value_info, shape=[])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["on"]),
            helper.make_node("Add", ["state", "one"], ["next"], doc_string="inside"),
        ],
        "body",
        [
            scalar("i", onnx.TensorProto.INT64),
            scalar("going", onnx.TensorProto.BOOL),
            helper.make_tensor_value_info("state", F32, [2]),
        ],
        [scalar("on", onnx.TensorProto.BOOL), helper.make_tensor_value_info("next", F32, [2])],
    )
    nodes = [
        helper.make_node("Mul", ["x", "uno"], ["z"]),
        helper.make_node("Loop", ["count", "", "z"], ["y"], body=body),
    ]
    constants = {"uno": np.float32(1), "one": np.float32(1), "seen": np.float32(1)}
    ends = [helper.make_tensor_value_info(name, F32, [2]) for name in ("x", "y")]
    graph = helper.make_graph(
        nodes,
        "loop",
        ends[:1],
        [*ends[1:], scalar("seen", F32)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
        + [numpy_helper.from_array(np.asarray(2), "count")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_equal_constants_are_one_also_for_loops():
    model = with_loop()
    x = (torch.tensor([1.0, 5.0]),)
    expected = run(model, x)
    after = strip(model)
    assert sorted(t.name for t in after.graph.initializer) == ["count", "seen", "uno"]
    body = after.graph.node[1].attribute[0].g
    assert list(body.node[1].input) == ["state", "uno"]
    assert not body.node[1].doc_string
    for old, new in zip(expected, run(after, x), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.filterwarnings("ignore:the float32 number")
@pytest.mark.parametrize(
    "options",
    [
        Options(4),
        Options(4, net="iterative"),
        Options(4, kind="solve"),
        Options(2),
        Options(3, net="feedback"),
        Options(4, kind="pinv"),
        None,
    ],
    ids=lambda o: "table" if o is None else f"{o.kind}-{o.method}-{o.order}",
)
def test_float16_conversion(options):
    """The converter's model loads, and is right to float16's rounding."""
    float16 = pytest.importorskip("onnxconverter_common.float16")
    if options is None:
        data, inputs = noted()
        model, matrices = strip(onnx.load_from_string(data)), inputs[1]
    else:
        model = standard_model(module_for(options), options)
        matrices = spectrum(3, options.order, KAPPA, torch.float32)[1]
        inputs = (matrices,)
        if options.kind == "solve":
            inputs += (torch.eye(options.order).expand(matrices.shape).contiguous(),)
    halved = float16.convert_float_to_float16(model, keep_io_types=True)
    assert any(t.data_type == onnx.TensorProto.FLOAT16 for t in halved.graph.initializer)
    X = torch.from_numpy(run(halved, inputs)[0]).double()
    exact = linalg.inv(matrices.double())
    error = (X - exact).norm(dim=(1, 2)) / exact.norm(dim=(1, 2))
    assert (error <= 16 * matrices.shape[-1] * 2.0**-11 * KAPPA).all()
