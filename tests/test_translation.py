"""PyTorch models with inverses export to standard ONNX operators and agree with PyTorch."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from torch import linalg

from deepmatrixinversion.export import onnx_translation_table
from deepmatrixinversion.export.graph import check_standard, quiet
from deepmatrixinversion.matrices.spectra import even_spectrum, with_singular_values
from spectra_of_tests import with_eigenvalues

ORDER = 5
KAPPA = 50.0
# Each takes A, symmetric positive definite with condition KAPPA, and G, of no structure.
FUNCTIONS = {
    "linalg.inv": lambda A, G: linalg.inv(G),
    "torch.inverse": lambda A, G: torch.inverse(G),
    "Tensor.inverse": lambda A, G: G.inverse(),
    "inv, order 1": lambda A, G: linalg.inv(G[..., :1, :1]),
    "inv, order 2": lambda A, G: linalg.inv(A[..., :2, :2]),
    "inv, order 3": lambda A, G: linalg.inv(A[..., :3, :3]),
    "inv_ex": lambda A, G: linalg.inv_ex(G)[0],
    "inv_ex, info": lambda A, G: linalg.inv_ex(G)[1],
    "solve": lambda A, G: linalg.solve(G, A[..., :2]),
    "solve, vectors": lambda A, G: linalg.solve(G, A[..., 0]),
    "solve, from the right": lambda A, G: linalg.solve(G, A[..., :2, :], left=False),
    "solve_ex": lambda A, G: linalg.solve_ex(G, A)[0],
    "solve_ex, info": lambda A, G: linalg.solve_ex(G, A)[1],
    "pinv": lambda A, G: linalg.pinv(G),
    "pinv, tall": lambda A, G: linalg.pinv(A[..., :3]),
    "pinv, wide": lambda A, G: linalg.pinv(A[..., :3, :]),
    "pinv, hermitian": lambda A, G: linalg.pinv(A, hermitian=True),
    "pinv, rtol": lambda A, G: linalg.pinv(G, rtol=1e-3),
    "pinv, rank 2": lambda A, G: linalg.pinv(A[..., :2] @ A[..., :2, :], rtol=1e-4),
    "torch.pinverse": lambda A, G: torch.pinverse(G),
    "cholesky": lambda A, G: linalg.cholesky(A),
    "cholesky, upper": lambda A, G: linalg.cholesky(A, upper=True),
    "cholesky_ex": lambda A, G: linalg.cholesky_ex(A)[0],
    "cholesky_ex, info": lambda A, G: linalg.cholesky_ex(A)[1],
    "cholesky_inverse": lambda A, G: torch.cholesky_inverse(linalg.cholesky(A)),
    "cholesky_inverse, upper": lambda A, G: torch.cholesky_inverse(
        linalg.cholesky(A, upper=True), upper=True
    ),
    "cholesky_solve": lambda A, G: torch.cholesky_solve(G, linalg.cholesky(A)),
    "solve_triangular": lambda A, G: linalg.solve_triangular(linalg.cholesky(A), G, upper=False),
    "solve_triangular, right": lambda A, G: linalg.solve_triangular(
        linalg.cholesky(A).mT, G, upper=True, left=False
    ),
}


class Call(torch.nn.Module):
    """A model that returns what functions return."""

    def __init__(self, *functions):
        super().__init__()
        self.functions = functions

    def forward(self, *inputs):
        return tuple(f(*inputs) for f in self.functions)


def export(model, inputs, *, dynamic=True, opset=18, **options):
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings(), quiet("torch.onnx"):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            inputs,
            dynamo=True,
            verbose=False,
            opset_version=opset,
            dynamic_shapes={"inputs": tuple({0: batch} for _ in inputs)} if dynamic else None,
            custom_translation_table=onnx_translation_table(**options),
        )
    assert program is not None
    check_standard(program.model_proto)
    return program.model_proto


def run(proto, inputs) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [i.name for i in session.get_inputs()]
    found = session.run(None, {k: v.numpy() for k, v in zip(names, inputs, strict=True)})
    return [np.asarray(array) for array in found]


def spectrum(count, order, kappa, dtype, seed=0):
    """A positive definite stack and one of no structure, singular values in [1/kappa, 1]."""
    rng, sigma = np.random.default_rng(seed), even_spectrum(order, np.full(count, kappa))
    stacks = (with_eigenvalues(rng, sigma), with_singular_values(rng, sigma))
    return tuple(torch.from_numpy(A).to(dtype) for A in stacks)


@functools.cache
def outputs(group, dtype, dynamic):
    """Inputs, and what one graph with several functions makes of them.

    Those are not the matrices that it was exported with. Several in one graph save time, but all in
    one do not: the exporter's time grows faster than the graph.
    """
    names = list(FUNCTIONS)[group::GROUPS]
    proto = export(
        Call(*(FUNCTIONS[k] for k in names)),
        spectrum(3, ORDER, KAPPA, dtype),
        dynamic=dynamic,
    )
    inputs = spectrum(7 if dynamic else 3, ORDER, KAPPA, dtype, seed=1)
    return inputs, dict(zip(names, run(proto, inputs), strict=True))


GROUPS = 6
slow = pytest.mark.slow
KINDS = [
    pytest.param(torch.float32, False, id="float32-static"),
    pytest.param(torch.float64, True, id="float64-dynamic"),
    pytest.param(torch.float32, True, id="float32-dynamic", marks=slow),
    pytest.param(torch.float64, False, id="float64-static", marks=slow),
]


@pytest.mark.parametrize("dtype, dynamic", KINDS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_agrees_with_pytorch(name, dtype, dynamic):
    inputs, results = outputs(list(FUNCTIONS).index(name) % GROUPS, dtype, dynamic)
    expected = FUNCTIONS[name](*inputs)
    result = torch.from_numpy(results[name])
    assert result.dtype == expected.dtype
    assert result.shape == expected.shape
    if not expected.is_floating_point():
        assert torch.equal(result, expected)
        return
    # Both are backward stable: each is within a few n eps kappa of the exact result.
    limit = 16 * ORDER * torch.finfo(dtype).eps * KAPPA * expected.norm()
    assert (result - expected).norm() <= limit


@pytest.mark.parametrize("method", ["adjugate", "elimination", "iterative"])
@pytest.mark.parametrize("order", [2, 3, 4, 20])
def test_methods(method, order):
    if method == "adjugate" and order > 4:
        pytest.skip("no closed form")
    inputs = spectrum(6, order, 100.0, torch.float32)[1:]
    proto = export(Call(linalg.inv), inputs, method=method)
    (X,) = run(proto, inputs)
    exact = linalg.inv(inputs[0].double())
    error = (torch.from_numpy(X).double() - exact).norm(dim=(1, 2)) / exact.norm(dim=(1, 2))
    assert (error <= 8 * order * torch.finfo(torch.float32).eps * 100).all()


@pytest.mark.parametrize("kappa", [1e2, 1e4, 1e6])
def test_elimination_at_any_condition(kappa):
    """float32 at condition 1e6 still has a digit, as LAPACK's has."""
    inputs = spectrum(20, 12, kappa, torch.float32)[1:]
    (X,) = run(eliminating(), inputs)
    exact = linalg.inv(inputs[0].double())
    error = (torch.from_numpy(X).double() - exact).norm(dim=(1, 2)) / exact.norm(dim=(1, 2))
    assert (error <= 4 * 12 * torch.finfo(torch.float32).eps * kappa).all()


