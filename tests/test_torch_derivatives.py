"""Derivatives of deepmatrixinversion.torch: first, second and third, in every mode."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import autograd

from deepmatrixinversion.torch import Inverse, inv, pinv, solve
from torch_matrices import close, leaf, moderate, normal

# The functions are smooth and known to about 1e-15 kappa; a central difference of step 1e-6 adds
# 1e-16/1e-6 = 1e-10 of rounding and 1e-12 of truncation, times kappa³ = 27 at most: gradcheck's
# own tolerances, 1e-5 and 1e-3 relative, would pass a derivative wrong in the fourth digit.
gradcheck = functools.partial(autograd.gradcheck, atol=1e-7, rtol=1e-6)
gradgradcheck = functools.partial(autograd.gradgradcheck, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("n", [1, 4, 9])
def test_first_derivatives_of_inv(n):
    A = leaf(moderate(2, n, n))
    assert gradcheck(inv, A, check_forward_ad=True, check_batched_grad=n < 9)


def test_second_derivatives_of_inv():
    A = leaf(moderate(2, 3, 3))
    assert gradgradcheck(inv, A, check_fwd_over_rev=True)


def test_derivatives_of_solve():
    A, B, b = leaf(moderate(2, 3, 3)), leaf(normal(3, 2)), leaf(normal(3))
    assert gradcheck(solve, (A, B), check_forward_ad=True)
    assert gradgradcheck(solve, (A, B), check_fwd_over_rev=True)
    assert gradcheck(solve, (A, b))


@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (3, 3), (2, 2, 3)])
def test_derivatives_of_pinv_of_full_rank(shape):
    A = leaf(moderate(*shape))
    assert gradcheck(pinv, A, check_forward_ad=True)
    assert gradgradcheck(pinv, A, check_fwd_over_rev=True)


@pytest.mark.parametrize("shape", [(4, 5), (5, 4)])
def test_derivatives_of_pinv_of_constant_rank_2(shape):
    U, V = leaf(moderate(shape[0], 2)), leaf(moderate(2, shape[1], seed=2))

    def function(U, V):
        return pinv(U @ V)

    assert gradcheck(function, (U, V), check_forward_ad=True)
    assert gradgradcheck(function, (U, V), check_fwd_over_rev=True)


def test_derivatives_over_complex_numbers():
    A, b = leaf(moderate(3, 3, dtype=torch.complex128)), leaf(normal(3, dtype=torch.complex128))
    assert gradcheck(inv, A, check_forward_ad=True)
    assert gradgradcheck(inv, A)
    assert gradcheck(solve, (A, b))
    assert gradcheck(pinv, leaf(A[:2]))


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
