"""Functions of PyTorch's that its own export fixes to the batch they are traced with, or refuses.

Each is written in functions that export. Parameters are those of the functions replaced.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, linalg
from torch.overrides import TorchFunctionMode


def matrix_norm(
    A: Tensor,
    ord: float | str = "fro",
    dim: tuple[int, int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """``torch.linalg.matrix_norm``."""
    A = A if dtype is None else A.to(dtype)
    if ord == "fro":
        return linalg.vector_norm(A, 2, dim, keepdim)
    smallest = isinstance(ord, int | float) and ord < 0
    extreme = torch.amin if smallest else torch.amax
    if ord in ("nuc", 2, -2):
        values = linalg.svdvals(A.movedim(dim, (-2, -1)))
        found = values.sum(-1) if ord == "nuc" else extreme(values, -1)
        places = sorted(d % A.ndim for d in dim)
        return found.unsqueeze(places[0]).unsqueeze(places[1]) if keepdim else found
    if ord not in (1, -1, math.inf, -math.inf):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    summed, other = dim if abs(float(ord)) == 1 else dim[::-1]
    found = extreme(A.abs().sum(summed, keepdim=True), other, keepdim=True)
    return found if keepdim else found.squeeze(dim)


def norm(
    A: Tensor,
    ord: float | str | None = None,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """``torch.linalg.norm``."""
    pair = A.ndim == 2 if dim is None else isinstance(dim, tuple | list) and len(dim) == 2
    if ord is None or not pair:
        return linalg.norm(A, ord, dim, keepdim, dtype=dtype)
    return matrix_norm(A, ord, (0, 1) if dim is None else tuple(dim), keepdim, dtype=dtype)


def cond(A: Tensor, p: float | str | None = None) -> Tensor:
    """``torch.linalg.cond``."""
    if p in (None, 2, -2):
        return linalg.cond(A, p)
    X, info = linalg.inv_ex(A)
    singular = info > 0
    inverse = matrix_norm(X.masked_fill(singular[..., None, None], 0), p)
    return matrix_norm(A, p) * inverse.masked_fill(singular, torch.inf)


def vander(x: Tensor, N: int | None = None) -> Tensor:
    """``torch.linalg.vander``."""
    powers = [torch.ones_like(x)]
    while len(powers) < (x.shape[-1] if N is None else N):
        powers.append(powers[-1] * x)
    return torch.stack(powers, -1)


def matrix_power(A: Tensor, n: int) -> Tensor:
    """``torch.linalg.matrix_power``."""
    if n:
        return linalg.matrix_power(A, n)
    return torch.eye(A.shape[-1], dtype=A.dtype) + torch.zeros_like(A)


def svd(A: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
    """``torch.svd``."""
    if compute_uv:
        return torch.svd(A, some)
    U, V = (torch.zeros_like(square) for square in (A @ A.mH, A.mH @ A))
    return torch.return_types.svd((U, linalg.svdvals(A), V))


class StandIns(TorchFunctionMode):
    """While it is entered, these functions stand for PyTorch's."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return TABLE.get(func, func)(*args, **(kwargs or {}))


TABLE: dict[Callable[..., Any], Callable[..., Any]] = {
    linalg.matrix_norm: matrix_norm,
    linalg.norm: norm,
    linalg.cond: cond,
    linalg.vander: vander,
    linalg.matrix_power: matrix_power,
    torch.matrix_power: matrix_power,
    Tensor.matrix_power: matrix_power,
    torch.svd: svd,
    Tensor.svd: svd,
}
