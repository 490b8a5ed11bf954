"""The few matrix operations that the networks are made of."""

from __future__ import annotations

import torch
from torch import Tensor


def product(M: Tensor, N: Tensor) -> Tensor:
    """M N in full precision, also where autocast would round the factors.

    Mixed precision is for the dense layers: a residual I - A X from rounded factors would be
    nothing but the rounding.
    """
    if torch.is_autocast_enabled(M.device.type):
        with torch.autocast(M.device.type, enabled=False):
            return M.float() @ N.float()
    return M @ N


def inner(M: Tensor, N: Tensor) -> Tensor:
    """The Frobenius inner product of each pair of matrices, shape (batch, 1, 1)."""
    return (M * N).sum(dim=(-2, -1), keepdim=True)


def frobenius(M: Tensor) -> Tensor:
    """‖M‖F of each matrix, shape (batch, 1, 1), with a gradient that is finite at M = 0."""
    # The offset is the smallest normal float32: invisible beside any square that matters here.
    return torch.sqrt((M * M).sum(dim=(-2, -1), keepdim=True) + 1e-37)


def normalised(A: Tensor) -> tuple[Tensor, Tensor]:
    """``(A / ‖A‖F, ‖A‖F)``, with 1 in place of the norm of a zero matrix."""
    # Dividing by the largest entry first keeps the squares within float32's and float16's range.
    largest = A.abs().amax(dim=(-2, -1), keepdim=True)
    largest = torch.where(largest > 0, largest, torch.ones_like(largest))
    A = A / largest
    norm = torch.sqrt((A * A).sum(dim=(-2, -1), keepdim=True))
    norm = torch.where(norm > 0, norm, torch.ones_like(norm))
    return A / norm, largest * norm


def identity_like(A: Tensor) -> Tensor:
    """The identity of A's order, dtype and device, shape (n, n)."""
    return torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
