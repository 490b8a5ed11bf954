"""The residual-feedback network: each block sees A, X and R = I - A X and corrects X.

Inside, stacks of matrices are (n, n, batch): see ``algebra``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepmatrixinversion.models.config import NetConfig
from deepmatrixinversion.nets.algebra import (
    batch_first,
    batch_last,
    columns,
    frobenius,
    identity_like,
    inner,
    product,
)
from deepmatrixinversion.nets.normalisation import normalised
from deepmatrixinversion.nets.trajectory import Trajectory


class Proposal(nn.Module):
    """Proposes a direction Z = c X + ‖X‖F D R/‖R‖F in which to correct X (1 matrix product).

    The number c and the matrix D come from a gated layer over the normalised (A, X, R). The last
    layer starts at c = 0, D = I, so an untrained block proposes the direction R of steepest
    descent. (Z = 0 would be no start: only the direction of Z counts, and it has none.)
    """

    def __init__(self, order: int, units: int) -> None:
        super().__init__()
        self.order = order
        self.gate = nn.Linear(3 * order * order + 2, 2 * units)
        self.out = nn.Linear(units, order * order + 1)
        nn.init.zeros_(self.out.weight)
        with torch.no_grad():
            self.out.bias.copy_(torch.cat([torch.eye(order).flatten(), torch.zeros(1)]))

    def forward(self, A: Tensor, X: Tensor, unit_R: Tensor, norm_R: Tensor) -> Tensor:
        n = self.order
        norm_X = frobenius(X)
        features = torch.cat(
            [
                (math.sqrt(n) * A).flatten(0, 1),
                (n / norm_X * X).flatten(0, 1),
                (n * unit_R).flatten(0, 1),
                torch.log(norm_X).flatten(0, 1),
                torch.log(norm_R).flatten(0, 1),
            ]
        )
        gate, value = columns(self.gate, features).chunk(2)
        out = columns(self.out, functional.silu(gate) * value)
        D = out[: n * n].reshape(n, n, -1)
        c = out[n * n :].unsqueeze(0)
        return c * X + norm_X * product(D, unit_R)


def minimal_residual_step(A: Tensor, R: Tensor, directions: list[Tensor]) -> Tensor:
    """The combination S of the directions that minimises ‖R - A S‖F, for ‖R‖F about 1.

    The images A Z are orthogonalised in the Frobenius inner product (modified Gram-Schmidt), so
    that each coefficient is a quotient of two inner products: no system is solved. One direction
    gives the minimal residual step of Chow & Saad (1998, "Approximate inverse preconditioners via
    sparse-sparse iterations", section 2.1).

    The coefficients are constants to the gradient: they are where ‖R - A S‖F is stationary, so
    they do not contribute to its derivative (envelope theorem), and the quotients' own derivatives
    overflow where an image is all but in the span of the others.

    Cost: one matrix product for each direction.
    """
    step = torch.zeros_like(R)
    basis: list[tuple[Tensor, Tensor, Tensor]] = []
    for Z in directions:
        W = product(A, Z)
        # A direction that the earlier ones nearly span leaves only rounding noise behind: the
        # floor keeps its coefficient from amplifying that noise.
        floor = 1e-10 * inner(W, W) + 1e-30
        for other_Z, other_W, size in basis:
            b = (inner(other_W, W) / size).detach()
            Z, W = Z - b * other_Z, W - b * other_W
        size = inner(W, W) + floor
        t = (inner(R, W) / size).detach()
        step, R = step + t * Z, R - t * W
        basis.append((Z, W, size))
    return step


class Feedback(nn.Module):
    """Residual-feedback network of fixed order n.

    Starts from X = Aᵀ/‖A‖F² and applies ``nlayers`` blocks with weights of their own. A block
    corrects X by the combination of X R, X R² and its own proposal Z that makes the next residual
    smallest. The first two are the directions of the third-order iteration X (I + R + R²). With
    the best coefficients they remove at once what a single small singular value has left of the
    residual, however long a step that takes. Training adds Z, which is followed only as far as it
    shrinks the residual.

    A step that rounding turns into an increase is dropped, so the network never ends worse than
    it began.

    Cost: 1 + 7 ``nlayers`` matrix products of order n, plus the dense layers.
    """

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.order = config.msize
        self.proposals = nn.ModuleList(
            Proposal(config.msize, config.nunits) for _ in range(config.nlayers)
        )

    def _steps(self, A: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (X, ‖R‖F) at the start and after each block, for ‖A‖F = 1, batch last."""
        identity = identity_like(A)
        X = A.transpose(0, 1)
        R = identity - product(A, X)
        norm_R = frobenius(R)
        yield X, norm_R
        for propose in self.proposals:
            # Directions are taken from R/‖R‖F, so that nothing underflows as R vanishes.
            unit_R = R / norm_R
            XR = product(X, unit_R)
            Z = propose(A, X, unit_R, norm_R)
            step = minimal_residual_step(A, unit_R, [XR, product(XR, unit_R), Z])
            next_X = X + norm_R * step
            next_R = identity - product(A, next_X)
            next_norm = frobenius(next_R)
            accept = next_norm < norm_R
            X = torch.where(accept, next_X, X)
            R = torch.where(accept, next_R, R)
            norm_R = torch.where(accept, next_norm, norm_R)
            yield X, norm_R

    def trajectory(self, A: Tensor) -> Trajectory:
        """Start and result of every block, for A of shape (batch, n, n)."""
        A, scale = normalised(A)
        steps = list(self._steps(batch_last(A)))
        return Trajectory(
            [batch_first(X) / scale for X, _ in steps], [r.flatten() for _, r in steps]
        )

    def forward(self, A: Tensor) -> Tensor:
        """The last, and best, candidate inverse of each matrix of A, shape (batch, n, n)."""
        A, scale = normalised(A)
        *_, (X, _) = self._steps(batch_last(A))
        return batch_first(X) / scale
