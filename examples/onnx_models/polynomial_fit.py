"""A least-squares layer
========================

Polynomials through noisy points, by deepmatrixinversion.torch.lstsq.

As in differentiable lane fitting (Van Gansbeke et al. 2019, "End-to-end lane detection through
differentiable least-squares fitting"), with a QR factorisation in place of normal equations.
"""

import torch
from torch import nn

from deepmatrixinversion.torch import lstsq


class LaneFit(nn.Module):
    """Weighted points to coefficients of cubics, and the curves on a grid."""

    def forward(self, x, y, weight):
        powers = torch.stack([torch.ones_like(x), x, x**2, x**3], -1)
        found = lstsq(weight[..., None] * powers, (weight * y)[..., None]).solution
        grid = torch.linspace(-1, 1, 9, dtype=x.dtype)
        return found.squeeze(-1), found.squeeze(-1) @ torch.stack([grid**k for k in range(4)])


def example(generator, batch=2, dtype=torch.float32, points=40):
    """The model and inputs for it."""
    x = 2 * torch.rand(batch, points, generator=generator, dtype=dtype) - 1
    y = x**3 - 0.3 * x + 0.05 * torch.randn(batch, points, generator=generator, dtype=dtype)
    weight = torch.rand(batch, points, generator=generator, dtype=dtype)
    return LaneFit(), (x, y, weight)
