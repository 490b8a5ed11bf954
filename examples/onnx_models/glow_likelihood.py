"""Glow's forward pass
======================

The invertible convolution and its share of the log-likelihood.

Kingma & Dhariwal 2018, "Glow: Generative flow with invertible 1x1 convolutions", table 1.
"""

import torch
from torch import nn


class Flow(nn.Module):
    """Several steps of convolution, each adding h w log|det W|."""

    def __init__(self, channels: int = 12, steps: int = 3) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        shape = (steps, channels, channels)
        rotations = torch.linalg.qr(torch.randn(shape, generator=generator))[0]
        self.register_buffer("W", rotations + 0.1 * torch.randn(shape, generator=generator))

    def forward(self, x):
        W = self.W.to(x.dtype)
        gain = x.new_zeros(1)
        for step in range(len(W)):
            x = nn.functional.conv2d(x, W[step, :, :, None, None])
            gain = gain + x.shape[2] * x.shape[3] * torch.slogdet(W[step])[1]
        energy = -0.5 * (x * x).sum(dim=(1, 2, 3))
        return x, energy + gain


def example(generator, batch=2, dtype=torch.float32, channels=12):
    """The model and inputs for it."""
    x = torch.randn(batch, channels, 4, 4, generator=generator, dtype=dtype)
    return Flow(channels), (x,)
