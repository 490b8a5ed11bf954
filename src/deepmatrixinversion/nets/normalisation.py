"""The normalisation around every network, and the residual that judges it."""

from __future__ import annotations

import torch
from torch import Tensor

from deepmatrixinversion.nets.algebra import full_precision_matmul


def normalised(A: Tensor) -> tuple[Tensor, Tensor]:
    """``(A / ‖A‖F, ‖A‖F)`` for A of shape (batch, n, n), with 1 for the norm of a zero matrix."""
    # Dividing by the largest entry first keeps the squares within float32's and float16's range.
    largest = A.abs().amax(dim=(-2, -1), keepdim=True)
    largest = torch.where(largest > 0, largest, torch.ones_like(largest))
    A = A / largest
    norm = torch.sqrt((A * A).sum(dim=(-2, -1), keepdim=True))
    norm = torch.where(norm > 0, norm, torch.ones_like(norm))
    return A / norm, largest * norm


def residual_norm(A: Tensor, X: Tensor) -> Tensor:
    """‖I - A X‖F of each pair, (batch, n, n) -> (batch,), with a finite gradient at zero."""
    identity = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
    R = identity - full_precision_matmul(A, X)
    return torch.sqrt((R * R).sum(dim=(-2, -1)).clamp_min(1e-37))
