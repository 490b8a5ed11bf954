"""deepmatrixinversion.torch compiled, exported, under autocast, and without LAPACK."""

from __future__ import annotations

import pytest
import torch

from deepmatrixinversion.torch import Inverse, inv, inv_ex, pinv, solve
from torch_matrices import close, eps, leaf, moderate, normal

FUNCTIONS = {
    "inv": inv,
    "inv_ex": lambda A: inv_ex(A, blocks=5).inverse,
    "solve": lambda A: solve(A, A[..., :2].detach(), blocks=5),
    "pinv": lambda A: pinv(A[..., :3], rtol=1e-3),
    "complex": lambda A: inv(torch.complex(A, A.mT), blocks=5).real,
    "layer": Inverse(4, blocks=5, refine=1),
    "vmap": torch.vmap(lambda A: inv(A, blocks=5)),
}


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_compile_without_graph_breaks(name, backend):
    torch.compiler.reset()
    function = FUNCTIONS[name]
    compiled = torch.compile(function, fullgraph=True, backend=backend)
    A = leaf(moderate(3, 4, 4))
    close(compiled(A), function(A), kappa=3)
    G = normal(*function(A).shape, seed=5)
    (got,) = torch.autograd.grad(compiled(A), A, G)
    (expected,) = torch.autograd.grad(function(A), A, G)
    close(got, expected, kappa=3, power=3)


@pytest.mark.parametrize("transform", [torch.func.jacrev, torch.func.jacfwd, torch.func.hessian])
def test_compile_of_derivatives(transform):
    torch.compiler.reset()

    def loss(A):
        return inv(A, blocks=3).square().sum()

    A = moderate(3, 3)
    compiled = torch.compile(transform(loss), fullgraph=True, backend="aot_eager")
    close(compiled(A), transform(loss)(A), kappa=27)


@pytest.mark.parametrize(("n", "strict"), [(4, False), (12, True)])
def test_export_with_a_dynamic_batch(n, strict):
    shapes = {"A": {0: torch.export.Dim("batch")}}
    layer = Inverse(order=n, blocks=6, return_residual=True)
    program = torch.export.export(layer, (moderate(3, n, n),), dynamic_shapes=shapes, strict=strict)
    A = moderate(7, n, n, seed=2)
    X, residual = program.module()(A)
    close(X, inv(A), kappa=3)
    assert residual.shape == (7,)
    operators = {str(node.target) for node in program.run_decompositions().graph.nodes}
    assert not [name for name in operators if "linalg" in name or "inverse" in name]


def test_autocast_keeps_the_computation_in_float32():
    A, B = leaf(moderate(3, 12, 12, dtype=torch.float32)), normal(3, 12, 2, dtype=torch.float32)
    expected = torch.autograd.grad(inv(A).square().sum(), A)[0]
    inverse, pseudo = torch.linalg.inv(A.detach()), torch.linalg.pinv(A.detach()[..., :5])
    solution = torch.linalg.solve(A.detach(), B)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (A @ B).dtype == torch.bfloat16  # autocast is on
        X, residual = inv_ex(A)
        close(X, inverse, kappa=3)
        assert (residual < 12 * 12 * 3 * eps(torch.float32)).all()
        close(solve(A, B), solution, kappa=3)
        close(pinv(A[..., :5]), pseudo, kappa=3, power=2)
        (got,) = torch.autograd.grad(X.square().sum(), A)
        close(got, expected, kappa=9)
        assert inv(A @ A.mT).dtype == torch.bfloat16


def test_no_lapack_on_the_way(monkeypatch):
    A = leaf(moderate(2, 10, 10))
    C = moderate(3, 3, dtype=torch.complex128)

    def forbidden(*_, **__):
        raise AssertionError("a LAPACK routine was called")

    allowed = {"norm", "vector_norm", "matrix_norm", "matmul", "multi_dot", "vecdot", "diagonal"}
    for name in dir(torch.linalg):
        if not name.startswith("_") and name not in allowed and name.islower():
            monkeypatch.setattr(torch.linalg, name, forbidden)
    for module in (torch, torch.Tensor):
        for name in ("inverse", "pinverse", "svd", "qr", "lu", "det", "logdet", "cholesky"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, forbidden)
    with pytest.raises(AssertionError, match="LAPACK"):
        torch.linalg.inv(A)
    for value in (inv(A), solve(A, A[..., :1]), pinv(A[..., :4])):
        (gradient,) = torch.autograd.grad(value.sum(), A, create_graph=True)
        gradient.sum().backward()
    inv_ex(C)
    # Nor below Python: what the dispatcher sees.
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        _ = inv(A), solve(A, A), pinv(A)
    called = {event.key for event in profile.key_averages()}
    assert "aten::bmm" in called
    assert not [name for name in called if "linalg" in name or "inverse" in name]
