"""Inverses of any order from matrix products and elementwise operations alone, in torch.

The number of steps is fixed beforehand and nothing branches on data, so that torch.compile,
torch.export, torch.vmap and the ONNX exporter trace these functions; no LAPACK routine is called.
"""

from __future__ import annotations

import contextlib
import math

import torch
from torch import Tensor

from deepmatrixinversion.nets.algebra import ELEMENTWISE_ORDER

DEGREE = 3
"""Powers of R that a block combines. Normal entries, n = 32, share with a residual of 1 or more
after 21 products: 1.5 % with 2 powers, 0.3 % with 2 and X itself, 0.05 % with 3 and X. More
directions (R, A^T R, the step before) measured no gain."""


def full_precision(A: Tensor) -> contextlib.AbstractContextManager:
    """Keep autocast from rounding the factors of a product: a residual would be nothing else."""
    kind = A.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return contextlib.nullcontext()


def _floor_power(x: Tensor) -> Tensor:
    """A power of two about as large as x > 0, and 1 for 0; constant to the gradient."""
    x = torch.where(x > 0, x, torch.ones_like(x)).detach()
    return torch.exp2(torch.floor(torch.log2(x)))


def frobenius_norm(M: Tensor, dims: tuple[int, int]) -> Tensor:
    """‖M‖F over two axes, which are kept with length one, with a finite gradient at zero."""
    # The floor keeps the gradient finite at zero; it is below the square of any norm met here. A
    # sum would do the same here, but the ONNX exporter's optimizer takes x + 1e-37 for x.
    return torch.sqrt((M * M).sum(dim=dims, keepdim=True).clamp(min=1e-37))


