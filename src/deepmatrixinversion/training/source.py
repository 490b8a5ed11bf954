"""Fresh random matrices on the training device, as a pure function of where they are used."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class TorchSource:
    """The `Source` of random arrays (see ``matrices.distributions``) as torch tensors."""

    xp: Any = torch

    def __init__(
        self, seed: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self.device = torch.device(device)
        self.dtype = dtype
        self.generator = torch.Generator(self.device).manual_seed(seed)

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> Tensor:
        """U[low, high) entries."""
        unit = torch.rand(shape, generator=self.generator, dtype=self.dtype, device=self.device)
        return low + (high - low) * unit

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Standard normal entries."""
        return torch.randn(shape, generator=self.generator, dtype=self.dtype, device=self.device)

    def integers(self, shape: tuple[int, ...], low: int, high: int) -> Tensor:
        """Uniform int64 entries of low, ..., high - 1."""
        return torch.randint(low, high, shape, generator=self.generator, device=self.device)

    def eye(self, n: int) -> Tensor:
        """The identity of order n."""
        return torch.eye(n, dtype=self.dtype, device=self.device)

    def arange(self, n: int) -> Tensor:
        """0, ..., n - 1 as int64."""
        return torch.arange(n, device=self.device)
