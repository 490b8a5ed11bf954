"""The mean of several networks' answers."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """The arithmetic mean of the members' candidate inverses (one member: that member)."""

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, A: Tensor) -> Tensor:
        """Mean candidate inverse of each matrix of A, shape (batch, n, n)."""
        if len(self.members) == 1:
            return self.members[0](A)
        return torch.stack([member(A) for member in self.members]).mean(dim=0)
