"""The kernel for NVIDIA devices, held against exact arithmetic and against the other interfaces."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepmatrixinversion import inv_ex
from deepmatrixinversion.torch import certified_inv, cuda_stack, inv
from device_families import families
from menagerie import INVERTIBLE, SINGULAR
from oracle import violation

pytestmark = pytest.mark.cuda

ORDERS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 16, 17, 24, 31, 32)
DTYPES = (torch.float32, torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", ORDERS)
def test_bounds_hold_in_exact_arithmetic(n, dtype):
    A = torch.from_numpy(families(n, 6 if n <= 16 else 2, np.random.default_rng(n))).to(dtype)
    found = cuda_stack.invert_stack(A.cuda())
    settled = found.settled.cpu().numpy()
    assert settled.mean() > 0.3
    X, *bounds = (x.double().cpu().numpy() for x in (found.inverse, *found[2:]))
    A = A.double().numpy()
    for k in np.flatnonzero(settled):
        assert violation(A[k], X[k], True, *(b[k] for b in bounds)) is None, k
    assert np.isinf(bounds[1][~settled]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", ORDERS)
def test_normal_matrices_are_right_to_the_last_bit(n, dtype):
    count = 4096 if n <= 8 else 512
    A = torch.randn(count, n, n, dtype=dtype, generator=torch.Generator().manual_seed(n))
    found, expected = certified_inv(A.cuda()), inv_ex(A.numpy())
    assert bool(found.certified.all())
    assert cuda_stack.invert_stack(A.cuda()).settled.double().mean() > 0.99
    unit = torch.finfo(dtype).eps / 2
    assert float(found.relative_error_bound.median()) <= 1.1 * unit
    assert float(found.relative_error_bound.max()) <= 2 * unit
    off = np.abs(found.inverse.cpu().double().numpy() - expected.inverse.astype(float))
    size = np.abs(expected.inverse).sum(-1).max(-1).astype(float)
    assert (off.sum(-1).max(-1) <= 4 * unit * size).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_menagerie(dtype):
    for name, A in INVERTIBLE.items():
        M = torch.from_numpy(A).to(dtype)
        if not bool(M.isfinite().all()) or M.shape[-1] > 64:
            continue
        found, expected = certified_inv(M.cuda()), inv_ex(M.numpy())
        assert bool(found.certified) == bool(expected.certificate.certified), name
        if found.certified:
            bounds = (float(b) for b in found[2:])
            X = found.inverse.cpu().double().numpy()
            assert violation(M.double().numpy(), X, True, *bounds) is None, name
    for name, A in SINGULAR.items():
        assert not bool(certified_inv(torch.from_numpy(A).to(dtype).cuda()).certified.any()), name


def test_neighbours_change_no_bit():
    A = torch.randn(
        999, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
    ).cuda()
    spoiled = A.clone()
    spoiled[1::3] = float("nan")
    spoiled[2::3] = 1
    whole, part = cuda_stack.invert_stack(A), cuda_stack.invert_stack(spoiled)
    alone = cuda_stack.invert_stack(A[::3].contiguous())
    for x, y, z in zip(whole, part, alone, strict=True):
        assert torch.equal(x[::3], y[::3])
        assert torch.equal(x[::3], z)
    assert not bool(part.settled[1::3].any() | part.settled[2::3].any())


def test_empty_strided_and_other_streams():
    assert certified_inv(torch.empty(0, 3, 3, device="cuda")).inverse.shape == (0, 3, 3)
    A = torch.randn(64, 5, 5, device="cuda", generator=torch.Generator("cuda").manual_seed(1))
    expected = cuda_stack.invert_stack(A.mT.contiguous()).inverse
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        found = cuda_stack.invert_stack(A.mT).inverse
    stream.synchronize()
    assert torch.equal(found, expected)


def test_inv_and_its_gradient():
    A = torch.randn(
        50, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
    ).cuda()
    A = (A + 3 * torch.eye(6, device="cuda")).requires_grad_()
    X = inv(A)
    assert torch.equal(X.detach(), cuda_stack.invert_stack(A.detach()).inverse)
    (got,) = torch.autograd.grad((X**2).sum(), A)
    (expected,) = torch.autograd.grad((torch.linalg.inv(A) ** 2).sum(), A)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    assert torch.autograd.gradcheck(inv, A[:2].detach().requires_grad_())
    assert torch.equal(torch.func.vmap(inv)(A), X)
    one = torch.compile(inv, fullgraph=True)(A.detach())
    torch.testing.assert_close(one, X.detach(), rtol=1e-9, atol=1e-9)


def test_singular_matrices_through_inv_are_finite():
    X = inv(torch.ones(4, 5, 5, device="cuda"))
    assert bool(X.isfinite().all())
