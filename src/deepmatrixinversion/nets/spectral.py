"""The size-agnostic network: minimal residual polynomials with learned foresight."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from deepmatrixinversion.linalg.polynomial import (
    MATRICES,
    SPECTRA,
    Space,
    begin,
    corrected,
    extend,
    polynomial,
)
from deepmatrixinversion.models.advice import DEGREES, FEATURES, advise, features
from deepmatrixinversion.models.config import NetConfig
from deepmatrixinversion.nets.normalisation import normalised
from deepmatrixinversion.nets.trajectory import Trajectory

CONVERGED = 1e-9


class Spectral(nn.Module):
    """Proposes coefficients of minimal residual polynomials from traces of powers of R.

    Starts from X = Aᵀ/‖A‖F² and takes one step of each degree in ``DEGREES``; a small network
    (``models.advice``) moves the coefficients off the greedy least-squares ones. Untrained it *is*
    the greedy iteration.

    It is trained on spectra: every residual is a function of the singular values of A alone, so a
    step of training costs O(n) a matrix where the matrices themselves would cost O(n³).

    Cost: 1 product for the first residual and 19 for the steps; ``forward`` measures the residual
    after each block as well, for which it takes 5 more.
    """

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        units = config.nunits
        self.units = units
        self.gate = nn.ModuleList(nn.Linear(FEATURES + units, 2 * units) for _ in DEGREES)
        self.mix = nn.ModuleList(nn.Linear(units, units) for _ in DEGREES)
        self.out = nn.ModuleList(nn.Linear(units, degree) for degree in DEGREES)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def _step(
        self, block: int, R: Tensor, identity: Tensor, hidden: Any, space: Space
    ) -> tuple[list[Any], list[Tensor], Any, Any]:
        """Coefficients of the block's polynomial, powers of R, predicted next R, hidden state."""
        weights = dict(self.named_parameters())
        dtype = weights["gate.0.weight"].dtype
        if hidden is None:
            hidden = torch.zeros(R.shape[0], self.units, dtype=dtype, device=R.device)
        degree = DEGREES[block]
        powers, fit = [identity, R], begin(R)
        for _ in range(degree):
            fit = extend(fit, R, powers, space, float(torch.finfo(R.dtype).eps))
            if len(fit.basis) < degree:
                powers.append(space.product(powers[-1], R))
        f = features(powers, fit, space, torch).to(dtype)
        out, hidden = advise(weights, block, f, hidden, torch)
        out = out.to(R.dtype)
        moves = [out[:, i].reshape(-1, *[1] * (R.ndim - 1)) for i in range(degree)]
        steps, next_R = corrected(fit, moves, space)
        return polynomial(fit, steps), powers, next_R, hidden

    def trajectory(self, A: Tensor) -> Trajectory:
        """Residuals at the start and after each block, from the singular values of A alone."""
        with torch.no_grad():
            sigma = torch.linalg.svdvals(A.double())
            eigenvalues = sigma**2 / (sigma**2).sum(dim=1, keepdim=True).clamp_min(1e-300)
        start = R = 1.0 - eigenvalues
        residuals, hidden = [R.norm(dim=1)], None
        alive = residuals[0] > CONVERGED
        for block in range(len(DEGREES)):
            _, _, R, hidden = self._step(block, R, torch.ones_like(R), hidden, SPECTRA)
            norm = R.norm(dim=1)
            alive = alive & (norm > CONVERGED)
            residuals.append(torch.where(alive, norm, CONVERGED))
            # What has converged teaches nothing more, and the fit of a residual of rounding errors
            # has no gradient: it goes on from where it started, unseen.
            R = torch.where(alive.unsqueeze(1), R, start)
        return Trajectory([], residuals)

    def forward(self, A: Tensor) -> Tensor:
        """The candidate inverse of each matrix of A, shape (batch, n, n), any n."""
        A, scale = normalised(A)
        identity = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
        X = A.mT
        R = identity - A @ X
        best, smallest = X, _norm(R)
        hidden = None
        for block in range(len(DEGREES)):
            c, powers, _, hidden = self._step(block, R, identity, hidden, MATRICES)
            X = X @ sum(c[j] * powers[j] for j in range(len(c)))
            # Measured, not predicted: in float32 the two drift apart within a few blocks.
            R = identity - A @ X
            norm = _norm(R)
            better = norm < smallest
            best, smallest = torch.where(better, X, best), torch.where(better, norm, smallest)
        return best / scale


def _norm(R: Tensor) -> Tensor:
    return torch.sqrt((R * R).sum(dim=(-2, -1), keepdim=True))
