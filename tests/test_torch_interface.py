"""deepmatrixinversion.torch against torch.linalg: values, shapes, bits, devices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import deepmatrixinversion as numpy_side
from deepmatrixinversion.errors import SingularMatrixError
from deepmatrixinversion.matrices.spectra import with_condition, with_singular_values
from deepmatrixinversion.torch import Inverse, inv, inv_ex, pinv, solve
from torch_matrices import close, eps, moderate, normal

REAL = [torch.float32, torch.float64]
COMPLEX = [torch.complex64, torch.complex128]


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
    assert solve(A, B.to(torch.complex64)).dtype == torch.complex128
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


def test_the_layer_checks_on_request():
    A = torch.stack([torch.eye(3), torch.ones(3, 3), torch.full((3, 3), torch.nan)])
    assert Inverse()(A).shape == A.shape
    with pytest.raises(SingularMatrixError, match=r"\[1, 2\] of 3"):
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
