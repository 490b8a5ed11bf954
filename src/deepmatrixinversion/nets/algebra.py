"""The few matrix operations that the feedback network is made of, batch last.

A stack of small matrices is held as (n, n, batch): each entry of all matrices side by side. A
product is then n³ long elementwise operations, where a batched matrix product costs a call per
matrix: 14 times faster at n = 3 in onnxruntime, 5 times in torch, and still ahead at n = 8.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Up to this order products are elementwise; beyond, batched matrix products are faster.
ELEMENTWISE_ORDER = 8


def batch_last(A: Tensor) -> Tensor:
    """(batch, n, n) as (n, n, batch)."""
    return A.permute(1, 2, 0).contiguous()


def batch_first(A: Tensor) -> Tensor:
    """(n, n, batch) as (batch, n, n)."""
    return A.permute(2, 0, 1).contiguous()


def product(M: Tensor, N: Tensor) -> Tensor:
    """M N of each pair of matrices, all (n, n, batch), in full precision under autocast too.

    Mixed precision is for the dense layers: a residual I - A X from rounded factors would be
    nothing but the rounding.
    """
    if M.shape[0] <= ELEMENTWISE_ORDER:
        return (M.unsqueeze(2) * N.unsqueeze(0)).sum(dim=1)
    return full_precision_matmul(M.permute(2, 0, 1), N.permute(2, 0, 1)).permute(1, 2, 0)


def full_precision_matmul(M: Tensor, N: Tensor) -> Tensor:
    """M @ N, from unrounded factors where autocast would round them."""
    if torch.is_autocast_enabled(M.device.type):
        with torch.autocast(M.device.type, enabled=False):
            return M.float() @ N.float()
    return M @ N


def inner(M: Tensor, N: Tensor) -> Tensor:
    """The Frobenius inner product of each pair of matrices, (n, n, batch) -> (1, 1, batch)."""
    return (M * N).sum(dim=(0, 1), keepdim=True)


def frobenius(M: Tensor) -> Tensor:
    """‖M‖F of each matrix, (n, n, batch) -> (1, 1, batch), with a finite gradient at M = 0."""
    # A floor below the square of any norm that matters here. (An offset would do, but PyTorch's
    # ONNX exporter drops those.)
    return torch.sqrt(inner(M, M).clamp_min(1e-37))


def identity_like(A: Tensor) -> Tensor:
    """The identity of A's order, dtype and device, (n, n, 1) for A of shape (n, n, batch)."""
    return torch.eye(A.shape[0], dtype=A.dtype, device=A.device).unsqueeze(2)


def columns(layer: nn.Linear, x: Tensor) -> Tensor:
    """A linear layer on features in columns: (in, batch) -> (out, batch)."""
    return layer.weight @ x + layer.bias.unsqueeze(1)
