"""deepmatrixinversion.torch against torch.linalg: values, derivatives, tracing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import deepmatrixinversion as numpy_side
from deepmatrixinversion.errors import SingularMatrixError
from deepmatrixinversion.matrices.spectra import with_condition, with_singular_values
from deepmatrixinversion.torch import Inverse, inv, inv_ex, pinv, solve

REAL = [torch.float32, torch.float64]
COMPLEX = [torch.complex64, torch.complex128]


def normal(*shape: int, dtype=torch.float64, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    wide = torch.complex128 if dtype.is_complex else torch.float64
    return torch.randn(*shape, generator=generator, dtype=wide).to(dtype)


def moderate(*shape: int, dtype=torch.float64, seed: int = 1) -> torch.Tensor:
    """Matrices of random singular vectors and singular values from 1 to 3: kappa = 3."""
    U, _, V = torch.linalg.svd(normal(*shape, dtype=dtype, seed=seed), full_matrices=False)
    sigma = torch.linspace(3, 1, min(shape[-2:]), dtype=U.real.dtype)
    return (U * sigma) @ V


def eps(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps


def close(got: torch.Tensor, expected: torch.Tensor, kappa: float, power: int = 1) -> None:
    """Relative errors of at most c n eps kappa^power in the Frobenius norm of the whole."""
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    n = max(got.shape[-2:], default=1) if got.dim() > 1 else 1
    bound = 8 * max(n, 4) * eps(got.dtype) * kappa**power
    assert (got - expected).norm() <= bound * expected.norm()


@pytest.mark.parametrize("dtype", REAL + COMPLEX)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8, 9, 16, 31, 64])
def test_inv_agrees_with_lapack(n, dtype):
    A = normal(12, n, n, dtype=dtype)
    A = A[torch.linalg.cond(A) < 500]
    X, residual = inv_ex(A)
    close(X, torch.linalg.inv(A), kappa=500)
    assert residual.shape == A.shape[:1]
    assert residual.dtype == X.real.dtype
    assert not residual.requires_grad
    norms = torch.linalg.matrix_norm(A) * torch.linalg.matrix_norm(X)
    assert (residual <= 2 * n * eps(dtype) * norms).all()


@pytest.mark.parametrize("batch", [(), (0,), (1,), (2, 3), (2, 0, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex128])
def test_stacks(batch, dtype):
    A = moderate(*batch, 5, 5, dtype=dtype)
    X, residual = inv_ex(A)
    close(X, torch.linalg.inv(A), kappa=3)
    assert residual.shape == batch
    assert solve(A, A).shape == A.shape
    assert pinv(A[..., :3]).shape == (*batch, 3, 5)


def test_order_zero():
    assert inv(torch.zeros(3, 0, 0)).shape == (3, 0, 0)
    assert inv_ex(torch.zeros(3, 0, 0)).residual.tolist() == [0, 0, 0]
    assert solve(torch.zeros(0, 0), torch.zeros(0, 2)).shape == (0, 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    A = moderate(4, 6, 6).to(dtype)
    X, residual = inv_ex(A)
    assert X.dtype == dtype
    assert torch.equal(X, inv(A.float()).to(dtype))
    # The residual is that of the rounded X: about eps kappa.
    assert residual.dtype == torch.float32
    assert (residual > eps(dtype) / 100).all()
    assert (residual < 6 * eps(dtype) * 4).all()
    assert solve(A, A).dtype == dtype
    assert pinv(A).dtype == dtype


@pytest.mark.parametrize("n", [2, 5, 20])
def test_singular_matrices_give_finite_values_and_a_residual_that_tells(n):
    zero = torch.zeros(n, n)
    ones = torch.ones(n, n)
    B = torch.arange(n * (n - 1.0)).reshape(n, n - 1).sin()
    X, residual = inv_ex(torch.stack([zero, ones, B @ B.T, torch.eye(n)]))
    assert torch.isfinite(X).all()
    # I - A X keeps a vector; of B B^T, whose entries are rounded, the last of float32 decides.
    assert (residual[:2] >= 1 - 1e-5).all()
    assert residual[2] >= 0.5
    assert residual[3] < 1e-5


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((4, 4), (4, 2)),
        ((4, 4), (4,)),
        ((3, 4, 4), (3, 4)),
        ((3, 4, 4), (4, 1)),
        ((4, 4), (5, 4, 2)),
        ((2, 1, 4, 4), (3, 4, 2)),
        ((2, 3, 4, 4), (2, 3, 4)),
        ((0, 4, 4), (0, 4, 3)),
        ((10, 10), (10, 0)),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex128])
def test_solve_broadcasts_as_torch_does(a, b, dtype):
    A, B = moderate(*a, dtype=dtype), normal(*b, dtype=dtype, seed=2)
    close(solve(A, B), torch.linalg.solve(A, B), kappa=3)


def test_solve_promotes_and_leaves_a_small_residual():
    A = normal(6, 12, 12)
    B = normal(6, 12, 3, seed=2)
    assert solve(A.float(), B).dtype == torch.float64
    assert solve(A, B.cfloat()).dtype == torch.complex128
    Y = solve(A, B)
    R = torch.linalg.matrix_norm(B - A @ Y)
    norms = torch.linalg.matrix_norm(A) * torch.linalg.matrix_norm(Y)
    # Backward stable, where X B would leave kappa times as much.
    assert (12 * eps(A.dtype) * norms >= R).all()


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (3, 12, 5), (2, 5, 5)])
@pytest.mark.parametrize("dtype", REAL + COMPLEX)
def test_pinv_agrees_with_lapack(shape, dtype):
    A = moderate(*shape, dtype=dtype)
    close(pinv(A), torch.linalg.pinv(A), kappa=3, power=2)
    A = A @ moderate(shape[-1], 2, dtype=dtype, seed=3) @ moderate(2, 5, dtype=dtype, seed=4)
    close(pinv(A), torch.linalg.pinv(A, rtol=1e-2), kappa=9, power=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inv(torch.ones(2, 3)), "square matrices .* not shape \\(2, 3\\)"),
        (lambda: inv(torch.ones(3)), "square matrices"),
        (lambda: inv(torch.ones(2, 2, dtype=torch.int64)), "not torch.int64"),
        (lambda: pinv(torch.ones(3)), "matrices \\(..., m, n\\)"),
        (lambda: pinv(torch.ones(2, 2), rtol=1e-9), "rtol must be at least"),
        (lambda: solve(torch.eye(3), torch.ones(2)), "as many rows"),
        (lambda: solve(torch.eye(3), torch.ones(3, dtype=torch.bool)), "right-hand sides"),
        (lambda: Inverse(order=3)(torch.eye(2)), "of order 3 are needed, not 2"),
    ],
)
def test_bad_input_is_a_value_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# The functions are smooth and known to about 1e-15 kappa; a central difference of step 1e-6 adds
# 1e-16/1e-6 = 1e-10 of rounding and 1e-12 of truncation, times kappa³ = 27 at most: gradcheck's
# own tolerances, 1e-5 and 1e-3 relative, would pass a derivative wrong in the fourth digit.
TIGHT = {"atol": 1e-7, "rtol": 1e-6}


def leaf(A: torch.Tensor) -> torch.Tensor:
    return A.detach().clone().requires_grad_()


@pytest.mark.parametrize("n", [1, 4, 9])
def test_first_derivatives_of_inv(n):
    A = leaf(moderate(2, n, n))
    assert gradcheck(inv, A, check_forward_ad=True, check_batched_grad=n < 9, **TIGHT)


def test_second_derivatives_of_inv():
    A = leaf(moderate(2, 3, 3))
    assert gradgradcheck(inv, A, check_fwd_over_rev=True, **TIGHT)


def test_derivatives_of_solve():
    A, B, b = leaf(moderate(2, 3, 3)), leaf(normal(3, 2)), leaf(normal(3))
    assert gradcheck(solve, (A, B), check_forward_ad=True, **TIGHT)
    assert gradgradcheck(solve, (A, B), check_fwd_over_rev=True, **TIGHT)
    assert gradcheck(solve, (A, b), **TIGHT)


@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (3, 3), (2, 2, 3)])
def test_derivatives_of_pinv_of_full_rank(shape):
    A = leaf(moderate(*shape))
    assert gradcheck(pinv, A, check_forward_ad=True, **TIGHT)
    assert gradgradcheck(pinv, A, check_fwd_over_rev=True, **TIGHT)


@pytest.mark.parametrize("shape", [(4, 5), (5, 4)])
def test_derivatives_of_pinv_of_constant_rank_2(shape):
    U, V = leaf(moderate(shape[0], 2)), leaf(moderate(2, shape[1], seed=2))

    def function(U, V):
        return pinv(U @ V)

    assert gradcheck(function, (U, V), check_forward_ad=True, **TIGHT)
    assert gradgradcheck(function, (U, V), check_fwd_over_rev=True, **TIGHT)


def test_derivatives_over_complex_numbers():
    A, b = leaf(moderate(3, 3, dtype=torch.complex128)), leaf(normal(3, dtype=torch.complex128))
    assert gradcheck(inv, A, check_forward_ad=True, **TIGHT)
    assert gradgradcheck(inv, A, **TIGHT)
    assert gradcheck(solve, (A, b), **TIGHT)
    assert gradcheck(pinv, leaf(A[:2]), **TIGHT)


def test_the_gradient_is_the_implicit_one_and_costs_no_graph():
    A = leaf(moderate(3, 5, 5, dtype=torch.float32))
    X = inv(A)
    assert type(X.grad_fn).__name__ == "_InverseBackward"
    G = normal(3, 5, 5, dtype=torch.float32, seed=2)
    (got,) = torch.autograd.grad(X, A, G)
    close(got, -X.detach().mT @ G @ X.detach().mT, kappa=3)


def test_vmap_over_any_dimension():
    A, B = moderate(3, 2, 4, 4), normal(3, 4, 2, seed=2)
    close(torch.vmap(inv)(A), inv(A), kappa=3)
    close(torch.vmap(torch.vmap(inv))(A), inv(A), kappa=3)
    close(torch.vmap(inv, in_dims=3, out_dims=3)(A.movedim(0, 3)).movedim(3, 0), inv(A), kappa=3)
    close(torch.vmap(solve)(A[:, 0], B), solve(A[:, 0], B), kappa=3)
    close(torch.vmap(solve, in_dims=(None, 0))(A[0, 0], B), solve(A[0, 0], B), kappa=3)
    columns = torch.vmap(solve, in_dims=(0, None))(A[:, 0], B[0, :, 0])
    close(columns, solve(A[:, 0], B[0, :, :1]).squeeze(-1), kappa=3)
    close(torch.vmap(pinv)(A[..., :3]), pinv(A[..., :3]), kappa=3)
    result = torch.vmap(Inverse(return_residual=True))(A)
    assert result.residual.shape == (3, 2)


def test_jacobians_and_hessians():
    A = moderate(4, 4)
    ours, theirs = inv, torch.linalg.inv
    for transform in (torch.func.jacrev, torch.func.jacfwd):
        close(transform(ours)(A), transform(theirs)(A), kappa=3)
        close(torch.vmap(transform(ours))(A[None])[0], transform(theirs)(A), kappa=3)

    def loss(function):
        return lambda M: function(M).square().sum()

    for make in (torch.func.hessian, lambda f: torch.func.jacrev(torch.func.jacrev(f))):
        close(make(loss(ours))(A), make(loss(theirs))(A), kappa=27)
        close(make(loss(pinv))(A[:3]), make(loss(torch.linalg.pinv))(A[:3]), kappa=81)


@pytest.mark.parametrize("first", [torch.func.jacfwd, torch.func.jacrev])
@pytest.mark.parametrize("second", [torch.func.jacfwd, torch.func.jacrev])
@pytest.mark.parametrize("third", [torch.func.jacfwd, torch.func.jacrev])
def test_third_derivatives_in_every_mode(first, second, third):
    """PyTorch calls a jvp with forward mode off: forward over forward would silently be wrong."""
    A = moderate(2, 2)
    for ours, theirs in ((inv, torch.linalg.inv), (pinv, torch.linalg.pinv)):
        expected = third(second(first(theirs)))(A)
        # Four factors X, each of error eps kappa, relative to products that may cancel.
        close(third(second(first(ours)))(A), expected, kappa=3, power=4)


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
        inv(A), solve(A, A), pinv(A)
    called = {event.key for event in profile.key_averages()}
    assert "aten::bmm" in called
    assert not [name for name in called if "linalg" in name or "inverse" in name]


def test_the_layer_checks_on_request():
    A = torch.stack([torch.eye(3), torch.ones(3, 3), torch.full((3, 3), torch.nan)])
    assert Inverse()(A).shape == A.shape
    with pytest.raises(SingularMatrixError, match=r"matrices \[1, 2\] of 3 were not inverted"):
        Inverse(check=True)(A)
    torch.testing.assert_close(Inverse(check=True)(A[0]), A[0])
    layer = Inverse(3, blocks=4, refine=2, return_residual=True)
    assert "order=3, blocks=4, refine=2, return_residual=True, check=False" in repr(layer)
    assert list(layer.parameters()) == []
    assert layer(A[0]).residual < 1e-6


def test_more_blocks_and_refinement_reach_harder_matrices():
    A = torch.from_numpy(with_condition(np.random.default_rng(1), 24, 1e8))
    few = inv_ex(A, blocks=8).residual
    assert few > 0.5  # and says so
    assert inv_ex(A, blocks=24).residual <= 24 * eps(A.dtype) * 24 * 1e8
    rough = inv_ex(moderate(6, 6), blocks=2).residual
    assert inv_ex(moderate(6, 6), blocks=2, refine=1).residual <= rough**2 + 1e-14


def test_the_same_bits_every_time_and_input_untouched():
    A = normal(5, 7, 7, dtype=torch.float32)
    before = A.clone()
    assert torch.equal(inv(A), inv(A))
    assert torch.equal(pinv(A), pinv(A))
    assert torch.equal(A, before)


@pytest.mark.parametrize("view", ["transposed", "strided", "expanded"])
def test_views(view):
    A = moderate(4, 6, 6)
    V = {
        "transposed": A.mT,
        "strided": A.repeat_interleave(2, dim=2)[..., ::2],
        "expanded": A[0].expand(4, 6, 6),
    }[view]
    close(inv(V), torch.linalg.inv(V.contiguous()), kappa=3)
    assert inv(V).is_contiguous()


def test_meta_tensors_have_shapes_only():
    A = torch.empty(3, 9, 9, device="meta")
    X, residual = inv_ex(A)
    assert (X.device.type, X.shape, residual.shape) == ("meta", (3, 9, 9), (3,))
    assert solve(A, torch.empty(9, device="meta")).shape == (3, 9)
    assert pinv(A[..., :4]).shape == (3, 4, 9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("n", [4, 24])
def test_on_a_cuda_device(n):
    A = moderate(5, n, n)
    close(inv(A.cuda()).cpu(), inv(A), kappa=3)
    close(solve(A.cuda(), A.cuda()).cpu(), solve(A, A), kappa=3)
    close(pinv(A.cuda()).cpu(), pinv(A), kappa=3, power=2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_units_far_apart_are_inverted_digit_by_digit(dtype):
    """float32 diag(1e6, 1, 1e-6) used to come back with 2.1e-6 where 1e6 is right."""
    eps = torch.finfo(dtype).eps
    d = torch.tensor([1e6, 1.0, 1e-6], dtype=dtype)
    assert torch.allclose(inv(torch.diag(d)).diagonal(), 1 / d, rtol=4 * eps, atol=0)
    generator = torch.Generator().manual_seed(0)
    B = torch.randn(20, 4, 4, generator=generator, dtype=torch.float64) + 4 * torch.eye(4)
    left, right = (10 ** (12 * torch.rand(20, 4, generator=generator) - 6) for _ in range(2))
    A = (left[:, :, None] * B * right[:, None, :]).to(dtype)
    truth = torch.linalg.inv(A.double() / left[:, :, None] / right[:, None, :])
    kappa = torch.linalg.cond(truth)
    error = inv(A).double() * right[:, :, None] * left[:, None, :] - truth
    size = torch.linalg.matrix_norm(truth)
    assert (torch.linalg.matrix_norm(error) <= 64 * eps * kappa * size).all()
    assert torch.allclose(solve(torch.diag(d), d), torch.ones(3, dtype=dtype), rtol=4 * eps)


@pytest.mark.parametrize("sigma", [1e-1, 1e-3, 1e-5])
def test_pinv_has_numpys_rank_in_float32(sigma):
    values = np.array([1.0, 0.9, 0.8, 0.7, sigma])
    A = torch.from_numpy(with_singular_values(np.random.default_rng(1), values, 6, 6)).float()
    expected = numpy_side.pinv_ex(A.numpy())
    X = pinv(A)
    assert expected.rank == 5 == torch.linalg.matrix_rank(A)
    assert round(float(torch.trace(A.double() @ X.double()))) == 5
    scale = abs(expected.pseudoinverse).max()
    assert abs(X.numpy() - expected.pseudoinverse).max() <= 1e-5 / sigma * scale
