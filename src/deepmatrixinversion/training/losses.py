"""What a training minimises, as a function of a network's trajectory on a batch A.

Let X be the last candidate, R = I - A X its residual, and the batch mean be written E.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from deepmatrixinversion.nets.trajectory import Trajectory

RESIDUAL_FLOOR = 1e-6
INNER_WEIGHT = 0.1
REACHED, SOFTNESS, FAR_WEIGHT = 1e-3, 1.5, 0.02


Loss = Callable[..., Tensor]
"""Of a trajectory, its matrices A and, where there is one, what their inverses are to be."""


def frobenius(trajectory: Trajectory, A: Tensor, target: Tensor | None = None) -> Tensor:
    """E ‖I - A X‖F, the published system's loss, on A itself: no inverse is ever computed."""
    return trajectory.residuals[-1].mean()


def log_residual(trajectory: Trajectory, A: Tensor, target: Tensor | None = None) -> Tensor:
    """E log(‖R‖F + 1e-6) of the last candidate, plus 0.1 times that of each one before it.

    Matrices near singularity make ‖R‖F heavy-tailed, and they dominate its mean. The logarithm
    gives every decade of every matrix the same weight; the floor ends the reward where float32
    rounding takes over. The start, which no weight can change, is left out.
    """
    logs = [torch.log(r + RESIDUAL_FLOOR).mean() for r in trajectory.residuals]
    return logs[-1] + INNER_WEIGHT * sum(logs[1:-1], torch.zeros_like(logs[-1]))


def products(trajectory: Trajectory, A: Tensor, target: Tensor | None = None) -> Tensor:
    """E of the number of candidates with ‖R‖F > 1e-3, softly counted, plus 0.02 sum log ‖R‖F.

    Where each candidate has cost a product more than the last, as those of ``spectral`` have, it
    is the mean number of products to 1e-3. A candidate counts sigmoid(log(‖R‖F / 1e-3) / 1.5): one
    within a decade of the threshold counts in part. The logarithms, floored at 1e-6, keep those
    moving that are far from it.
    """
    logs = torch.log(torch.stack(trajectory.residuals).clip(RESIDUAL_FLOOR))
    count = torch.sigmoid((logs - math.log(REACHED)) / SOFTNESS)
    return (count + FAR_WEIGHT * logs).sum(dim=0).mean()


def mse(trajectory: Trajectory, A: Tensor, target: Tensor | None = None) -> Tensor:
    """E of the mean square of ‖A‖F (X - A⁻¹): needs A⁻¹, the target where one is given."""
    return (_scaled_error(trajectory, A, target) ** 2).mean()


def mae(trajectory: Trajectory, A: Tensor, target: Tensor | None = None) -> Tensor:
    """E of the mean of |‖A‖F (X - A⁻¹)|: needs A⁻¹, the target where one is given."""
    return _scaled_error(trajectory, A, target).abs().mean()


def _scaled_error(trajectory: Trajectory, A: Tensor, target: Tensor | None) -> Tensor:
    # The norm makes the error independent of A's scale, as the networks are.
    exact = torch.linalg.inv_ex(A.double()).inverse if target is None else target
    norm = torch.linalg.matrix_norm(A).reshape(-1, 1, 1)
    return norm * (trajectory.candidates[-1] - exact.to(A.dtype))


LOSSES: dict[str, Loss] = {
    "frobenius": frobenius,
    "log_residual": log_residual,
    "products": products,
    "mse": mse,
    "mae": mae,
}
