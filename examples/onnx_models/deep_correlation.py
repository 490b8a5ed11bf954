"""Deep canonical correlation
=============================

The nuclear norm of whitened cross-covariances.

Andrew et al. 2013, "Deep canonical correlation analysis", eq. 9.
"""

import torch
from torch import nn


class Correlation(nn.Module):
    """Two views to their total correlation and the canonical correlations."""

    def __init__(self, ridge: float = 1e-2) -> None:
        super().__init__()
        self.ridge = ridge

    def _root(self, x):
        covariance = x.mT @ x / x.shape[1] + self.ridge * torch.eye(x.shape[2], dtype=x.dtype)
        values, vectors = torch.linalg.eigh(covariance)
        return (vectors * values[:, None].rsqrt()) @ vectors.mT

    def forward(self, x, y):
        x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
        T = self._root(x) @ (x.mT @ y / x.shape[1]) @ self._root(y)
        return torch.linalg.matrix_norm(T, "nuc"), torch.linalg.svdvals(T)


def example(generator, batch=2, dtype=torch.float32, width=10):
    """The model and inputs for it: views with something in common."""
    shared = torch.randn(batch, 80, width, generator=generator, dtype=dtype)
    x, y = shared + 0.7 * torch.randn(2, batch, 80, width, generator=generator, dtype=dtype)
    return Correlation(), (x, y)
