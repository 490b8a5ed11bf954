"""The size-agnostic network: minimal residual polynomials with learned foresight."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepmatrixinversion.linalg.polynomial import (
    MATRICES,
    SPECTRA,
    Space,
    corrected,
    greedy,
    polynomial,
    scaled,
)
from deepmatrixinversion.models.config import NetConfig
from deepmatrixinversion.nets.normalisation import normalised
from deepmatrixinversion.nets.trajectory import Trajectory
from deepmatrixinversion.spectral.advice import (
    ANSWERS,
    BLOCKS,
    SEEN,
    Look,
    foresee,
    lift,
    look,
)
from deepmatrixinversion.spectral.start import curved, start, symmetric

CONVERGED = 1e-9

BUDGETS = 24
"""Products up to which training looks at the residuals."""

OPEN_DEGREE = 10
"""Degree up to which training follows the last step."""

GRAPH_DEGREE = 6
"""Degree of the graph's last step."""

EXPLORED = 0.05
"""Share of the weight in training that the paths have which the network does not choose."""


class Spectral(nn.Module):
    """Contracts the residual by polynomials of R that a network chooses from traces.

    Starts from X = Aᵀ/‖A‖F², or I/‖A‖F where A is symmetric positive definite, at its best scale.
    Blocks of four products and degree five (``spectral.advice``) follow, until the network says
    that a last, open-ended minimal residual step will do. Its weights at zero, the blocks are
    greedy.

    It is trained on spectra: every residual is a function of the singular values of A alone, so a
    step of training costs O(n) a matrix where the matrices themselves would cost O(n³).

    Cost of ``forward``, which has no way to leave early: 1 product for the first residual, 4 for
    each block, 6 for the last step, and 1 for each residual after those, which it measures.
    """

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        units = config.nunits
        self.units = units
        self.gate = nn.ModuleList(nn.Linear(s + units, 2 * units) for s in SEEN * BLOCKS)
        self.mix = nn.ModuleList(nn.Linear(units, units) for _ in SEEN * BLOCKS)
        self.out = nn.ModuleList(nn.Linear(units, answers) for answers in ANSWERS * BLOCKS)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def _block(
        self, block: int, R: Tensor, one: Tensor, hidden: Tensor, space: Space
    ) -> tuple[Look, Look, list[Tensor], Tensor, Tensor]:
        """The block's fit of degree two and of five, corrections, when to open, hidden state."""
        weights = {k: v.to(R.dtype) for k, v in self.named_parameters()}
        eps = float(torch.finfo(R.dtype).eps)
        low = look(one, R, space, eps)
        high, hidden = lift(weights, block, low, hidden, space, torch, eps)
        before = space.norm(low.fit.remainder)
        moves, opens, hidden = foresee(weights, block, high, before, hidden, space, torch)
        return low, high, moves, opens, hidden

    def trajectory(self, A: Tensor) -> Trajectory:
        """Residuals after 1, 2, ..., 24 products, from the singular values of A alone.

        When the last step begins is a choice, which has no gradient. Every path is followed, and
        the residuals are the geometric mean over the paths, weighted by how much the network tends
        to each.
        """
        with torch.no_grad():
            sigma = torch.linalg.svdvals(A.double())
            eigenvalues = sigma**2 / (sigma**2).sum(dim=1, keepdim=True).clip(1e-300)
        one = torch.ones_like(eigenvalues)
        _, R = scaled(one, 1.0 - eigenvalues, SPECTRA)
        first = R
        hidden = R.new_zeros(len(R), self.units)
        alive = R.norm(dim=1) > CONVERGED

        def log_norm(R: Tensor) -> Tensor:
            return torch.where(alive, SPECTRA.norm(R)[:, 0], CONVERGED).log()

        logs = [log_norm(R)]
        undecided, total = torch.ones_like(logs[0]), torch.zeros(())
        for block in range(BLOCKS):
            low, high, moves, opens, hidden = self._block(block, R, one, hidden, SPECTRA)
            logs += [logs[-1], log_norm(low.fit.remainder), log_norm(low.fit.remainder)]
            _, R = corrected(high.fit, moves, SPECTRA)
            alive = alive & (R.norm(dim=1) > CONVERGED)
            logs.append(log_norm(R))
            # What has converged teaches nothing more, and the fit of a residual of rounding errors
            # has no gradient: it goes on from where it started, unseen.
            R = torch.where(alive.unsqueeze(1), R, first)
            opening = greedy(R, one, SPECTRA, OPEN_DEGREE, float(torch.finfo(R.dtype).eps))
            path = [*logs, *(log_norm(fit.remainder) for _, fit in opening)]
            path = torch.stack([*path, *[path[-1]] * BUDGETS][:BUDGETS])
            share = torch.sigmoid(opens) if block < BLOCKS - 1 else torch.ones_like(opens)
            weight = (1 - EXPLORED) * undecided * share + EXPLORED / BLOCKS
            total = total + weight * path
            undecided = undecided * (1 - share)
        return Trajectory([], list(total.exp().unbind()))

    def forward(self, A: Tensor) -> Tensor:
        """The candidate inverse of each matrix of A, shape (batch, n, n), any n."""
        A, scale = normalised(A)
        one = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
        X, R = start(A, symmetric(A, one, torch) & curved(A, torch), one, torch)
        best, smallest = X, MATRICES.norm(R)
        hidden = torch.zeros(A.shape[0], self.units, dtype=A.dtype, device=A.device)
        opened = torch.zeros_like(smallest)
        for block in range(BLOCKS + 1):
            if block < BLOCKS:
                _, seen, moves, opens, hidden = self._block(block, R, one, hidden, MATRICES)
                # Where the last step would begin, there is nothing to look ahead to.
                steps, _ = corrected(seen.fit, [(1 - opened) * m for m in moves], MATRICES)
                opened = torch.maximum(opened, (opens > 0).to(A.dtype).reshape(-1, 1, 1))
                c, known = polynomial(seen.fit, steps), seen.known
            else:
                *_, (known, fit) = greedy(
                    R, one, MATRICES, GRAPH_DEGREE, float(torch.finfo(R.dtype).eps)
                )
                c = polynomial(fit, fit.coefficients)
            X = X @ sum(value * M for value, M in zip(c, known, strict=False))
            # Measured, not predicted: in float32 the two drift apart within a few blocks.
            R = one - A @ X
            norm = MATRICES.norm(R)
            better = norm < smallest
            best, smallest = torch.where(better, X, best), torch.where(better, norm, smallest)
        return best / scale
