"""A linear flow parametrised by its LU factors, sampled
========================================================

Two triangular systems.

Kingma & Dhariwal 2018, section 3.2; Durkan et al. 2019, "Neural spline flows", section 3.
"""

import torch
from torch import nn


class LUFlow(nn.Module):
    """x from y = P L (U + diag s) x + b, and log|det|."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        free = 0.2 * torch.randn(width, width, generator=generator)
        self.register_buffer("lower", torch.tril(free, -1) + torch.eye(width))
        self.register_buffer("upper", torch.triu(free, 1))
        self.register_buffer("scale", 0.5 + torch.rand(width, generator=generator))
        self.register_buffer("order", torch.randperm(width, generator=generator))
        self.register_buffer("bias", torch.randn(width, generator=generator))

    def forward(self, y):
        L, U = self.lower.to(y.dtype), self.upper.to(y.dtype)
        s = self.scale.to(y.dtype)
        z = (y - self.bias.to(y.dtype))[:, self.order].mT
        z = torch.linalg.solve_triangular(L, z, upper=False, unitriangular=True)
        z = torch.linalg.solve_triangular(U + torch.diag(s), z, upper=True)
        return z.mT, s.log().sum().expand(y.shape[0])


def example(generator, batch=2, dtype=torch.float32, width=24):
    """The model and inputs for it."""
    return LUFlow(width), (torch.randn(batch, width, generator=generator, dtype=dtype),)
