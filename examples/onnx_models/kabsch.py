"""Kabsch's alignment of two point sets
=======================================

The best rotation by a 3x3 singular value decomposition.

Kabsch 1976, "A solution for the best rotation to relate two sets of vectors", Acta Cryst. A32.
"""

import torch
from torch import nn


class Alignment(nn.Module):
    """Rotation and shift that take the first set to the second, and what is left."""

    def forward(self, p, q):
        p_mean, q_mean = p.mean(1, keepdim=True), q.mean(1, keepdim=True)
        U, _, Vh = torch.linalg.svd((p - p_mean).mT @ (q - q_mean))
        handed = torch.sign(torch.linalg.det(U @ Vh))
        flip = torch.stack([torch.ones_like(handed), torch.ones_like(handed), handed], -1)
        R = (U * flip[:, None, :]) @ Vh
        moved = (p - p_mean) @ R + q_mean
        return R, ((moved - q) ** 2).sum(-1).mean(-1).sqrt()


def example(generator, batch=2, dtype=torch.float32, points=20):
    """The model and inputs for it: a turned, shifted and noisy copy."""
    p = torch.randn(batch, points, 3, generator=generator, dtype=dtype)
    turn = torch.linalg.qr(torch.randn(batch, 3, 3, generator=generator, dtype=dtype))[0]
    turn = turn * torch.linalg.det(turn)[:, None, None]
    noise = 0.05 * torch.randn(batch, points, 3, generator=generator, dtype=dtype)
    return Alignment(), (p, p @ turn + 1 + noise)
