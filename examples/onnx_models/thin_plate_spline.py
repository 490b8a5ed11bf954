"""Thin-plate spline
====================

Warp through 16 pairs of control points: a 19x19 system, not definite.
"""

import torch
from torch import nn


def radial(x, y):
    """r² log r² of all pairs of points, 0 for r = 0."""
    r2 = ((x[..., :, None, :] - y[..., None, :, :]) ** 2).sum(-1)
    # Not log(r2 + 1e-12): the ONNX exporter's optimizer takes such a sum for r2 itself.
    return r2 * torch.log(r2.clamp(min=1e-12))


class ThinPlateSpline(nn.Module):
    """Moves points as the smoothest map does that takes each source to its target."""

    def forward(self, source, target, points):
        P = torch.cat([torch.ones_like(source[..., :1]), source], -1)
        zero = torch.zeros_like(P[..., :3, :])
        top = torch.cat([radial(source, source), P], -1)
        L = torch.cat([top, torch.cat([P.mT, zero], -1)], -2)
        right = torch.cat([target, torch.zeros_like(target[..., :3, :])], -2)
        coefficients = torch.linalg.solve(L, right)
        Q = torch.cat([torch.ones_like(points[..., :1]), points], -1)
        return torch.cat([radial(points, source), Q], -1) @ coefficients


def example(generator, batch=2, dtype=torch.float32):
    """The model and inputs for it: a grid of 4 x 4 control points."""
    axis = torch.linspace(-1, 1, 4, dtype=dtype)
    grid = torch.cartesian_prod(axis, axis).repeat(batch, 1, 1)
    target = grid + 0.1 * torch.randn(batch, 16, 2, generator=generator, dtype=dtype)
    points = 2 * torch.rand(batch, 30, 2, generator=generator, dtype=dtype) - 1
    return ThinPlateSpline(), (grid, target, points)