@functools.cache
def eliminating():
    return export(Call(linalg.inv), spectrum(2, 12, 10, torch.float32)[1:])


def test_scale_rows_and_permutations():
    """Powers of two in rows and columns change nothing; zero pivots are passed over."""
    A = spectrum(4, 12, 10.0, torch.float32)[1]
    rows = 2.0 ** torch.randint(-40, 40, (12, 1), generator=torch.Generator().manual_seed(0))
    (X,) = run(eliminating(), (A,))
    (Y,) = run(eliminating(), (rows * A,))
    np.testing.assert_array_equal(Y * rows.numpy().T, X)
    swap = torch.eye(12).flip(0).expand(4, 12, 12).contiguous()
    (Z,) = run(eliminating(), (swap,))
    np.testing.assert_array_equal(Z, swap.numpy())


@pytest.mark.parametrize("method", ["elimination", "iterative"])
def test_singular_matrices_are_told(method):
    A = torch.stack([torch.zeros(6, 6), torch.ones(6, 6), torch.eye(6)])
    proto = export(Call(lambda A: linalg.inv_ex(A)), (A,), method=method)
    X, info = run(proto, (A,))
    assert np.isfinite(X).all()
    assert info.tolist() == [6, 6, 0]


@pytest.mark.parametrize("rows, columns, rank", [(8, 8, 5), (4, 9, 3), (9, 4, 4), (18, 17, 11)])
def test_pseudo_inverse_of_any_rank(rows, columns, rank):
    """To kappa eps, whatever the rank; beyond order 16 because float32 is computed in float64."""
    rng = np.random.default_rng(0)
    for dtype, kappa in ((torch.float32, 100.0), (torch.float64, 1e4)):
        sigma = even_spectrum(rank, np.full(20, kappa))
        A = (torch.from_numpy(with_singular_values(rng, sigma, rows, columns)).to(dtype),)
        function = lambda A: linalg.pinv(A, rtol=1e-5)  # noqa: E731
        (X,) = run(export(Call(function), A), A)
        exact = linalg.pinv(A[0].double(), rtol=1e-5)
        error = (torch.from_numpy(X).double() - exact).norm() / exact.norm()
        assert error <= 4 * max(rows, columns) * torch.finfo(dtype).eps * kappa


