"""The residual network with dense growth of the published system, layer for layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepmatrixinversion.models.config import NetConfig
from deepmatrixinversion.models.weights import GROWTH_STEPS
from deepmatrixinversion.nets.dense import Direct


class GrowthBlock(nn.Module):
    """Four times x <- concat(x, relu(W x)), then a zero-initialised projection back, added to x."""

    def __init__(self, units: int) -> None:
        super().__init__()
        widths = [units + 2 * units * step for step in range(GROWTH_STEPS + 1)]
        self.grow = nn.ModuleList(nn.Linear(width, 2 * units) for width in widths[:-1])
        self.project = nn.Linear(widths[-1], units)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor) -> Tensor:
        grown = x
        for layer in self.grow:
            grown = torch.cat([grown, torch.relu(layer(grown))], dim=1)
        return x + self.project(grown)


class ResNet(Direct):
    """Dense(nunits, relu), ``nlayers`` growth blocks, linear output of n².

    4,712,713 parameters at n = 3 with the published nunits = 128, nlayers = 7.
    """

    def __init__(self, config: NetConfig) -> None:
        n2 = config.msize**2
        super().__init__(
            config.msize,
            nn.Sequential(
                nn.Linear(n2, config.nunits),
                nn.ReLU(),
                *(GrowthBlock(config.nunits) for _ in range(config.nlayers)),
                nn.Linear(config.nunits, n2),
            ),
        )
