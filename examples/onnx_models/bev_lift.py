"""BEVDet's lift
================

Frustum points of several cameras into the car's frame, by inverse intrinsics.

Huang et al. 2021, "BEVDet: High-performance multi-camera 3D object detection in bird-eye-view".
"""

import torch
from torch import nn


class Lift(nn.Module):
    """Undoes the image augmentation, the camera matrix and the camera's pose."""

    def __init__(self, depths: int = 4, height: int = 3, width: int = 5) -> None:
        super().__init__()
        d = torch.linspace(1, 60, depths)[:, None, None].expand(depths, height, width)
        x = torch.linspace(0, 703, width)[None, None].expand_as(d)
        y = torch.linspace(0, 255, height)[None, :, None].expand_as(d)
        self.register_buffer("frustum", torch.stack([x, y, d], -1).reshape(-1, 3))

    def forward(self, pose, intrinsics, augmentation, shift):
        points = self.frustum.to(pose.dtype) - shift[:, :, None]
        points = (torch.inverse(augmentation)[:, :, None] @ points[..., None]).squeeze(-1)
        points = torch.cat([points[..., :2] * points[..., 2:], points[..., 2:]], -1)
        combined = pose[..., :3, :3] @ torch.inverse(intrinsics)
        points = (combined[:, :, None] @ points[..., None]).squeeze(-1)
        return points + pose[:, :, None, :3, 3]


def example(generator, batch=2, dtype=torch.float32, cameras=6):
    """The model and inputs for it: six cameras a car."""
    pose = torch.eye(4, dtype=dtype).repeat(batch, cameras, 1, 1)
    turn = torch.randn(batch, cameras, 3, 3, generator=generator, dtype=dtype)
    pose[..., :3, :3] = torch.linalg.qr(turn)[0]
    pose[..., :3, 3] = torch.randn(batch, cameras, 3, generator=generator, dtype=dtype)
    intrinsics = torch.tensor([[560.0, 0, 352], [0, 560, 128], [0, 0, 1]], dtype=dtype)
    spread = torch.rand(batch, cameras, 1, 1, generator=generator, dtype=dtype)
    intrinsics = intrinsics * (1 + 0.1 * spread)
    angle = 0.2 * torch.randn(batch, cameras, generator=generator, dtype=dtype)
    augmentation = torch.eye(3, dtype=dtype).repeat(batch, cameras, 1, 1)
    augmentation[..., 0, 0] = augmentation[..., 1, 1] = 0.5 * angle.cos()
    augmentation[..., 0, 1] = -0.5 * angle.sin()
    augmentation[..., 1, 0] = 0.5 * angle.sin()
    shift = torch.randn(batch, cameras, 3, generator=generator, dtype=dtype)
    return Lift(), (pose, intrinsics, augmentation, shift)
