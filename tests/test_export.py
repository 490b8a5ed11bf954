"""dmxexport writes graphs that invert, says what they do, and refuses those that do not."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from deepmatrixinversion.cli.export import main
from deepmatrixinversion.export.check import check, matrices, measure, relative, run, session
from deepmatrixinversion.export.graph import STANDARD
from deepmatrixinversion.export.inverse import export_onnx, standard_model
from deepmatrixinversion.export.modules import module_for
from deepmatrixinversion.export.options import Options
from deepmatrixinversion.models.zoo import bundled_names

DTYPES = {"16": np.float16, "32": np.float32, "64": np.float64}
SLOW = pytest.mark.slow
CASES = [
    {"order": 1},
    {"order": 2},
    {"order": 3},
    {"order": 4},
    {"order": 4, "precision": "64"},
    {"order": 3, "precision": "16"},
    {"order": 7},
    {"order": 12, "net": "iterative"},
    {"order": 12, "net": "iterative", "precision": "64"},
    {"order": 6, "net": "iterative", "kind": "solve"},
    {"order": 6, "kind": "solve", "precision": "64"},
    {"order": 6, "kind": "pinv"},
    {"order": 6, "kind": "pinv", "precision": "64"},
    {"order": 2, "net": "feedback"},
    pytest.param({"order": 2, "net": "feedback", "precision": "64"}, marks=SLOW),
    pytest.param({"order": 8, "net": "feedback"}, marks=SLOW),
    pytest.param({"order": 64}, marks=SLOW),
    pytest.param({"order": 0}, marks=SLOW),
    pytest.param({"order": 0, "kind": "solve"}, marks=SLOW),
]


@functools.cache
def made(case):
    """(options, module, graph) of the options, which come as sorted pairs."""
    options = Options(**dict(case))
    module = module_for(options)
    return options, module, standard_model(module, options)


def key(case):
    return tuple(sorted(case.items()))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_graph(case):
    if case["order"] == 0 and "spectral" not in bundled_names():
        pytest.skip("no spectral network is bundled")
    options, module, proto = made(key(case))
    data = proto.SerializeToString()
    assert {node.domain for node in proto.graph.node} <= set(STANDARD)
    assert not {n.op_type for n in proto.graph.node} & {"Loop", "If", "Scan"}
    assert [o.name for o in proto.graph.output] == [options.output, "residual", "converged"]
    assert proto.graph.output[2].type.tensor_type.elem_type == onnx.TensorProto.BOOL
    known = {v.name for v in proto.graph.value_info}
    assert {o for n in proto.graph.node for o in n.output} <= known | {
        o.name for o in proto.graph.output
    }
    check(data, module, options)
    # Any batch; the residual is that of what is returned.
    n, graph = options.order or 9, session(data)
    for batch in (1, 6):
        A = matrices(n, 5, batch, 3).astype(DTYPES[options.precision])
        X, residual, converged = run(graph, options, A)
        assert X.shape == A.shape
        assert X.dtype == A.dtype == residual.dtype
        assert converged.all()
        wide, eps = A.astype(np.float64), float(np.finfo(A.dtype).eps)
        R = np.eye(n) - wide @ X
        true = np.linalg.norm(R, axis=(1, 2))
        if options.kind == "inverse":
            assert (np.abs(residual - true) <= 2 * n * eps * 5 + 0.01 * true).all()


ITERATIVE = {"order": 12, "net": "iterative"}


AUTO = {1: "adjugate", 2: "adjugate", 3: "elimination", 128: "elimination", 129: "iterative"}


@pytest.mark.parametrize("order, net", AUTO.items())
def test_what_auto_takes(order, net):
    assert Options(order).method == net
    assert Options(order, kind="solve", precision="64").method == net


def test_auto_keeps_a_network_that_is_named():
    name = next(n for n in bundled_names() if n.startswith("feedback-"))
    order = int(name.split("-")[1])
    options = Options(order, model=name)
    assert options.method == "feedback"
    assert options.network is not None


@pytest.mark.parametrize("case", [{"order": 4}, {"order": 7}, ITERATIVE])
def test_any_scale_and_singular_matrices(case):
    options, _, proto = made(key(case))
    n, graph = options.order, session(proto.SerializeToString())
    A = matrices(n, 10, 3, 4).astype(np.float32)
    for factor in (2.0**-60, 2.0**60):
        X, _, converged = run(graph, options, factor * A)
        assert converged.all()
        assert (relative(X, np.linalg.inv(factor * A.astype(np.float64))) < 1e-3).all()
    singular = np.stack([np.zeros((n, n)), np.ones((n, n)), np.diag(np.arange(n))])
    X, residual, converged = run(graph, options, singular.astype(np.float32))
    assert np.isfinite(X).all()
    assert not converged.any()
    assert (residual >= 0.99).all()
    # NaN spoils its own matrix only.
    A[1, 0, 0] = np.nan
    _, _, converged = run(graph, options, A)
    assert converged.tolist() == [True, False, True]


def test_solutions():
    _, _, proto = made(key({"order": 6, "net": "iterative", "kind": "solve"}))
    A = matrices(6, 10, 4, 5).astype(np.float32)
    B = np.random.default_rng(0).normal(size=(4, 6, 2)).astype(np.float32)
    graph = session(proto.SerializeToString())
    Y, _, converged = graph.run(None, {"A": A, "B": B})
    assert Y.shape == B.shape
    assert converged.all()
    assert (relative(Y, np.linalg.solve(A.astype(np.float64), B)) < 6 * 10 * 1.2e-7 * 8).all()


@pytest.mark.parametrize("case", [{"order": 3}, {"order": 2, "net": "feedback"}, ITERATIVE])
def test_a_tampered_graph_is_refused(case):
    options, module, proto = made(key(case))
    tampered = onnx.ModelProto.FromString(proto.SerializeToString())
    tensors = [t for t in tampered.graph.initializer if numpy_helper.to_array(t).size > 1]
    tensors = [t for t in tensors if t.data_type == onnx.TensorProto.FLOAT]
    if tensors:
        for tensor in tensors:
            values = 0.9 * numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    else:
        node = next(n for n in reversed(tampered.graph.node) if n.op_type == "MatMul")
        node.input[1] = node.input[0]
    with pytest.raises(ValueError, match="not written"):
        check(tampered.SerializeToString(), module, options)


def test_accuracy_is_measured_and_falls_with_the_condition():
    options, _, proto = made(key(ITERATIVE))
    rows = measure(proto.SerializeToString(), options, count=10)
    assert [r.kappa for r in rows][:3] == [1, 10, 100]
    assert rows[2].converged == 1
    assert rows[2].error <= 64 * 12 * 1.2e-7 * 100
    assert rows[-1].error > rows[1].error


def test_files(tmp_path, capsys):
    out = tmp_path / "inverse.onnx"
    assert main(["--msize", "3", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["inverse.md", "inverse.onnx"]
    proto = onnx.load(out)
    onnx.checker.check_model(proto, full_check=True)
    assert proto.opset_import[0].version == 18
    card = (tmp_path / "inverse.md").read_text()
    for word in ("elimination", "Opset 18", "condition numbers up to", "Matrix products", "MatMul"):
        assert word in card


OPSETS = [(17, "feedback"), (25, "adjugate")]
OPSETS += [pytest.param(k, "feedback", marks=SLOW) for k in range(19, 26)]


@pytest.mark.parametrize("opset, net", OPSETS)
def test_opsets(tmp_path, opset, net):
    done = export_onnx(2, tmp_path / "x.onnx", net=net, opset=opset)
    assert onnx.load(done.path).opset_import[0].version == opset


@pytest.mark.parametrize(
    "words, message",
    [
        (["--msize", "9", "--net", "adjugate"], "up to order 4"),
        (["--msize", "9", "--net", "feedback"], "train one"),
        (["--msize", "9", "--model", "feedback-3"], "order 3, not 9"),
        (["--msize", "3", "--model", "nowhere"], "neither a model directory"),
        (["--msize", "3", "--opset", "9"], "choose one from 17"),
        (["--msize", "3", "--tol", "2"], "below 1 only"),
        (["--msize", "0", "--net", "iterative"], "needs a spectral"),
        (["--msize", "3", "--kind", "pinv", "--refine", "1"], "takes no refinement"),
        (["--msize", "3000"], "choose one from 1"),
        (["--msize", "3", "--rows", "4"], "rows belong to kind pinv"),
        (["--msize", "3", "--kind", "pinv", "--rows", "999"], "choose from 1 to 256"),
        (["--msize", "3", "--kind", "pinv", "--early_exit"], "not with pinv"),
        (["--msize", "3", "--internal", "64"], "internal belongs to kind pinv"),
        (["--msize", "17", "--kind", "pinv", "--internal", "32"], "needs float64 inside"),
        (
            ["--msize", "3", "--kind", "pinv", "--precision", "64", "--internal", "32"],
            "less than the precision 64",
        ),
        (["--msize", "9", "--net", "elimination", "--early_exit"], "not with elimination"),
        (["--msize", "3", "--model", "feedback-3", "--early_exit"], "not with feedback-3"),
    ],
)
def test_errors_are_one_sentence(tmp_path, capsys, words, message):
    assert main([*words, "--out", str(tmp_path / "x.onnx")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_fails_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("deepmatrixinversion.export.check.SHARE", 1e-9)
    with pytest.raises(ValueError, match="not written"):
        export_onnx(3, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=r"ends in \.onnx"):
        export_onnx(3, tmp_path / "x.txt")
