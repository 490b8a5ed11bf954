"""SPDNet on covariance matrices
================================

Bilinear maps, rectified eigenvalues, a matrix logarithm.

Huang & Van Gool 2017, "A Riemannian network for SPD matrix learning", eqs. 2 to 4.
"""

from itertools import pairwise

import torch
from torch import nn


class SPDNet(nn.Module):
    """Covariances to class scores."""

    def __init__(self, sizes: tuple[int, ...] = (16, 12, 8), classes: int = 4) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for layer, (rows, cols) in enumerate(pairwise(sizes)):
            W = torch.linalg.qr(torch.randn(rows, cols, generator=generator))[0]
            self.register_buffer(f"W{layer}", W)
        self.layers = len(sizes) - 1
        head = torch.randn(sizes[-1] ** 2, classes, generator=generator) / sizes[-1]
        self.register_buffer("head", head)

    @staticmethod
    def spectral(S, function):
        """A function of a symmetric matrix."""
        values, vectors = torch.linalg.eigh(S)
        return (vectors * function(values)[..., None, :]) @ vectors.mT

    def forward(self, S):
        for layer in range(self.layers):
            W = getattr(self, f"W{layer}").to(S.dtype)
            S = self.spectral(W.mT @ S @ W, lambda v: v.clamp(min=1e-1))
        return self.spectral(S, torch.log).flatten(1) @ self.head.to(S.dtype)


def example(generator, batch=2, dtype=torch.float32, order=16):
    """The model and inputs for it."""
    x = torch.randn(batch, order, 40, generator=generator, dtype=dtype)
    return SPDNet((order, 12, 8)), (x @ x.mT / 40,)
