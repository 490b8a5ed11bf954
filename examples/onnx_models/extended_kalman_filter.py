"""An extended Kalman filter for a vehicle seen by radar
========================================================

Three steps, gains by Cholesky factors.
"""

import torch
from torch import nn


class Filter(nn.Module):
    """Positions and velocities in the plane from ranges and bearings."""

    def __init__(self, dt: float = 0.1) -> None:
        super().__init__()
        F = torch.eye(4)
        F[0, 2] = F[1, 3] = dt
        self.register_buffer("F", F)
        self.register_buffer("Q", 1e-2 * torch.eye(4))
        self.register_buffer("R", torch.diag(torch.tensor([0.1, 0.01])))

    def forward(self, x, P, measured):
        F, Q, R = (t.to(x.dtype) for t in (self.F, self.Q, self.R))
        for step in range(measured.shape[1]):
            x = x @ F.mT
            P = F @ P @ F.mT + Q
            px, py = x[:, 0], x[:, 1]
            r = (px * px + py * py).sqrt()
            zero = torch.zeros_like(r)
            rows = [px / r, py / r, zero, zero, -py / r**2, px / r**2, zero, zero]
            H = torch.stack(rows, -1).reshape(-1, 2, 4)
            off = measured[:, step] - torch.stack([r, torch.atan2(py, px)], -1)
            factor = torch.linalg.cholesky(H @ P @ H.mT + R)
            gain = torch.cholesky_solve(H @ P, factor).mT
            x = x + (gain @ off[..., None]).squeeze(-1)
            P = P - gain @ H @ P
        return x, P


def example(generator, batch=2, dtype=torch.float32):
    """The model and inputs for it."""
    x = torch.randn(batch, 4, generator=generator, dtype=dtype) + 5
    root = torch.randn(batch, 4, 4, generator=generator, dtype=dtype)
    noise = 0.1 * torch.randn(batch, 3, 2, generator=generator, dtype=dtype)
    polar = torch.stack([x[:, :2].norm(dim=-1), torch.atan2(x[:, 1], x[:, 0])], -1)
    return Filter(), (x, root @ root.mT / 4 + torch.eye(4, dtype=dtype), polar[:, None] + noise)
