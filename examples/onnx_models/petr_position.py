"""PETR's position embedding
============================

Pixels times depths into 3-D by inverse projections, then a network.

Liu et al. 2022, "PETR: Position embedding transformation for multi-view 3D object detection".
"""

import torch
from torch import nn


class PositionEmbedding(nn.Module):
    """Image to lidar coordinates through a 4x4 inverse for each camera, then two 1x1 layers."""

    def __init__(self, depths: int = 8, width: int = 32) -> None:
        super().__init__()
        self.register_buffer("depths", 1 + 60 * torch.linspace(0, 1, depths) ** 2)
        grid = torch.stack(torch.meshgrid(torch.arange(4.0), torch.arange(3.0), indexing="xy"), -1)
        self.register_buffer("pixels", 160 * grid.reshape(-1, 2))
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("first", torch.randn(3 * depths, width, generator=generator) / 8)
        self.register_buffer("second", torch.randn(width, width, generator=generator) / 8)

    def forward(self, lidar_to_image):
        dtype = lidar_to_image.dtype
        pixels, depths = self.pixels.to(dtype), self.depths.to(dtype)
        scaled = pixels[:, None] * depths[None, :, None]
        ones = torch.ones_like(depths).expand(len(pixels), -1)
        rays = torch.stack([scaled[..., 0], scaled[..., 1], depths.expand_as(ones), ones], -1)
        inverse = torch.linalg.inv(lidar_to_image)
        points = (inverse[:, :, None, None] @ rays[..., None]).squeeze(-1)[..., :3]
        span = torch.tensor([122.4, 122.4, 20.0], dtype=dtype)
        features = torch.sigmoid(points / span).flatten(-2)
        return torch.relu(features @ self.first.to(dtype)) @ self.second.to(dtype)


def example(generator, batch=2, dtype=torch.float32, cameras=6):
    """The model and inputs for it."""
    pose = torch.eye(4, dtype=dtype).repeat(batch, cameras, 1, 1)
    turn = torch.randn(batch, cameras, 3, 3, generator=generator, dtype=dtype)
    pose[..., :3, :3] = torch.linalg.qr(turn)[0]
    pose[..., :3, 3] = torch.randn(batch, cameras, 3, generator=generator, dtype=dtype)
    camera = torch.eye(4, dtype=dtype)
    camera[0, 0] = camera[1, 1] = 560
    camera[0, 2], camera[1, 2] = 320, 240
    return PositionEmbedding(), (camera @ pose,)
