"""The iterations of `linalg` on tensors: scaling around them, layouts, and autocast kept off.

The number of steps is fixed beforehand and nothing branches on data, so that torch.compile,
torch.export, torch.vmap and the ONNX exporter trace these functions; no LAPACK routine is called.
"""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor

from deepmatrixinversion.linalg import balance, minimal_residual, purification
from deepmatrixinversion.linalg.algebra import Algebra
from deepmatrixinversion.linalg.polynomial import MATRICES, Arrays, Space
from deepmatrixinversion.nets.algebra import ELEMENTWISE_ORDER

ENTRIES = Arrays(lambda M, N: (M.unsqueeze(2) * N.unsqueeze(0)).sum(dim=1), (0, 1))
"""Each entry of all matrices side by side, (n, n, ...): see ``nets.algebra``."""


def full_precision(A: Tensor) -> contextlib.AbstractContextManager:
    """Keep autocast from rounding the factors of a product: a residual would be nothing else."""
    kind = A.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return contextlib.nullcontext()


def algebra(A: Tensor, order: int, space: Space = MATRICES) -> Algebra:
    """For matrices of this order, of A's dtype, device and number of axes."""
    one = torch.eye(order, dtype=A.dtype, device=A.device)
    if space is ENTRIES:
        one = one.reshape(order, order, *[1] * (A.dim() - 2))

    def plus(x: Tensor, tiny: float) -> Tensor:
        return (x * (1 / tiny) + 1) / (1 / tiny)  # the ONNX exporter takes x + 1e-12 for x

    eps = torch.finfo(A.dtype).eps
    return Algebra(order, eps, one, torch.where, space, plus, Tensor.detach)


def _floor_power(x: Tensor) -> Tensor:
    """A power of two about as large as x > 0, and 1 for 0; constant to the gradient."""
    x = torch.where(x > 0, x, torch.ones_like(x)).detach()
    return torch.exp2(torch.floor(torch.log2(x)))


POWERS = balance.Powers(_floor_power, lambda x, axis: x.amax(dim=axis, keepdim=True))


def scaled(A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`linalg.balance.scaled`."""
    return balance.scaled(POWERS, A, MATRICES.norm)


def equilibrated(A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`linalg.balance.equilibrated`, also of matrices without entries."""
    if not A.shape[-1]:
        return A, torch.ones_like(A[..., :1]), torch.ones_like(A[..., :1, :])
    return balance.equilibrated(POWERS, A)


def minimal_residual_inverse(A: Tensor, blocks: int) -> Tensor:
    """Approximate inverses by ``blocks`` minimal residual steps from A^T (``linalg``).

    Parameters
    ----------
    A : (..., n, n) Tensor
        float32 or float64, of any scale and order; NaN and infinity spoil only their own matrix
    blocks : int
        see `linalg.minimal_residual.blocks_for`

    Returns
    -------
    (..., n, n) Tensor
        of A's dtype, 0 for A = 0. For singular A finite, with a residual ‖I - A X‖F of about 1 or
        more. Never a larger residual than A^T's, which is below √n.

    Notes
    -----
    Cost: 1 + 5 ``blocks`` matrix products, and about 40 passes over n² entries a block.

    The steps are differentiable with the coefficients and the scale held constant. That gradient is
    right where X has converged; `deepmatrixinversion.torch.inv` has the implicit one, which is
    cheaper.
    """
    n = A.shape[-1]
    if n == 0:
        return A.clone()
    if n == 1:
        return torch.where(A == 0, A, 1 / torch.where(A == 0, torch.ones_like(A), A))
    with full_precision(A):
        S, c, d = scaled(A)
        if n <= ELEMENTWISE_ORDER:
            S = S.movedim((-2, -1), (0, 1)).contiguous()
            a = algebra(S, n, ENTRIES)
            X = minimal_residual.minimal_residual(a, S, S.transpose(0, 1), blocks)
            X = X.movedim((0, 1), (-2, -1))
        else:
            X = minimal_residual.minimal_residual(algebra(S, n), S, S.mT, blocks)
        return X / d / c


def newton_schulz(A: Tensor, X: Tensor, steps: int) -> Tensor:
    """Approximate inverses (..., n, n) refined by `linalg.minimal_residual.newton_schulz`."""
    with full_precision(A):
        return minimal_residual.newton_schulz(algebra(A, A.shape[-1]), A, X, steps)


def smallest_rtol(dtype: torch.dtype) -> float:
    """The smallest ``rtol`` that rounding allows `pseudo_inverse`."""
    return purification.smallest_rtol(torch.finfo(dtype).eps)


def pseudo_inverse(A: Tensor, rtol: float | None = None) -> Tensor:
    """Moore-Penrose inverses with singular values below about ``rtol`` ‖A‖2 taken as zero.

    Parameters
    ----------
    A : (..., m, n) Tensor
        float32 or float64, of any rank
    rtol : float
        at least 8 √(2 eps), which is the default (1.7e-7 in float64, 3.9e-3 in float32)

    Returns
    -------
    (..., n, m) Tensor

    Raises
    ------
    ValueError
        if ``rtol`` is not in [8 √(2 eps), 1)

    Notes
    -----
    The rank is decided by the matrix: a gap is needed. Singular values of at least rtol ‖A‖2 are
    inverted, those below 0.4 rtol ‖A‖2 dropped, and in between an answer is partly one and partly
    the other.
    """
    smallest = smallest_rtol(A.dtype)
    rtol = smallest if rtol is None else rtol
    if not smallest <= rtol < 1:
        raise ValueError(
            f"rtol must be at least {smallest:.2g} in {A.dtype} and below 1, not {rtol}"
        )
    if 0 in A.shape[-2:]:
        return A.mT.clone()
    if A.shape[-2] > A.shape[-1]:
        return pseudo_inverse(A.mT, rtol).mT
    with full_precision(A):
        S, c, d = scaled(A)
        return purification.pseudo_inverse(algebra(A, A.shape[-2]), S, rtol) / d / c
