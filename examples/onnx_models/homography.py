"""The direct linear transform
==============================

A homography as the null vector of a 9x9 matrix.

Hartley & Zisserman 2003, "Multiple view geometry in computer vision", algorithm 4.1.
"""

import torch
from torch import nn


class Homography(nn.Module):
    """Pairs of points to H with H[2, 2] = 1."""

    def forward(self, p, q):
        x, y, u, v = p[..., 0], p[..., 1], q[..., 0], q[..., 1]
        one, zero = torch.ones_like(x), torch.zeros_like(x)
        first = torch.stack([-x, -y, -one, zero, zero, zero, u * x, u * y, u], -1)
        second = torch.stack([zero, zero, zero, -x, -y, -one, v * x, v * y, v], -1)
        M = torch.cat([first, second], 1)
        _, _, Vh = torch.linalg.svd(M.mT @ M)
        h = Vh[:, -1]
        return (h / h[:, 8:]).reshape(-1, 3, 3)


def example(generator, batch=2, dtype=torch.float32, points=12):
    """The model and inputs for it: points under a homography near the identity."""
    p = 2 * torch.rand(batch, points, 2, generator=generator, dtype=dtype) - 1
    H = torch.eye(3, dtype=dtype) + 0.2 * torch.randn(batch, 3, 3, generator=generator, dtype=dtype)
    H[:, 2, 2] = 1
    H[:, 2, :2] *= 0.3
    image = torch.cat([p, torch.ones_like(p[..., :1])], -1) @ H.mT
    return Homography(), (p, image[..., :2] / image[..., 2:])
