"""The size-agnostic network: minimal residual polynomials with learned foresight."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepmatrixinversion.linalg.polynomial import (
    MATRICES,
    SPECTRA,
    Space,
    corrected,
    polynomial,
    scaled,
)
from deepmatrixinversion.models.config import NetConfig
from deepmatrixinversion.nets.normalisation import normalised
from deepmatrixinversion.nets.trajectory import Trajectory
from deepmatrixinversion.spectral.advice import (
    ANSWERS,
    BLOCK_PRODUCTS,
    BLOCKS,
    SEEN,
    Look,
    choose,
    foresee,
    lift,
    look,
)
from deepmatrixinversion.spectral.opening import steps as opening
from deepmatrixinversion.spectral.plan import LAYERS
from deepmatrixinversion.spectral.start import curved, start, symmetric

CONVERGED = 1e-9

BUDGETS = 32
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
    Blocks of five products and degree nine (``spectral.advice``) follow, until the network says
    that a last, open-ended minimal residual step will do. All blocks share their weights. These at
    zero, the blocks are greedy.

    It is trained on spectra: every residual is a function of the eigenvalues of A Aᵀ alone, or of
    A where it is definite, so a step of training costs O(n) a matrix where the matrices themselves
    would cost O(n³).

    Cost of ``forward``, which has no way to leave early: 1 product for the first residual, 5 for
    each block, 6 for the last step, and 1 for each residual after those, which it measures.
    """

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        units = config.nunits
        self.units = units
        self.gate = nn.ModuleList(nn.Linear(s + units, 2 * units) for s in SEEN)
        self.mix = nn.ModuleList(nn.Linear(units, units) for _ in SEEN)
        self.out = nn.ModuleList(nn.Linear(units, answers) for answers in ANSWERS)
        # Fitted after the training (training.plan): until then all go the network's way.
        self.plan = nn.ModuleList(nn.Linear(*widths) for widths in LAYERS.values())
        self.plan.requires_grad_(False)
        for parameter in (*self.out.parameters(), *self.plan.parameters()):
            nn.init.zeros_(parameter)

    def _block(
        self, R: Tensor, one: Tensor, hidden: Tensor, space: Space
    ) -> tuple[Look, Look, list[Tensor], Tensor, Tensor]:
        """The block's fit of degree two and of nine, corrections, when to open, hidden state."""
        weights = {k: v.to(R.dtype) for k, v in self.named_parameters()}
        eps = float(torch.finfo(R.dtype).eps)
        low = look(one, R, space, eps)
        choice, opens, hidden = choose(weights, low, hidden, space, torch)
        high = lift(choice, low, space, eps)
        before = space.norm(low.fit.remainder)
        moves, hidden = foresee(weights, high, before, hidden, space, torch)
        return low, high, moves, opens, hidden

    def trajectory(self, A: Tensor) -> Trajectory:
        """Residuals after 1, 2, ..., 32 products, from the eigenvalues alone.

        When the last step begins is a choice, which has no gradient. Every path is followed, and
        the residuals are the geometric mean over the paths, weighted by how much the network tends
        to each.
        """
        with torch.no_grad():
            eigenvalues = _spectrum(A.double())
        one = torch.ones_like(eigenvalues)
        _, R = scaled(one, 1.0 - eigenvalues, SPECTRA)
        first = R
        hidden = R.new_zeros(len(R), self.units)
        alive = R.norm(dim=1) > CONVERGED

        def log_norm(R: Tensor) -> Tensor:
            return torch.where(alive, SPECTRA.norm(R)[:, 0], CONVERGED).log()

        logs = [log_norm(R)]
        undecided, total = torch.ones_like(logs[0]), torch.zeros(())
        for block in range(BLOCKS + 1):
            last = block == BLOCKS
            degree = min(OPEN_DEGREE, BUDGETS - len(logs))
            ways = opening(R, one, SPECTRA, float(torch.finfo(R.dtype).eps), degree)
            path = [*logs, *(log_norm(way.remainder) for way in ways)]
            path = torch.stack([*path, *[path[-1]] * BUDGETS][:BUDGETS])
            weight = (1 - EXPLORED) * undecided
            if last:
                total = total + (weight + EXPLORED / (BLOCKS + 1)) * path
                break
            low, high, moves, opens, hidden = self._block(R, one, hidden, SPECTRA)
            share = torch.sigmoid(opens)
            total = total + (weight * share + EXPLORED / (BLOCKS + 1)) * path
            undecided = undecided * (1 - share)
            logs += [logs[-1], *[log_norm(low.fit.remainder)] * (BLOCK_PRODUCTS - 2)]
            _, R = corrected(high.fit, moves, SPECTRA)
            alive = alive & (R.norm(dim=1) > CONVERGED)
            logs.append(log_norm(R))
            # What has converged teaches nothing more, and the fit of a residual of rounding errors
            # has no gradient: it goes on from where it started, unseen.
            R = torch.where(alive.unsqueeze(1), R, first)
        return Trajectory([], list(total.exp().unbind()))

    def forward(self, A: Tensor) -> Tensor:
        """The candidate inverse of each matrix of A, shape (batch, n, n), any n."""
        A, scale = normalised(A)
        one = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
        eps = float(torch.finfo(A.dtype).eps)
        X, R = start(A, symmetric(A, one, eps, torch) & curved(A, torch), one, torch)
        best, smallest = X, MATRICES.norm(R)
        hidden = torch.zeros(A.shape[0], self.units, dtype=A.dtype, device=A.device)
        opened = torch.zeros_like(smallest)
        for block in range(BLOCKS + 1):
            if block < BLOCKS:
                _, seen, moves, opens, hidden = self._block(R, one, hidden, MATRICES)
                # Where the last step would begin, there is nothing to look ahead to.
                opened = torch.maximum(opened, (opens > 0).to(A.dtype).reshape(-1, 1, 1))
                taken, _ = corrected(seen.fit, [(1 - opened) * m for m in moves], MATRICES)
                c = polynomial(seen.fit, taken)
                p = sum(value * M for value, M in zip(c, seen.known, strict=True))
            else:
                *_, last = opening(R, one, MATRICES, eps, GRAPH_DEGREE)
                p = last.polynomial(one)
            X = X @ p
            # Measured, not predicted: in float32 the two drift apart within a few blocks.
            R = one - A @ X
            norm = MATRICES.norm(R)
            better = norm < smallest
            best, smallest = torch.where(better, X, best), torch.where(better, norm, smallest)
        return best / scale


def _spectrum(A: Tensor) -> Tensor:
    """Eigenvalues of A X at the start: of A where it is symmetric definite, else of A Aᵀ."""
    one = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
    size = MATRICES.norm(A)
    definite = symmetric(A, one, float(torch.finfo(torch.float32).eps), torch) & curved(A, torch)
    M = torch.where(definite, A / size, (A / size) @ (A / size).mT)
    return torch.linalg.eigvalsh(M).clip(0.0)
