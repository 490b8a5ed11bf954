"""The plain dense baseline of the published system."""

from __future__ import annotations

from torch import Tensor, nn

from deepmatrixinversion.models.config import NetConfig
from deepmatrixinversion.nets.normalisation import normalised, residual_norm
from deepmatrixinversion.nets.trajectory import Trajectory


class Direct(nn.Module):
    """A network that answers in one go: ``body`` maps n² entries to n² entries.

    The body sees √n A/‖A‖F, whose entries are about 1 for a typical matrix, and its output is
    read as √n X ‖A‖F / n, so that both sides have entries of order one.
    """

    def __init__(self, order: int, body: nn.Module) -> None:
        super().__init__()
        self.order = order
        self.body = body

    def forward(self, A: Tensor) -> Tensor:
        """A candidate inverse of each matrix of A, shape (batch, n, n)."""
        n = self.order
        A, scale = normalised(A)
        return n**0.5 * self.body((n**0.5 * A).flatten(1)).reshape(-1, n, n) / scale

    def trajectory(self, A: Tensor) -> Trajectory:
        """The single candidate with its residual, for A of shape (batch, n, n)."""
        X = self(A)
        return Trajectory([X], [residual_norm(A, X)])


class Dense(Direct):
    """``nlayers`` fully connected layers of ``nunits`` with ReLU, and a linear output of n²."""

    def __init__(self, config: NetConfig) -> None:
        n2 = config.msize**2
        layers: list[nn.Module] = []
        width = n2
        for _ in range(config.nlayers):
            layers += [nn.Linear(width, config.nunits), nn.ReLU()]
            width = config.nunits
        super().__init__(config.msize, nn.Sequential(*layers, nn.Linear(width, n2)))
