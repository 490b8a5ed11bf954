"""K-FAC's preconditioned gradient of a layer
=============================================

Two damped covariances, inverted.

Martens & Grosse 2015, "Optimizing neural networks with Kronecker-factored approximate curvature",
section 6.3.
"""

import torch
from torch import nn


class Preconditioner(nn.Module):
    """Activations, output gradients and a weight's gradient to the step."""

    def __init__(self, damping: float = 1e-2) -> None:
        super().__init__()
        self.damping = damping

    def _inverse(self, samples, damping):
        n = samples.shape[-1]
        S = samples.mT @ samples / samples.shape[-2]
        factor = torch.linalg.cholesky(S + damping * torch.eye(n, dtype=samples.dtype))
        return torch.cholesky_inverse(factor)

    def forward(self, activations, gradients, weight_gradient):
        a = (activations**2).sum((1, 2)) / activations.shape[2]
        g = (gradients**2).sum((1, 2)) / gradients.shape[2]
        split = (a / g).sqrt()[:, None, None]
        root = self.damping**0.5
        A = self._inverse(activations, split * root)
        G = self._inverse(gradients, root / split)
        return G @ weight_gradient @ A


def example(generator, batch=2, dtype=torch.float32, inputs=24, outputs=16):
    """The model and inputs for it."""
    a = torch.randn(batch, 50, inputs, generator=generator, dtype=dtype)
    g = 0.1 * torch.randn(batch, 50, outputs, generator=generator, dtype=dtype)
    w = torch.randn(batch, outputs, inputs, generator=generator, dtype=dtype)
    return Preconditioner(), (a, g, w)
