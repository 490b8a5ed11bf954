"""Inverses of tensors with certificates, where the tensors are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepmatrixinversion.inference.functions import inv_ex
from deepmatrixinversion.linalg.certificate import default_rtol
from deepmatrixinversion.torch import cuda_stack


class CertifiedInverse(NamedTuple):
    """Inverses (..., n, n) of A's dtype, and what is proven of each, (...), on A's device.

    Attributes
    ----------
    inverse : Tensor
    certified : bool Tensor
        A and X are proven nonsingular, A is told apart from the singular matrices around it, and
        the relative error is proven to be at most ``rtol``
    residual_bound, error_bound, relative_error_bound : float64 Tensor
        at least ‖I - X A‖inf, ‖A^-1 - X‖inf, and that over ‖X‖inf; inf where nothing is proven
    """

    inverse: Tensor
    certified: Tensor
    residual_bound: Tensor
    error_bound: Tensor
    relative_error_bound: Tensor


def _careful(A: Tensor, rtol: float | None) -> CertifiedInverse:
    """By `deepmatrixinversion.inv_ex`, on this machine's processor."""
    found = inv_ex(A.cpu().numpy(), rtol=rtol)
    values = (found.inverse, *found.certificate)
    return CertifiedInverse(*(torch.from_numpy(np.asarray(x)).to(A.device) for x in values))


def certified_inv(A: Tensor, *, rtol: float | None = None) -> CertifiedInverse:
    """Inverses with the certificates of `deepmatrixinversion.inv_ex`, on A's device.

    On NVIDIA devices, with the extra ``cuda``, matrices of order up to 32 are inverted and proven
    by one fused kernel there; what it cannot settle, other orders and other devices go through
    `deepmatrixinversion.inv_ex` on the processor, so that the answers are as good everywhere.

    Parameters
    ----------
    A : (..., n, n) Tensor
        float32 or float64, anywhere; without gradient: see `inv` for that
    rtol : float, optional
        relative error that a certified inverse is proven to have at most, 1e-3 in float32 and 1e-6
        in float64 without

    Returns
    -------
    CertifiedInverse

    Raises
    ------
    ValueError
        for another shape or dtype

    Notes
    -----
    The first call for an order compiles for about a second. Where a matrix is left to the
    processor its time is hundreds of times that of the others.

    Examples
    --------
    >>> import torch
    >>> from deepmatrixinversion.torch import certified_inv
    >>> certified_inv(torch.stack([torch.eye(3), torch.ones(3, 3)])).certified.tolist()
    [True, False]
    """
    if A.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"float32 or float64 matrices are needed, not {A.dtype}")
    if A.dim() < 2 or A.shape[-1] != A.shape[-2]:
        raise ValueError(f"square matrices (..., n, n) are needed, not shape {tuple(A.shape)}")
    A = A.detach()
    if not cuda_stack.serves(A):
        return _careful(A, rtol)
    stack = A.reshape(-1, *A.shape[-2:])
    inverse, settled, *bounds = cuda_stack.invert_stack(stack)
    limit = default_rtol(np.dtype(f"f{A.element_size()}")) if rtol is None else rtol
    fields = [inverse, settled & (bounds[-1] <= limit), *bounds]
    left = (~settled).nonzero()[:, 0]
    if left.numel():
        for field, values in zip(fields, _careful(stack[left], rtol), strict=True):
            field[left] = values
    return CertifiedInverse(
        fields[0].reshape(A.shape), *(x.reshape(A.shape[:-2]) for x in fields[1:])
    )
