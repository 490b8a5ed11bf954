"""Whitening of 16 groups of features by eigenvectors
=====================================================

Decorrelated batch normalisation (ZCA).

Huang et al. 2018, "Decorrelated batch normalization", section 3.
"""

import torch
from torch import nn


class Whitening(nn.Module):
    """Features with covariance one, turned back to where they came from."""

    def __init__(self, eps: float = 1e-3) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x):
        x = x - x.mean(-1, keepdim=True)
        identity = torch.eye(x.shape[1], dtype=x.dtype)
        covariance = x @ x.mT / x.shape[-1] + self.eps * identity
        values, vectors = torch.linalg.eigh(covariance)
        return (vectors * values[:, None, :].rsqrt()) @ vectors.mT @ x


def example(generator, batch=2, dtype=torch.float32, channels=16):
    """The model and inputs for it: correlated channels."""
    mixing = torch.randn(batch, channels, channels, generator=generator, dtype=dtype)
    x = torch.randn(batch, channels, 64, generator=generator, dtype=dtype)
    return Whitening(), (mixing @ x,)
