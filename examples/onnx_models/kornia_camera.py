"""Kornia's pinhole camera
==========================

Depth images to points in the world, by its own inverses.
"""

import kornia
import torch
from torch import nn


class Unprojection(nn.Module):
    """Pixels and their depths to world coordinates, as ``PinholeCamera.unproject`` has them."""

    def forward(self, pixels, depth, intrinsics, extrinsics):
        size = intrinsics[:, 0, 0]
        height, width = torch.full_like(size, 480), torch.full_like(size, 640)
        camera = kornia.geometry.camera.PinholeCamera(intrinsics, extrinsics, height, width)
        return camera.unproject(pixels, depth)


def example(generator, batch=2, dtype=torch.float32):
    """The model and inputs for it: a camera of 640 x 480 pixels."""
    K = torch.eye(4, dtype=dtype)
    K[:3, :3] = torch.tensor([[525.0, 0, 319.5], [0, 525, 239.5], [0, 0, 1]], dtype=dtype)
    T = torch.eye(4, dtype=dtype).repeat(batch, 1, 1)
    random = torch.randn(batch, 3, 3, generator=generator, dtype=dtype)
    T[:, :3, :3] = torch.linalg.qr(random)[0]
    T[:, :3, 3] = 5 * torch.randn(batch, 3, generator=generator, dtype=dtype)
    size = torch.tensor([640, 480], dtype=dtype)
    pixels = size * torch.rand(batch, 20, 2, generator=generator, dtype=dtype)
    depth = 1 + 4 * torch.rand(batch, 20, 1, generator=generator, dtype=dtype)
    return Unprojection(), (pixels, depth, K.repeat(batch, 1, 1), T)
