"""A sparse variational Gaussian process
========================================

Prediction from 32 inducing points.

Hensman, Matthews & Ghahramani 2015, "Scalable variational Gaussian process classification", eq. 6.
"""

import torch
from torch import nn


class Prediction(nn.Module):
    """Mean and variance at new points, whitened."""

    def __init__(self, inducing: int = 32, inputs: int = 4) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("Z", torch.randn(inducing, inputs, generator=generator))
        self.register_buffer("m", torch.randn(inducing, 1, generator=generator))
        root = torch.randn(inducing, inducing, generator=generator) / inducing**0.5
        self.register_buffer("S", torch.tril(0.3 * root) + 0.1 * torch.eye(inducing))

    def forward(self, x):
        Z, m, S = (t.to(x.dtype) for t in (self.Z, self.m, self.S))
        identity = torch.eye(len(Z), dtype=x.dtype)
        K = torch.exp(-0.5 * torch.cdist(Z, Z) ** 2) + 1e-3 * identity
        L = torch.linalg.cholesky(K)
        cross = torch.exp(-0.5 * ((Z[:, None] - x) ** 2).sum(-1))
        A = torch.linalg.solve_triangular(L, cross, upper=False)
        mean = (A.mT @ m).squeeze(-1)
        spread = S.mT @ A
        return mean, 1 - (A * A).sum(0) + (spread * spread).sum(0)


def example(generator, batch=2, dtype=torch.float32):
    """The model and inputs for it."""
    return Prediction(), (torch.randn(batch, 4, generator=generator, dtype=dtype),)
