"""Glow's convolution
=====================

The invertible 1x1 convolution, run backwards, as sampling does.
"""

import torch
from torch import nn


class InvertibleConvolution(nn.Module):
    """Mixes channels by a matrix that starts as a rotation; backwards it inverts that matrix."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        rotation = torch.linalg.qr(torch.randn(channels, channels, generator=generator))[0]
        # Training moves it away from a rotation.
        drift = 0.1 * torch.randn(channels, channels, generator=generator)
        self.weight = nn.Parameter(rotation + drift)

    def forward(self, y):
        inverse = torch.inverse(self.weight.to(y.dtype))
        return nn.functional.conv2d(y, inverse[:, :, None, None])


def example(generator, batch=2, dtype=torch.float32, channels=48):
    """The model and inputs for it."""
    y = torch.randn(batch, channels, 4, 4, generator=generator, dtype=dtype)
    return InvertibleConvolution(channels), (y,)
