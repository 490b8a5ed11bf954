"""Kalman filter
================

One update: 12 states, 8 measurements, an innovation covariance to invert.
"""

import torch
from torch import nn


class KalmanUpdate(nn.Module):
    """Corrects state and covariance by a measurement, in Joseph's form."""

    def __init__(self, states: int = 12, measured: int = 8) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("H", torch.randn(measured, states, generator=generator))
        self.register_buffer("R", 0.1 * torch.eye(measured))

    def forward(self, x, P, z):
        H, R = self.H.to(x.dtype), self.R.to(x.dtype)
        S = H @ P @ H.mT + R
        K = P @ H.mT @ torch.linalg.inv(S)
        innovation = z[..., None] - H @ x[..., None]
        D = torch.eye(x.shape[-1], dtype=x.dtype) - K @ H
        return x + (K @ innovation).squeeze(-1), D @ P @ D.mT + K @ R @ K.mT


def example(generator, batch=2, dtype=torch.float32):
    """The model and inputs for it."""
    root = torch.randn(batch, 12, 12, generator=generator, dtype=dtype)
    x = torch.randn(batch, 12, generator=generator, dtype=dtype)
    z = torch.randn(batch, 8, generator=generator, dtype=dtype)
    return KalmanUpdate(), (x, root @ root.mT / 12, z)
