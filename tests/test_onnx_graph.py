"""The ONNX graph answers as torch does, and holds nothing but standard operators."""

from __future__ import annotations

import copy
import functools

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from deepmatrixinversion.export.graph import OPSET, check_standard, onnx_bytes
from deepmatrixinversion.matrices.spectra import with_singular_values
from deepmatrixinversion.models.config import NetConfig
from deepmatrixinversion.nets import NETS, build
from deepmatrixinversion.nets.ensemble import Ensemble

ORDER = 3
U = 2.0**-24  # unit roundoff of float32
ONE_ORDER = [name for name in NETS if name != "spectral"]
CASES = [(name, members) for name in ONE_ORDER for members in (1, 2)]


def ensemble(name, members, order=ORDER):
    # Exporting takes seconds: one block is enough, two once to see one block follow another.
    nlayers = 2 if name == "dense" or (name, members) == ("feedback", 1) else 1
    nets = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(members):
            net = build(NetConfig(name, order, 8, nlayers))
            for parameter in net.parameters():  # zero-initialised layers would hide mistakes
                torch.nn.init.normal_(parameter, std=0.2)
            nets.append(net)
    return Ensemble(nets).eval()


@functools.cache
def graph(name, members):
    return onnx_bytes(ensemble(name, members), ORDER)


def run(data, A):
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["X"], {"A": A.numpy()})[0])


def well_conditioned(count, kappa, order=ORDER):
    """Matrices whose singular values lie between 1 and kappa."""
    rng = np.random.default_rng(0)
    sigma = kappa ** rng.uniform(0, 1, (count, order))
    return torch.from_numpy(with_singular_values(rng, sigma)).float()


def rounding(net, A, kappa):
    """How far two float32 evaluations of an ensemble may differ, whatever the order of sums.

    The dense and residual networks are chains of sums of products: each evaluation's error is
    at most gamma_N times the same chain over absolute values (Higham 2002, section 3.5), where
    N counts the roundings on the longest path. Feedback ends near the inverse, where rounding in
    R = I - A X of (n² + n) u ‖A‖ ‖X‖ is amplified by ‖X‖, so by kappa in relative terms; a block
    adds as much again for its own products.
    """
    member = net.members[0]
    if isinstance(member, NETS["feedback"] | NETS["prior"]):
        n = A.shape[-1]
        size = torch.linalg.matrix_norm(net(A))[:, None, None]
        return 2 * (n * n + n) * 3 * U * kappa * n**0.5 * size
    absolute = copy.deepcopy(net)
    for parameter in absolute.parameters():
        parameter.abs_()
    layers = [m for m in member.modules() if isinstance(m, torch.nn.Linear)]
    path = sum(layer.in_features + 2 for layer in layers) + A.shape[-1] ** 2 + 8
    return 2 * path * U * absolute(A.abs())


@pytest.mark.parametrize("name, members", CASES)
def test_graph_is_standard_and_self_contained(name, members):
    data = graph(name, members)
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
    assert OPSET == 18
    assert not model.functions
    assert {n.domain for n in model.graph.node} == {""}
    assert not model.metadata_props
    assert not model.graph.metadata_props
    for part in (*model.graph.node, *model.graph.initializer, *model.graph.value_info):
        assert not part.metadata_props
        assert not part.doc_string
    for trace in (b"site-packages", b"deepmatrixinversion", b".py", b"/home", b"/work", b"/usr"):
        assert trace not in data
    (A,), (X,) = model.graph.input, model.graph.output
    assert (A.name, X.name) == ("A", "X")
    for value in (A, X):
        tensor = value.type.tensor_type
        assert tensor.elem_type == TensorProto.FLOAT
        batch, *order = tensor.shape.dim
        assert batch.dim_param
        assert [d.dim_value for d in order] == [ORDER, ORDER]


@pytest.mark.parametrize("name, members", CASES)
def test_graph_answers_as_torch_for_any_batch(name, members):
    net, kappa = ensemble(name, members), 2.0
    with torch.no_grad():
        for count in (1, 7, 1000):
            A = well_conditioned(count, kappa)
            difference = (run(graph(name, members), A) - net(A)).abs()
            assert (difference <= rounding(net, A, kappa)).all()


@pytest.mark.parametrize("name", ONE_ORDER)
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_graph_is_finite_at_every_scale(name, scale):
    A = scale * torch.ones(2, ORDER, ORDER)
    assert torch.isfinite(run(graph(name, 1), A)).all()


