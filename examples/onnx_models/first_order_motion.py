"""The first order motion model
===============================

Sparse motions by inverse 2x2 Jacobians at keypoints.

Siarohin et al. 2019, "First order motion model for image animation", eq. 4.
"""

import torch
from torch import nn


class SparseMotion(nn.Module):
    """A grid of the driving frame into the source frame, once for each keypoint."""

    def __init__(self, size: int = 8) -> None:
        super().__init__()
        axis = torch.linspace(-1, 1, size)
        self.register_buffer("grid", torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1))

    def forward(self, source, driving, source_jacobian, driving_jacobian):
        grid = self.grid.to(source.dtype)
        offsets = grid - driving[:, :, None, None]
        jacobian = source_jacobian @ torch.inverse(driving_jacobian)
        moved = (jacobian[:, :, None, None] @ offsets[..., None]).squeeze(-1)
        return moved + source[:, :, None, None]


def example(generator, batch=2, dtype=torch.float32, keypoints=10):
    """The model and inputs for it."""
    source, driving = torch.randn(2, batch, keypoints, 2, generator=generator, dtype=dtype)
    noise = 0.4 * torch.randn(2, batch, keypoints, 2, 2, generator=generator, dtype=dtype)
    first, second = torch.eye(2, dtype=dtype) + noise
    return SparseMotion(), (source, driving, first, second)