def scaled(A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``(S, c, d)`` with A = c d S exactly, c and d powers of two and ‖S‖F in [1/2, 1).

    Two factors, since their product may leave the range of A's dtype. S = 0 for A = 0.
    """
    c = _floor_power(A.abs().amax(dim=(-2, -1), keepdim=True))
    S = A / c
    d = 2 * _floor_power(frobenius_norm(S, (-2, -1)))
    return S / d, c, d


def equilibrated(A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``(S, r, c)`` with A = r S c^T exactly, r and c (..., n, 1) and (..., 1, n) powers of two.

    The largest entries of all rows and columns of S lie within a factor of about two of one another
    (Ruiz 2001); zero lines stay. Constant to the gradient.
    """
    modulus = A.detach().abs()
    r = torch.ones_like(modulus[..., :1])
    c = torch.ones_like(modulus[..., :1, :])
    for _ in range(SWEEPS if A.shape[-1] else 0):
        by_row = _floor_power(modulus.amax(dim=-1, keepdim=True).sqrt())
        by_column = _floor_power(modulus.amax(dim=-2, keepdim=True).sqrt())
        modulus = modulus / by_row / by_column
        r, c = r * by_row, c * by_column
    return A / r / c, r, c


SWEEPS = 5
"""Each leaves the square root of the spread of lines: 2^30 is 2 after five."""

NOISE = (1.0, 1000.0)
"""Squares of images, in units of n eps², below which they are damped, in even and odd blocks: a
matrix on which one kind of block fails would stall if all were of that kind. Residuals left at 1 of
100,000 (n = 2) and 50,000 (n = 4) normal float32 matrices: 6 and 14 with 1 alone, 4 and 12 with 16,
1 and 2 with both; of the other orders, no more than a few either way."""


def _coefficients(
    target: Tensor, images: list[Tensor], dims: tuple[int, int], noise: float
) -> list[Tensor]:
    """The c that minimise ‖target - Σ c[i] images[i]‖F, by modified Gram-Schmidt.

    Images are of Frobenius norm up to about 1. What of one the others do not span counts for
    nothing where it is as small as their rounding errors: the floor damps its coefficient.
    """

    def inner(M: Tensor, N: Tensor) -> Tensor:
        return (M * N).sum(dim=dims, keepdim=True)

    # ‖W‖F² + 1/unit, in other words: the exporter's optimizer would drop a sum with so small a
    # number. A maximum left 5 of 100,000 normal matrices of order 4 with a residual of 1 or more,
    # where the sum left none.
    unit = 1 / (noise * target.shape[dims[0]] * torch.finfo(target.dtype).eps ** 2)
    basis: list[tuple[Tensor, Tensor]] = []
    overlaps: list[list[Tensor]] = []
    c: list[Tensor] = []
    for W in images:
        overlap = []
        for V, size in basis:
            b = inner(V, W) / size
            W = W - b * V
            overlap.append(b)
        size = (inner(W, W) * unit + 1) / unit
        t = inner(target, W) / size
        target = target - t * W
        basis.append((W, size))
        overlaps.append(overlap)
        c.append(t)
    for i in reversed(range(len(c))):
        for j in range(i + 1, len(c)):
            c[i] = c[i] - overlaps[j][i] * c[j]
    return c


def _minimal_residual(S: Tensor, blocks: int, elementwise: bool) -> Tensor:
    """`minimal_residual_inverse` of scaled matrices."""
    if elementwise:
        # Each entry of all matrices side by side: see ``algebra``.
        S = S.movedim((-2, -1), (0, 1)).contiguous()
        dims = (0, 1)

        def product(M: Tensor, N: Tensor) -> Tensor:
            return (M.unsqueeze(2) * N.unsqueeze(0)).sum(dim=1)
    else:
        dims = (-2, -1)

        def product(M: Tensor, N: Tensor) -> Tensor:
            return M @ N

    n = S.shape[dims[0]]
    identity = torch.eye(n, dtype=S.dtype, device=S.device)
    if elementwise:
        identity = identity.reshape(n, n, *[1] * (S.dim() - 2))
    X = S.transpose(*dims)
    R = identity - product(S, X)
    norm = frobenius_norm(R, dims)
    for block in range(blocks):
        # Powers of R/‖R‖F, so that nothing underflows as R vanishes.
        U = [R / norm]
        for k in range(2, DEGREE + 2):
            U.append(product(U[k // 2 - 1], U[k - k // 2 - 1]))
        # A X = I - R: the images under A of X R^k and of X are known without a product.
        images = [U[k] - norm * U[k + 1] for k in range(DEGREE)] + [identity - R]
        # What the Newton-Schulz step of order 4 would leave, R^4, is what is to be minimised: where
        # the images are all rounding noise and damped, that step remains.
        remainder = norm**DEGREE * U[DEGREE]
        # The coefficients are constants to the gradient: ‖R‖F is stationary in them.
        noise = NOISE[block % len(NOISE)]
        c = [t.detach() for t in _coefficients(remainder, images, dims, noise)]
        polynomial = norm * c[DEGREE] * identity
        for k in range(DEGREE):
            polynomial = polynomial + norm * (norm**k + c[k]) * U[k]
        next_X = X + product(X, polynomial)
        next_R = identity - product(S, next_X)
        next_norm = frobenius_norm(next_R, dims)
        accept = next_norm < norm
        X = torch.where(accept, next_X, X)
        R = torch.where(accept, next_R, R)
        norm = torch.where(accept, next_norm, norm)
    return X.movedim((0, 1), (-2, -1)) if elementwise else X


def minimal_residual_inverse(A: Tensor, blocks: int) -> Tensor:
    r"""Approximate inverses by ``blocks`` minimal residual steps from A^T.

    With A scaled to ‖A‖F in [1/2, 1) by powers of two, X0 = A^T and R = I - A X, each block takes

    .. math:: X \leftarrow X (c_0 I + c_1 R + c_2 R^2 + c_3 R^3)

    with the coefficients that make the next residual smallest in the Frobenius norm. Directions in
    which only rounding noise is left are damped towards the Newton-Schulz step of order 4,
    X (I + R + R² + R³). A block that would not shrink the residual is dropped.

    Parameters
    ----------
    A : (..., n, n) Tensor
        float32 or float64, of any scale and order; NaN and infinity spoil only their own matrix
    blocks : int
        see `blocks_for`

    Returns
    -------
    (..., n, n) Tensor
        of A's dtype, 0 for A = 0. For singular A finite, with a residual ‖I - A X‖F of about 1 or
        more. Never a larger residual than A^T's, which is below √n.

    Notes
    -----
    Cost: 1 + 5 ``blocks`` matrix products, and about 40 passes over n² entries a block.

    The steps are differentiable with the coefficients and the scale held constant. That gradient is
    right where X has converged; `deepmatrixinversion.torch` has the implicit one, which is cheaper.

    Measured, see `blocks_for`: on entries of no structure the last small singular values fall one
    a block, however small they are, where Newton-Schulz needs 2 log2 kappa steps.

    References
    ----------
    Ben-Israel & Cohen 1966, "On iterative computation of generalized inverses and associated
    projections", SIAM J. Numer. Anal. 3 (the start); Chow & Saad 1998, "Approximate inverse
    preconditioners via sparse-sparse iterations", SIAM J. Sci. Comput. 19, section 2.1 (minimal
    residual steps).
    """
    n = A.shape[-1]
    if n == 0:
        return A.clone()
    if n == 1:
        return torch.where(A == 0, A, 1 / torch.where(A == 0, torch.ones_like(A), A))
    with full_precision(A):
        S, c, d = scaled(A)
        X = _minimal_residual(S, blocks, n <= ELEMENTWISE_ORDER)
        return X / d / c


def blocks_for(order: int, dtype: torch.dtype = torch.float32) -> int:
    """How many blocks take entries uniform in [-1, 1] or normal to rounding level: 2 + log2 n.

    And one more in float64. Measured on 200,000 (n = 2) to 120 (n = 128) of them, kappa unbounded:
    every residual of 566,000 is below 1 in float64, and all but 8 in float32, whose kappa is 1e4
    to 4e6; LAPACK's residuals of those are below 1. The median is 0.15 to 1 times LAPACK's, and a
    further block changes none of this. Spectra spread over many decades need more: see
    ``docs/pytorch.md``.
    """
    return 2 + math.ceil(math.log2(max(order, 1))) + (dtype == torch.float64)


def newton_schulz(A: Tensor, X: Tensor, steps: int) -> Tensor:
    r"""Refine approximate inverses: X <- X + X R, R = I - A X, ``steps`` times.

    Squares a residual below 1. A step that would not shrink ‖R‖F is dropped.

    Parameters
    ----------
    A, X : (..., n, n) Tensor
        of one dtype, float32 or float64
    steps : int

    Returns
    -------
    (..., n, n) Tensor
        with ‖I - A X‖F no larger than at the start

    Notes
    -----
    Cost: 1 + 2 ``steps`` matrix products.

    References
    ----------
    Schulz 1933, "Iterative Berechnung der reziproken Matrix", ZAMM 13.
    """
    with full_precision(A):
        identity = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
        R = identity - A @ X
        norm = frobenius_norm(R, (-2, -1))
        for _ in range(steps):
            next_X = X + X @ R
            next_R = identity - A @ next_X
            next_norm = frobenius_norm(next_R, (-2, -1))
            accept = next_norm < norm
            X = torch.where(accept, next_X, X)
            R = torch.where(accept, next_R, R)
            norm = torch.where(accept, next_norm, norm)
        return X
