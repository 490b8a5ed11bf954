"""A layer with orthonormal columns
===================================

Made of free parameters by a QR factorisation, and its gain.
"""

import torch
from torch import nn


class Orthogonal(nn.Module):
    """Weights that a network proposes, made orthonormal, applied, and their Lipschitz constant."""

    def forward(self, proposed, x):
        Q, R = torch.linalg.qr(proposed)
        # Signs as an algorithm's taste has them: those for which R has a positive diagonal.
        Q = Q * torch.sign(R.diagonal(dim1=-2, dim2=-1))[..., None, :]
        return x @ Q, torch.linalg.svdvals(proposed).amax(-1)


def example(generator, batch=2, dtype=torch.float32, rows=16, cols=8):
    """The model and inputs for it."""
    proposed = torch.randn(batch, rows, cols, generator=generator, dtype=dtype)
    return Orthogonal(), (proposed, torch.randn(batch, 3, rows, generator=generator, dtype=dtype))
