"""MIMO detector
================

Linear detection of 16 streams at 16 antennas: minimum mean square error and zero forcing.

ONNX has no complex matrix product, so the model embeds C^(16x16) in R^(32x32), as

    H -> [[Re H, -Im H], [Im H, Re H]],

under which products, adjoints and inverses go over into themselves.
"""

import torch
from torch import nn


def embedded(re, im):
    """The real matrix of a complex one."""
    return torch.cat([torch.cat([re, -im], -1), torch.cat([im, re], -1)], -2)


class Detector(nn.Module):
    """Received signals to symbols, by MMSE and by zero forcing."""

    def __init__(self, noise: float = 0.1) -> None:
        super().__init__()
        self.noise = noise

    def forward(self, channel_re, channel_im, signal_re, signal_im):
        H = embedded(channel_re, channel_im)
        y = torch.cat([signal_re, signal_im], -1)[..., None]
        identity = torch.eye(32, dtype=H.dtype)
        mmse = torch.linalg.solve(H.mT @ H + self.noise * identity, H.mT @ y)
        forced = torch.linalg.pinv(H) @ y
        return mmse.squeeze(-1), forced.squeeze(-1)


def example(generator, batch=2, dtype=torch.float32):
    """The model and inputs for it: a Rayleigh channel."""
    re, im = torch.randn(2, batch, 16, 16, generator=generator, dtype=dtype) / 32**0.5
    y_re, y_im = torch.randn(2, batch, 16, generator=generator, dtype=dtype)
    return Detector(), (re, im, y_re, y_im)
