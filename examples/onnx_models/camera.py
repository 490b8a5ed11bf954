"""Camera poses
===============

Depth images to points in the world: inverts 3x3 intrinsics and 4x4 poses.
"""

import torch
from torch import nn


class Unprojection(nn.Module):
    """Pixels and their depths to world coordinates."""

    def forward(self, pixels, depth, intrinsics, extrinsics):
        ones = torch.ones_like(pixels[..., :1])
        rays = torch.cat([pixels, ones], -1) @ intrinsics.inverse().mT
        points = torch.cat([depth[..., None] * rays, ones], -1)
        return (points @ torch.linalg.inv(extrinsics).mT)[..., :3]


def example(generator, batch=2, dtype=torch.float32):
    """The model and inputs for it: a camera of 640 x 480 pixels."""
    K = torch.tensor([[525.0, 0, 319.5], [0, 525, 239.5], [0, 0, 1]], dtype=dtype)
    T = torch.zeros(batch, 4, 4, dtype=dtype)
    random = torch.randn(batch, 3, 3, generator=generator, dtype=dtype)
    T[:, :3, :3] = torch.linalg.qr(random)[0]
    T[:, :3, 3] = 5 * torch.randn(batch, 3, generator=generator, dtype=dtype)
    T[:, 3, 3] = 1
    size = torch.tensor([640, 480], dtype=dtype)
    pixels = size * torch.rand(batch, 20, 2, generator=generator, dtype=dtype)
    depth = 1 + 4 * torch.rand(batch, 20, generator=generator, dtype=dtype)
    return Unprojection(), (pixels, depth, K.repeat(batch, 1, 1), T)
