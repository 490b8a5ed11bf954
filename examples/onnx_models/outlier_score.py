"""Outlier scores
=================

Mahalanobis distances to class means
under a shared covariance that need not have full rank.

Lee et al. 2018, "A simple unified framework for detecting out-of-distribution samples", eq. 2.
"""

import torch
from torch import nn


class Score(nn.Module):
    """Training features, class means and queries to the distance from the nearest class."""

    def forward(self, features, means, query):
        centred = features - features.mean(1, keepdim=True)
        covariance = centred.mT @ centred / features.shape[1]
        precision = torch.linalg.pinv(covariance, hermitian=True, rtol=1e-4)
        off = query[:, :, None] - means[:, None]
        distances = ((off @ precision[:, None]) * off).sum(-1)
        return distances.amin(-1)


def example(generator, batch=2, dtype=torch.float32, width=12):
    """The model and inputs for it: features in a subspace of dimension 8."""
    basis = torch.randn(batch, 8, width, generator=generator, dtype=dtype)

    def drawn(count):
        return torch.randn(batch, count, 8, generator=generator, dtype=dtype) @ basis

    return Score(), (drawn(60), drawn(4), drawn(10))
