"""certified_inv: the certificates of inv_ex, on tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepmatrixinversion import inv_ex
from deepmatrixinversion.torch import certified_inv, cuda_stack


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_on_the_processor_it_is_inv_ex(dtype):
    A = torch.randn(2, 5, 7, 7, dtype=dtype, generator=torch.Generator().manual_seed(1))
    A[1, 2] = 1
    found, expected = certified_inv(A), inv_ex(A.numpy())
    assert found.inverse.dtype == dtype
    assert found.certified.shape == (2, 5)
    for got, value in zip(found, (expected.inverse, *expected.certificate), strict=True):
        np.testing.assert_array_equal(got.numpy(), value)
    assert found.certified.sum() == 9


def test_rtol_and_gradients():
    A = torch.eye(3, requires_grad=True)
    assert not certified_inv(A + 0.5, rtol=0.0).certified
    assert not certified_inv(A + 0.5).inverse.requires_grad


@pytest.mark.parametrize(
    "A",
    [torch.ones(2, 3), torch.ones(3), torch.ones(2, 2, dtype=torch.complex64), torch.eye(2).half()],
)
def test_what_it_refuses(A):
    with pytest.raises(ValueError, match="are needed"):
        certified_inv(A)


def test_the_device_kernel_serves_no_tensor_of_the_processor():
    assert not cuda_stack.serves(torch.eye(3))


def test_every_order_has_a_width_that_holds_its_rows():
    orders = range(1, cuda_stack.LARGEST_ORDER + 1)
    widths = [next(w for order, w in cuda_stack.WIDTHS if n <= order) for n in orders]
    assert all(w & (w - 1) == 0 and w <= 32 for w in widths)
    assert all(-(-n // w) <= 3 for n, w in zip(orders, widths, strict=True))
