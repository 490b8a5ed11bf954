"""dmxexport --early_exit: a loop that ends when nothing is left to gain, and changes no result."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from deepmatrixinversion.export.check import check, matrices, relative, session
from deepmatrixinversion.export.graph import check_standard, graphs
from deepmatrixinversion.export.inverse import export_onnx, standard_model
from deepmatrixinversion.export.iteration import blocks_for
from deepmatrixinversion.export.modules import module_for
from deepmatrixinversion.export.options import Options
from test_translation import Call, export, run

ORDER = 12
SLOW = pytest.mark.slow
DTYPES = {"32": np.dtype(np.float32), "64": np.dtype(np.float64)}


@functools.cache
def made(early_exit, precision="32", opset=18):
    options = Options(ORDER, "iterative", precision=precision, early_exit=early_exit, opset=opset)
    return standard_model(module_for(options), options)


@functools.cache
def counting(precision):
    """The graph as it is written, and a fourth output with the number of each step of its loop."""
    proto = onnx.ModelProto.FromString(made(True, precision).SerializeToString())
    (loop,) = (node for node in proto.graph.node if node.op_type == "Loop")
    body = loop.attribute[0].g
    body.node.append(helper.make_node("Identity", [body.input[0].name], ["number"]))
    body.output.append(helper.make_tensor_value_info("number", TensorProto.INT64, []))
    loop.output.append("numbers")
    steps = helper.make_tensor_value_info("numbers", TensorProto.INT64, ["steps"])
    proto.graph.output.append(steps)
    return session(proto.SerializeToString())


def steps(A, precision="32"):
    return len(counting(precision).run(None, {"A": A})[3])


@pytest.mark.parametrize("precision", ["32", "64"])
def test_easy_batches_take_fewer_steps_and_hard_ones_no_more(precision):
    most = blocks_for(ORDER, DTYPES[precision])
    taken = [
        steps(matrices(ORDER, kappa, 20, 0).astype(DTYPES[precision]), precision)
        for kappa in (1, 10, 100, 1e5)
    ]
    assert taken == sorted(taken)
    assert taken[0] <= 2
    assert taken[1] <= most // 2
    assert taken[2] < most
    assert taken[3] <= most
    # One hard matrix keeps the batch going.
    hard = np.concatenate([matrices(ORDER, k, 3, 0) for k in (1, 1e5)]).astype(DTYPES[precision])
    assert steps(hard, precision) > taken[1]


def test_what_cannot_be_inverted_does_not_keep_the_loop_going():
    n = ORDER
    A = np.stack([np.zeros((n, n)), np.ones((n, n)), np.full((n, n), np.nan), np.eye(n)])
    _, residual, converged, numbers = counting("32").run(None, {"A": A.astype(np.float32)})
    assert converged.tolist() == [False, False, False, True]
    assert (residual[:2] >= 0.99).all()
    assert len(numbers) <= 3


@pytest.mark.parametrize("precision", ["32", "64"])
@pytest.mark.parametrize("kappa", [1, 10, 1e3, 1e5])
def test_agrees_with_the_graph_without_a_loop(precision, kappa):
    A = matrices(ORDER, kappa, 40, 3).astype(DTYPES[precision])
    (X, r, c), (Y, s, d) = (
        session(made(early, precision).SerializeToString()).run(None, {"A": A})
        for early in (False, True)
    )
    eps = np.finfo(DTYPES[precision]).eps
    # Each is within a few n eps kappa of the inverse where it has converged.
    assert (c == d).all()
    assert (relative(X, Y.astype(np.float64))[c] <= 8 * ORDER * eps * kappa).all()
    assert (s[c] <= r[c] + 2 * ORDER * eps * kappa).all()


@pytest.mark.parametrize(
    "opset", [17, 18, 25, *(pytest.param(k, marks=SLOW) for k in range(19, 25))]
)
def test_the_graph_is_standard_checked_and_has_one_loop(opset):
    proto = made(True, opset=opset)
    onnx.checker.check_model(proto, full_check=True)
    check_standard(proto)
    assert proto.opset_import[0].version == opset
    kinds = [node.op_type for graph in graphs(proto.graph) for node in graph.node]
    assert (kinds.count("Loop"), kinds.count("If"), kinds.count("Scan")) == (1, 0, 0)
    for graph in graphs(proto.graph):
        known = {v.name for v in (*graph.value_info, *graph.output)}
        assert {o for node in graph.node for o in node.output} <= known
        assert not any(node.metadata_props or node.doc_string for node in graph.node)
    names = [o for graph in graphs(proto.graph) for node in graph.node for o in node.output]
    assert len(names) == len(set(names))
    options = Options(ORDER, "iterative", early_exit=True)
    check(proto.SerializeToString(), module_for(options), options)


def test_files_and_the_translation_table(tmp_path):
    done = export_onnx(9, tmp_path / "x.onnx", early_exit=True)
    assert done.options.method == "iterative"
    card = done.card.read_text()
    assert "one loop, no branches" in card
    assert "Loop 1" in card
    assert "at most" in card
    # Two loops in one model, each with names of its own.
    functions = (torch.linalg.inv, lambda A: torch.linalg.inv(2 * A.mT))
    inputs = (torch.from_numpy(matrices(6, 10, 3, 0)),)
    proto = export(Call(*functions), inputs, method="iterative", early_exit=True)
    assert [n.op_type for n in proto.graph.node].count("Loop") == 2
    for X, function in zip(run(proto, inputs), functions, strict=True):
        np.testing.assert_allclose(X, function(*inputs).numpy(), rtol=0, atol=1e-11)
