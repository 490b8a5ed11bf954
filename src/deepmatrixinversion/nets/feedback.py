"""The residual-feedback network: each block sees A, X and R = I - A X and proposes the next X."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepmatrixinversion.models.config import NetConfig
from deepmatrixinversion.nets.trajectory import Trajectory, frobenius, identity_like, normalised


class Block(nn.Module):
    """Proposes a direction Z in which to correct X (3 matrix products).

    Z = c0 X + X (c1 R + c2 R²) + ‖X‖F D R, where the coefficients c and the matrix D come from a
    gated layer over the normalised (A, X, R). The last layer starts at zero with c = (0, 1, 1),
    so an untrained block proposes the step of the third-order iteration X (I + R + R²).
    """

    def __init__(self, order: int, units: int) -> None:
        super().__init__()
        self.order = order
        self.gate = nn.Linear(3 * order * order + 2, 2 * units)
        self.proposal = nn.Linear(units, order * order + 3)
        nn.init.zeros_(self.proposal.weight)
        nn.init.zeros_(self.proposal.bias)
        with torch.no_grad():
            self.proposal.bias[-2:] = 1.0

    def forward(self, A: Tensor, X: Tensor, R: Tensor, XR: Tensor, norm_R: Tensor) -> Tensor:
        n = self.order
        norm_X = frobenius(X)
        features = torch.cat(
            [
                (math.sqrt(n) * A).flatten(1),
                (n / norm_X * X).flatten(1),
                (n / norm_R * R).flatten(1),
                torch.log(norm_X).flatten(1),
                torch.log(norm_R).flatten(1),
            ],
            dim=1,
        )
        gate, value = self.gate(features).chunk(2, dim=1)
        proposal = self.proposal(functional.silu(gate) * value)
        D = proposal[:, : n * n].reshape(-1, n, n)
        c = proposal[:, n * n :].reshape(-1, 3, 1, 1)
        return c[:, 0] * X + c[:, 1] * XR + c[:, 2] * (XR @ R) + norm_X * (D @ R)


class Feedback(nn.Module):
    """Residual-feedback network of fixed order n.

    Starts from X = Aᵀ/‖A‖F² and applies ``nlayers`` blocks with weights of their own. Each
    block's direction Z is followed as far as the residual shrinks: the step
    t = ⟨R, AZ⟩ / ‖AZ‖F² minimises ‖R - t AZ‖F (the minimal residual step of Chow & Saad, 1998,
    eq. 2.6). Where one singular value is far below the others, R has rank one near enough and
    that t, however large, removes it in one step. A step that rounding turns into an increase is
    dropped, so the network never ends worse than it began.

    Cost: 1 + 5 ``nlayers`` matrix products of order n, plus the dense layers.
    """

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.order = config.msize
        self.blocks = nn.ModuleList(
            Block(config.msize, config.nunits) for _ in range(config.nlayers)
        )

    def _steps(self, A: Tensor):
        """Yield (X, ‖R‖F) at the start and after each block, for ‖A‖F = 1."""
        identity = identity_like(A)
        X = A.mT
        R = identity - A @ X
        norm_R = frobenius(R)
        yield X, norm_R
        for block in self.blocks:
            XR = X @ R
            Z = block(A, X, R, XR, norm_R)
            V, W = A @ XR, A @ Z
            v = frobenius(V) ** 2
            b = (V * W).sum((-2, -1), keepdim=True) / v
            w = frobenius(W) ** 2
            W, Z = W - b * V, Z - b * XR
            t = (R * W).sum((-2, -1), keepdim=True) / (frobenius(W) ** 2 + 1e-10 * w)
            s = (R * V).sum((-2, -1), keepdim=True) / v
            next_X = X + s * XR + t * Z
            next_R = identity - A @ next_X
            next_norm = frobenius(next_R)
            accept = next_norm < norm_R
            X = torch.where(accept, next_X, X)
            R = torch.where(accept, next_R, R)
            norm_R = torch.where(accept, next_norm, norm_R)
            yield X, norm_R

    def trajectory(self, A: Tensor) -> Trajectory:
        """Start and result of every block, for A of shape (batch, n, n)."""
        A, scale = normalised(A)
        steps = list(self._steps(A))
        return Trajectory([X / scale for X, _ in steps], [r.flatten() for _, r in steps])

    def forward(self, A: Tensor) -> Tensor:
        """The last, and best, candidate inverse of each matrix of A, shape (batch, n, n)."""
        A, scale = normalised(A)
        *_, (X, _) = self._steps(A)
        return X / scale
