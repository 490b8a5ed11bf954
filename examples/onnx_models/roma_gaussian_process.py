"""RoMa's coarse matcher
========================

A Gaussian process over 14x14 patches with a cosine kernel, n = 196.

Edstedt et al. 2024, "RoMa: Robust dense feature matching", section 3.2.
"""

import torch
from torch import nn


class Matcher(nn.Module):
    """Posterior mean of position embeddings at the query's patches."""

    def __init__(self, patches: int = 196, width: int = 16, noise: float = 0.1) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("positions", torch.randn(patches, width, generator=generator))
        self.noise = noise

    @staticmethod
    def kernel(x, y):
        """exp((cos - 1)/0.2) of all pairs."""
        x, y = nn.functional.normalize(x, dim=-1), nn.functional.normalize(y, dim=-1)
        return ((x @ y.mT - 1) / 0.2).exp()

    def forward(self, query, support):
        identity = torch.eye(support.shape[1], dtype=support.dtype)
        K = self.kernel(support, support) + self.noise * identity
        factor = torch.linalg.cholesky(K)
        positions = self.positions.to(query.dtype).expand(query.shape[0], -1, -1)
        return self.kernel(query, support) @ torch.cholesky_solve(positions, factor)


def example(generator, batch=2, dtype=torch.float32, patches=196):
    """The model and inputs for it."""
    query, support = torch.randn(2, batch, patches, 32, generator=generator, dtype=dtype)
    return Matcher(patches), (query, support)