def test_feedback_graph_keeps_its_guard():
    # What torch.where protects in torch must be protected in the graph: NaN and infinity from
    # proposals that overflow never reach the answer, which is no worse than the start.
    model = onnx.load_from_string(graph("feedback", 1))
    grown = 0
    for tensor in model.graph.initializer:
        if tensor.name.endswith(".weight"):  # of both layers of both blocks
            weights = 1e30 * onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(weights, tensor.name))
            grown += 1
    assert grown == 4
    A = well_conditioned(100, 10.0)
    X = run(model.SerializeToString(), A)
    start = A.mT / (A * A).sum((-2, -1), keepdim=True)
    before, after = (torch.linalg.matrix_norm(torch.eye(ORDER) - A @ Y) for Y in (start, X))
    size = torch.linalg.matrix_norm(A) * torch.linalg.matrix_norm(X)
    assert torch.isfinite(X).all()
    # Rounding as in test_nets.residual_rounding, with ‖A‖ ‖X‖ for ‖ |A| |X| ‖.
    assert (after <= before + 2 * (2 * ORDER**2 + ORDER + 8) * U * (size + 3)).all()


def test_order_one_exports():
    net = ensemble("feedback", 2, order=1)
    A = well_conditioned(5, 2.0, order=1)
    with torch.no_grad():
        difference = (run(onnx_bytes(net, 1), A) - net(A)).abs()
        assert (difference <= rounding(net, A, 2.0)).all()


def test_export_is_deterministic_and_leaves_the_network_as_it_was():
    net = ensemble("feedback", 2)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    assert onnx_bytes(net, ORDER) == graph("feedback", 2)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(parameter.requires_grad for parameter in net.parameters())


# --- check_standard ----------------------------------------------------------------------------


def small_model(nodes, initializers=(), functions=()):
    value = functools.partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT)
    inputs, outputs = [value("A", shape=[1])], [value("X", shape=[1])]
    body = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    return helper.make_model(body, functions=list(functions))


def external_tensor(name="w"):
    tensor = helper.make_tensor(name, TensorProto.FLOAT, [1], [1.0])
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def within_a_branch(node, initializers=()):
    """A model whose ``node`` hides in the branches of an If."""
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    branch = helper.make_graph([node], "branch", [], [output], list(initializers))
    condition = helper.make_tensor("c", TensorProto.BOOL, [], [True])
    outer = helper.make_node("If", ["c"], ["X"], then_branch=branch, else_branch=branch)
    return small_model([outer], [condition])


def test_check_standard_accepts_standard_operators():
    check_standard(small_model([helper.make_node("Relu", ["A"], ["X"])]))
    check_standard(small_model([helper.make_node("Relu", ["A"], ["X"], domain="ai.onnx")]))
    check_standard(within_a_branch(helper.make_node("Relu", ["A"], ["y"])))


def test_check_standard_refuses_foreign_operators():
    foreign = functools.partial(helper.make_node, domain="com.microsoft")
    with pytest.raises(ValueError, match=r"com\.microsoft::Inverse"):
        check_standard(small_model([foreign("Inverse", ["A"], ["X"])]))
    with pytest.raises(ValueError, match=r"com\.microsoft::Inverse"):
        check_standard(within_a_branch(foreign("Inverse", ["A"], ["y"])))


def test_check_standard_refuses_functions():
    node = helper.make_node("Relu", ["A"], ["X"])
    opset = [helper.make_opsetid("", OPSET)]
    function = helper.make_function("", "Hidden", ["A"], ["X"], [node], opset)
    with pytest.raises(ValueError, match="function Hidden"):
        check_standard(small_model([node], functions=[function]))


@pytest.mark.parametrize("where", ["initializer", "constant", "branch", "constant in a branch"])
def test_check_standard_refuses_weights_outside_the_file(where):
    add = functools.partial(helper.make_node, "Add", ["A", "w"])
    constant = functools.partial(helper.make_node, "Constant", [], value=external_tensor())
    model = {
        "initializer": lambda: small_model([add(["X"])], [external_tensor()]),
        "constant": lambda: small_model([constant(["w"]), add(["X"])]),
        "branch": lambda: within_a_branch(add(["y"]), [external_tensor()]),
        "constant in a branch": lambda: within_a_branch(constant(["y"])),
    }[where]()
    with pytest.raises(ValueError, match="outside the file"):
        check_standard(model)
