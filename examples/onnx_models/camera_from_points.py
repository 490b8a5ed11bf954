"""The pose of a camera from points in space
============================================

A 12x12 null vector, then the nearest rotation.

Hartley & Zisserman 2003, "Multiple view geometry in computer vision", section 7.1; as in the
linear stage of perspective-n-point solvers.
"""

import torch
from torch import nn


class Resection(nn.Module):
    """Points and their normalised images to rotation and translation."""

    def forward(self, points, images):
        one = torch.ones_like(points[..., :1])
        X = torch.cat([points, one], -1)
        zero = torch.zeros_like(X)
        u, v = images[..., :1], images[..., 1:]
        M = torch.cat([torch.cat([X, zero, -u * X], -1), torch.cat([zero, X, -v * X], -1)], 1)
        _, vectors = torch.linalg.eigh(M.mT @ M)
        P = vectors[..., 0].reshape(-1, 3, 4)
        # The sign for which points lie in front of the camera, then the nearest rotation.
        depth = (X @ P[:, 2, :, None]).mean(1)
        P = P * torch.sign(depth)[..., None]
        U, s, Vh = torch.linalg.svd(P[..., :3])
        return U @ Vh, P[..., 3] / s.mean(-1, keepdim=True)


def example(generator, batch=2, dtype=torch.float32, points=16):
    """The model and inputs for it."""
    p = torch.randn(batch, points, 3, generator=generator, dtype=dtype)
    turn = torch.linalg.qr(torch.randn(batch, 3, 3, generator=generator, dtype=dtype))[0]
    turn = turn * torch.linalg.det(turn)[:, None, None]
    seen = p @ turn.mT + torch.tensor([0.1, -0.2, 6.0], dtype=dtype)
    return Resection(), (p, seen[..., :2] / seen[..., 2:])
