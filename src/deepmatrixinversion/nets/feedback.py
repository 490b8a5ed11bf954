"""The residual-feedback network: each block sees the residual R = I - A X and corrects X.

Inside, stacks of matrices are (n, n, batch): see ``algebra``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepmatrixinversion.models.config import NetConfig
from deepmatrixinversion.models.weights import FEEDBACK_DEGREE
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

MEASURED = 4
"""Most directions of the measured step."""
ROUNDING = 1e-7
"""Relative error of a product in float32."""
TINY = 1e-30


class Foresight(nn.Module):
    """Moves a block's coefficients off the greedy ones, towards what ends best.

    A gated layer sees invariants of the residual alone: its norm, what the greedy step leaves of
    it, its trace, the greedy coefficients and the moments tr(Uʲ Uᵏᵀ). So the network commutes with
    orthogonal transformations, and costs less than a matrix product. The last layer starts at zero:
    an untrained block is greedy.
    """

    def __init__(self, degree: int, units: int) -> None:
        super().__init__()
        self.gate = nn.Linear(3 * degree + 1, 2 * units)
        self.out = nn.Linear(units, degree)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, powers: list[Tensor], coefficients: list[Tensor], norm: Tensor, left: Tensor
    ) -> list[Tensor]:
        degree, n = len(coefficients), powers[0].shape[0]
        # tr(Uʲ (Uᵏ)ᵀ) for j + k = 3, 4, ..., 2 degree, of the two powers nearest to half.
        moments = [inner(powers[m // 2], powers[m - m // 2]) for m in range(3, 2 * degree + 1)]
        features = [
            torch.log(norm),
            torch.log(left.clamp_min(1e-12)),
            inner(powers[0], powers[1]) / math.sqrt(n),
            *coefficients,
            *moments,
        ]
        gate, value = columns(self.gate, torch.cat([f.flatten(0, 1) for f in features])).chunk(2)
        out = columns(self.out, functional.silu(gate) * value)
        return [out[i].reshape(1, 1, -1) for i in range(degree)]


def polynomial_step(
    X: Tensor, U: Tensor, norm: Tensor, foresight: Foresight, degree: int
) -> Tensor:
    """The step S = X p(U) that leaves of R = ‖R‖F U what ``foresight`` wants left.

    As A X Uʲ = (I - R) Uʲ = Uʲ - ‖R‖F Uʲ⁺¹, the images of the directions X Uʲ are known from the
    powers of U alone. They are orthogonalised in the Frobenius inner product (modified
    Gram-Schmidt, Björck 1996, section 2.4), so that the p that leaves least of U takes one inner
    product a coefficient. Powers are taken of U = R/‖R‖F, that nothing underflows as R vanishes.

    Cost: ``degree`` matrix products.
    """
    powers = [identity_like(U), U]
    for _ in range(degree - 1):
        powers.append(product(powers[-1], U))
    basis: list[tuple[Tensor, list[Tensor]]] = []
    coefficients, remainder = [], U
    for j in range(degree):
        W = powers[j] - norm * powers[j + 1]
        noise = max(j, 1) * ROUNDING * frobenius(powers[j])
        row = [torch.zeros_like(norm)] * j + [torch.ones_like(norm)]
        for Q, known in basis:
            b = inner(Q, W)
            W = W - b * Q
            row = [r - b * k for r, k in zip(row, known, strict=False)] + row[len(known) :]
        size = frobenius(W)
        Q, row = W / size, [r / size for r in row]
        # What is left of an image may be mostly the rounding of its powers, which knows nothing of
        # A X Uʲ: its coefficient shrinks by signal over signal and noise (Wiener 1949).
        ratio = noise / size
        t = inner(Q, remainder) / (1 + ratio * ratio)
        remainder = remainder - t * Q
        coefficients.append(t)
        basis.append((Q, row))
    left = frobenius(remainder)
    moves = foresight(powers, coefficients, norm, left)
    steps = [t - left * m for t, m in zip(coefficients, moves, strict=True)]
    p = torch.zeros_like(U)
    for j in range(degree):
        p = p + sum(steps[i] * basis[i][1][j] for i in range(j, degree)) * powers[j]
    return product(X, p)


def measured_step(A: Tensor, X: Tensor, U: Tensor, directions: int) -> Tensor:
    """The best step S in the preconditioned Krylov space of U: global GMRES (Jbilou et al. 1999).

    Each direction is X times what the ones before have left of U, and its image under A is
    computed, not inferred from powers: the coefficients then belong to the directions as they are,
    rounding included, and removing a small singular value can take large ones.

    The coefficients are constants to the gradient: they are where ‖U - A S‖F is stationary, so
    they do not contribute to its derivative (envelope theorem), and the quotients' own derivatives
    overflow where an image is all but in the span of the others.

    References: Chow & Saad (1998), "Approximate inverse preconditioners via sparse-sparse
    iterations", section 2; Jbilou, Messaoudi & Sadok (1999), "Global FOM and GMRES algorithms for
    matrix equations".

    Cost: two matrix products for each direction.
    """
    step, V = torch.zeros_like(U), U
    basis: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(directions):
        Z = product(X, V)
        W = product(A, Z)
        floor = 1e-10 * inner(W, W)
        for other_Z, other_W, size in basis:
            b = (inner(other_W, W) / size).detach()
            Z, W = Z - b * other_Z, W - b * other_W
        size = (inner(W, W) + floor).clamp_min(TINY)
        t = (inner(V, W) / size).detach()
        step, V = step + t * Z, V - t * W
        basis.append((Z, W, size))
    return step


def improves(norm: Tensor, before: Tensor) -> Tensor:
    """The guard: where a step is taken. NaN is no improvement."""
    return norm < before


class Feedback(nn.Module):
    """Residual-feedback network of fixed order n.

    Starts from X = Aᵀ/‖A‖F² and corrects X in ``nlayers`` blocks and a last one. The blocks are
    polynomial steps of degree min(n - 1, 5): the directions of hyperpower iterations, with
    coefficients fitted to the matrix at hand instead of fixed ones, and moved by ``Foresight``,
    with weights of its own for every block. The last block has no weights: it measures the images
    of min(n, 4) directions, which takes twice the products but is as exact as float32 can be.

    A step that rounding turns into an increase is dropped, so the network never ends worse than
    it began.

    Cost: ``nlayers`` (min(n - 1, 5) + 1) + 2 min(n, 4) + 2 matrix products of order n.
    """

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.degree = max(1, min(config.msize - 1, FEEDBACK_DEGREE))
        self.directions = min(config.msize, MEASURED)
        self.foresight = nn.ModuleList(
            Foresight(self.degree, config.nunits) for _ in range(config.nlayers)
        )

    @property
    def products(self) -> int:
        """Matrix products of order n that an answer takes."""
        return len(self.foresight) * (self.degree + 1) + 2 * self.directions + 2

    def _steps(self, A: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (X, ‖R‖F) at the start and after each block, for ‖A‖F = 1, batch last."""
        identity = identity_like(A)
        X = A.transpose(0, 1)
        R = identity - product(A, X)
        norm = frobenius(R)
        yield X, norm
        for foresight in [*self.foresight, None]:
            U = R / norm
            if foresight is None:
                step = measured_step(A, X, U, self.directions)
            else:
                step = polynomial_step(X, U, norm, foresight, self.degree)
            next_X = X + norm * step
            next_R = identity - product(A, next_X)
            next_norm = frobenius(next_R)
            accept = improves(next_norm, norm)
            X = torch.where(accept, next_X, X)
            R = torch.where(accept, next_R, R)
            norm = torch.where(accept, next_norm, norm)
            yield X, norm

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
