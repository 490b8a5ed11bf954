"""Determinantal point processes
================================

How likely subsets of items are, by log-determinants.

Kulesza & Taskar 2012, "Determinantal point processes for machine learning", eq. 15.
"""

import torch
from torch import nn


class LogLikelihood(nn.Module):
    """Features of all items and of a subset to the subset's log-likelihood."""

    def forward(self, items, subset):
        identity = torch.eye(items.shape[1], dtype=items.dtype)
        chosen = subset @ subset.mT + 1e-2 * torch.eye(subset.shape[1], dtype=items.dtype)
        all_of_them = identity + items @ items.mT
        return torch.linalg.slogdet(chosen)[1] - torch.logdet(all_of_them)


def example(generator, batch=2, dtype=torch.float32, items=20):
    """The model and inputs for it."""
    features = torch.randn(batch, items, 12, generator=generator, dtype=dtype)
    return LogLikelihood(), (features, features[:, :6].contiguous())
