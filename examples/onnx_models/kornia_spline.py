"""Kornia's thin-plate spline
=============================

Fits 16 pairs of control points, by a 19x19 system, and warps.
"""

import torch
from kornia.geometry.transform import get_tps_transform, warp_points_tps
from torch import nn


class Warp(nn.Module):
    """Moves points as the smoothest map does that takes each source to its target."""

    def forward(self, source, target, points):
        weights, affine = get_tps_transform(source, target)
        return warp_points_tps(points, source, weights, affine)


def example(generator, batch=2, dtype=torch.float32):
    """The model and inputs for it: a grid of 4 x 4 control points."""
    axis = torch.linspace(-1, 1, 4, dtype=dtype)
    grid = torch.cartesian_prod(axis, axis).repeat(batch, 1, 1)
    target = grid + 0.1 * torch.randn(batch, 16, 2, generator=generator, dtype=dtype)
    points = 2 * torch.rand(batch, 30, 2, generator=generator, dtype=dtype) - 1
    return Warp(), (grid, target, points)