@pytest.mark.parametrize("rank", [2, 4])
def test_any_number_of_leading_axes(rank):
    G = spectrum(6, ORDER, 10.0, torch.float64)[1]
    G = G[0] if rank == 2 else G.reshape(2, 3, ORDER, ORDER)
    functions = (linalg.inv, linalg.pinv, lambda A: linalg.inv(A[..., :3, :3]))
    for X, f in zip(
        run(export(Call(*functions), (G,), dynamic=False), (G,)), functions, strict=True
    ):
        np.testing.assert_allclose(X, f(G).numpy(), rtol=0, atol=1e-10)


OPSETS = [17, 18, 25, *(pytest.param(k, marks=slow) for k in range(19, 25))]


@pytest.mark.parametrize("opset", OPSETS)
def test_opsets(opset):
    inputs = spectrum(3, ORDER, 10.0, torch.float32)
    functions = (lambda A, G: linalg.inv(G), lambda A, G: linalg.pinv(G[..., :3]))
    proto = export(Call(*functions, lambda A, G: linalg.cholesky(A)), inputs, opset=opset)
    assert proto.opset_import[0].version == opset
    for result, f in zip(
        run(proto, inputs), (*functions, lambda A, G: linalg.cholesky(A)), strict=True
    ):
        np.testing.assert_allclose(result, f(*inputs).numpy(), rtol=0, atol=1e-4)


def test_what_cannot_be_exported_says_why():
    A = torch.eye(17).expand(2, 17, 17).contiguous()
    with pytest.raises(ValueError, match="method is 'magic'"):
        onnx_translation_table(method="magic")
    with pytest.raises(Exception) as error:
        export(Call(lambda A: linalg.pinv(A, atol=0.1)), (A,))
    assert "give rtol instead" in chain(error.value)


@pytest.mark.parametrize("order", [2, 5])
def test_complex_matrices_are_refused(order):
    A = torch.eye(order, dtype=torch.complex64).expand(2, order, order).contiguous()
    for function in (linalg.inv, lambda A: linalg.inv(A * A)):
        with pytest.raises(Exception) as error:
            export(Call(function), (A,))
        assert "complex-valued input" in chain(error.value)


def chain(error):
    """The messages of an error and of what caused it."""
    messages = []
    while error is not None:
        messages.append(str(error))
        error = error.__cause__
    return " ".join(messages)
