"""DeltaNet's chunk
===================

Products of Householder-like factors as one unit triangular inverse.

Yang et al. 2024, "Parallelizing linear transformers with the delta rule over sequence length",
eqs. 10 and 11.
"""

import torch
from torch import nn


class Chunk(nn.Module):
    """Queries, keys, values and writing strengths of a chunk to its outputs and the new state."""

    def forward(self, q, k, v, beta, state):
        k = nn.functional.normalize(k, dim=-1)
        n = k.shape[-2]
        identity = torch.eye(n, dtype=k.dtype)
        T = identity + torch.tril(beta[..., None] * (k @ k.mT), -1)
        scaled = torch.cat([beta[..., None] * k, beta[..., None] * v], -1)
        solved = torch.linalg.solve_triangular(T, scaled, upper=False, unitriangular=True)
        w, u = solved.split([k.shape[-1], v.shape[-1]], dim=-1)
        u = u - w @ state
        return q @ state + torch.tril(q @ k.mT) @ u, state + k.mT @ u


def example(generator, batch=2, dtype=torch.float32, length=32, width=16):
    """The model and inputs for it: two heads."""
    q, k, v = torch.randn(3, batch, 2, length, width, generator=generator, dtype=dtype)
    beta = torch.rand(batch, 2, length, generator=generator, dtype=dtype)
    state = torch.randn(batch, 2, width, width, generator=generator, dtype=dtype)
    return Chunk(), (q / width**0.5, k, v, beta, state)
