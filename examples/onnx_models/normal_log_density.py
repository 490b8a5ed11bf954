"""Multivariate normal densities
================================

The log-density of torch.distributions' multivariate normal under a network's covariance.
"""

import torch
from torch import nn
from torch.distributions import MultivariateNormal


class Density(nn.Module):
    """Log-densities of x under N(mean, covariance), and of the covariance's determinant."""

    def forward(self, x, mean, covariance):
        normal = MultivariateNormal(mean, covariance, validate_args=False)
        return normal.log_prob(x), torch.logdet(covariance)


def example(generator, batch=2, dtype=torch.float32, order=12):
    """The model and inputs for it."""
    x, mean = torch.randn(2, batch, order, generator=generator, dtype=dtype)
    root = torch.randn(batch, order, 2 * order, generator=generator, dtype=dtype)
    return Density(), (x, mean, root @ root.mT / (2 * order))
