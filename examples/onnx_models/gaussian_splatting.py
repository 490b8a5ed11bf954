"""3-D Gaussian splatting
=========================

Ellipsoids projected onto the screen, and their weight at a pixel.

Kerbl et al. 2023, "3D Gaussian splatting for real-time radiance field rendering", eqs. 5 and 6.
"""

import torch
from torch import nn


class Splat(nn.Module):
    """Means, covariances and opacities to the weight and the extent of each splat."""

    def forward(self, mean, root, opacity, pixel):
        x, y, z = mean[..., 0], mean[..., 1], mean[..., 2]
        zero = torch.zeros_like(z)
        J = torch.stack([1 / z, zero, -x / z**2, zero, 1 / z, -y / z**2], -1)
        J = J.reshape(*z.shape, 2, 3)
        covariance = J @ (root @ root.mT) @ J.mT + 3e-3 * torch.eye(2, dtype=mean.dtype)
        conic = torch.linalg.inv(covariance)
        off = (pixel[:, None] - mean[..., :2] / z[..., None])[..., None]
        power = -0.5 * (off.mT @ conic @ off).squeeze(-1).squeeze(-1)
        middle = 0.5 * (covariance[..., 0, 0] + covariance[..., 1, 1])
        spread = (middle**2 - torch.linalg.det(covariance)).clamp(min=1e-9)
        return opacity * power.exp(), 3 * (middle + spread.sqrt()).sqrt()


def example(generator, batch=2, dtype=torch.float32, splats=30):
    """The model and inputs for it."""
    mean = 0.3 * torch.randn(batch, splats, 3, generator=generator, dtype=dtype)
    mean = mean + torch.tensor([0.0, 0, 3], dtype=dtype)
    root = 0.2 * torch.randn(batch, splats, 3, 3, generator=generator, dtype=dtype)
    opacity = torch.rand(batch, splats, generator=generator, dtype=dtype)
    pixel = 0.05 * torch.randn(batch, 2, generator=generator, dtype=dtype)
    return Splat(), (mean, root, opacity, pixel)
