"""The functions that stand in for their namesakes in ``torch.linalg``."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from deepmatrixinversion.linalg.minimal_residual import default_blocks
from deepmatrixinversion.linalg.purification import default_rtol
from deepmatrixinversion.torch.gradient import invert, pseudo_invert
from deepmatrixinversion.torch.iterations import full_precision

HALVES = (torch.float16, torch.bfloat16)
DTYPES = (*HALVES, torch.float32, torch.float64, torch.complex64, torch.complex128)


class InverseResult(NamedTuple):
    """Inverses (..., n, n) and ``residual`` (...), ‖I - A X‖F as computed, without gradient."""

    inverse: Tensor
    residual: Tensor


def _checked(A: Tensor, square: bool) -> None:
    if A.dtype not in DTYPES:
        raise ValueError(f"floating-point or complex matrices are needed, not {A.dtype}")
    if A.dim() < 2 or (square and A.shape[-1] != A.shape[-2]):
        kind = "square matrices (..., n, n)" if square else "matrices (..., m, n)"
        raise ValueError(f"{kind} are needed, not shape {tuple(A.shape)}")


def _widened(A: Tensor) -> Tensor:
    """Half precision as float32, the rest as it is."""
    return A.float() if A.dtype in HALVES else A


def _over_reals(function: Callable[[Tensor], Tensor], A: Tensor) -> Tensor:
    """``function`` of [[Re A, -Im A], [Im A, Re A]], which is a complex matrix in real numbers.

    Inverse and pseudo-inverse have that form, too, and their first columns say it all.
    """
    if not A.dtype.is_complex:
        return function(A)
    re, im = A.real, A.imag
    X = function(torch.cat([torch.cat([re, -im], dim=-1), torch.cat([im, re], dim=-1)], dim=-2))
    n, m = A.shape[-1], A.shape[-2]
    return torch.complex(X[..., :n, :m].contiguous(), X[..., n:, :m].contiguous())


def _inverse(A: Tensor, blocks: int | None, refine: int) -> Tensor:
    """Of float32, float64 or complex A."""

    def function(M: Tensor) -> Tensor:
        count = default_blocks(M.shape[-1], M.dtype == torch.float64) if blocks is None else blocks
        return invert(M, count, refine, blocks is None and refine == 0)

    return _over_reals(function, A)


def inv(A: Tensor, *, blocks: int | None = None, refine: int = 0) -> Tensor:
    r"""Inverses by matrix products, with implicit derivatives of all orders.

    Minimal residual steps from A^T, see `linalg.minimal_residual`; on NVIDIA devices, with the
    extra ``cuda``, matrices of order up to 32 by elimination and a correction, see
    `certified_inv`, unless ``blocks`` or ``refine`` are given. Never raises for singular matrices,
    and proves nothing: `inv_ex` tells the residual.

    Parameters
    ----------
    A : (..., n, n) Tensor
        float32, float64, complex64, complex128; float16 and bfloat16 are computed in float32
    blocks : int, optional
        steps, `linalg.minimal_residual.default_blocks` without; a matrix of singular values
        that spread over many decades may need more
    refine : int
        Newton-Schulz steps after that

    Returns
    -------
    (..., n, n) Tensor
        of A's dtype and device; for singular matrices finite, and of no meaning

    Raises
    ------
    ValueError
        for another shape or dtype

    Notes
    -----
    Cost: 1 + 5 ``blocks`` + 2 ``refine`` matrix products, of order 2 n for complex matrices;
    2 for the gradient, -X^T G X^T, and 2 for a forward-mode derivative, -X dA X.

    Examples
    --------
    >>> import torch
    >>> from deepmatrixinversion.torch import inv
    >>> inv(torch.tensor([[2.0, 0.0], [0.0, 4.0]])).mul(100).round().tolist()
    [[50.0, 0.0], [0.0, 25.0]]
    """
    _checked(A, square=True)
    return _inverse(_widened(A), blocks, refine).to(A.dtype)


def inv_ex(A: Tensor, *, blocks: int | None = None, refine: int = 0) -> InverseResult:
    """`inv` with the residual ‖I - A X‖F of each matrix, of the X that is returned.

    A residual below 1 means that A and X are nonsingular and that the relative error
    ‖A^-1 - X‖F / ‖A^-1‖F is at most the residual, up to rounding errors of about
    n eps ‖A‖F ‖X‖F in computing the residual, which may exceed it. That is a measurement and no
    proof. A residual of 1 or more, or NaN, means that there is no inverse here.

    Returns
    -------
    InverseResult
        ``residual`` is real, float32 for half precision, without gradient

    Raises
    ------
    ValueError
        for another shape or dtype

    Notes
    -----
    Cost: one matrix product more than `inv`.

    Examples
    --------
    >>> import torch
    >>> from deepmatrixinversion.torch import inv_ex
    >>> (inv_ex(torch.stack([torch.eye(3), torch.ones(3, 3)])).residual < 1).tolist()
    [True, False]
    """
    _checked(A, square=True)
    X = inv(A, blocks=blocks, refine=refine)
    wide_A, wide_X = _widened(A.detach()), _widened(X.detach())
    with full_precision(wide_A):
        identity = torch.eye(A.shape[-1], dtype=wide_A.dtype, device=A.device)
        R = identity - wide_A @ wide_X
        squares = R.real**2 + R.imag**2 if R.dtype.is_complex else R * R
        return InverseResult(X, squares.sum(dim=(-2, -1)).sqrt())


def solve(A: Tensor, B: Tensor, *, blocks: int | None = None, refine: int = 0) -> Tensor:
    """The solution of A Y = B as X B, X = `inv` (A), with one step of iterative refinement.

    Parameters
    ----------
    A : (..., n, n) Tensor
        see `inv`
    B : (..., n, k) or (n,) or (..., n) Tensor
        matrices whose stacks broadcast against A's; a vector where it has one dimension, or A's
        shape without the last, as in ``torch.linalg.solve``
    blocks, refine : int
        see `inv`

    Returns
    -------
    (..., n, k) or (..., n) Tensor
        of the dtype that A and B promote to

    Raises
    ------
    ValueError
        for another dtype or shapes that do not match

    Notes
    -----
    Cost: `inv` and three products with B. The step Y + X (B - A Y) is taken where it makes
    ‖B - A Y‖F smaller. It is a constant to the gradient, which is that of X B.

    Examples
    --------
    >>> import torch
    >>> from deepmatrixinversion.torch import solve
    >>> solve(torch.tensor([[2.0, 0.0], [0.0, 4.0]]), torch.tensor([1.0, 1.0])).mul(100).round()
    tensor([50., 25.])
    """
    _checked(A, square=True)
    if B.dtype not in DTYPES:
        raise ValueError(f"floating-point or complex right-hand sides are needed, not {B.dtype}")
    vector = B.dim() == 1 or (B.dim() == A.dim() - 1 and B.shape == A.shape[:-1])
    if B.dim() < 1 or B.shape[-1 if vector else -2] != A.shape[-1]:
        shapes = f"{tuple(A.shape)} and {tuple(B.shape)}"
        raise ValueError(f"A and B must have as many rows, not shapes {shapes}")
    dtype = torch.promote_types(A.dtype, B.dtype)
    wide_A, wide_B = _widened(A.to(dtype)), _widened(B.to(dtype))
    if vector:
        wide_B = wide_B.unsqueeze(-1)
    with full_precision(wide_A):
        X = _inverse(wide_A, blocks, refine)
        Y = X @ wide_B
        Y = Y + _correction(wide_A.detach(), X.detach(), wide_B.detach(), Y.detach())
    return (Y.squeeze(-1) if vector else Y).to(dtype)


def _correction(A: Tensor, X: Tensor, B: Tensor, Y: Tensor) -> Tensor:
    """X (B - A Y) where that makes Y better, and 0 where it does not."""
    R = B - A @ Y
    step = X @ R
    after = (R - A @ step).abs().square().sum(dim=(-2, -1), keepdim=True)
    better = after < R.abs().square().sum(dim=(-2, -1), keepdim=True)
    return torch.where(better, step, torch.zeros_like(step))


def pinv(A: Tensor, *, rtol: float | None = None) -> Tensor:
    """Moore-Penrose inverses by matrix products, differentiable where the rank is constant.

    See `linalg.purification`.

    Parameters
    ----------
    A : (..., m, n) Tensor
        see `inv`
    rtol : float, optional
        singular values of at least rtol ‖A‖2 are inverted, those below 0.4 rtol ‖A‖2 dropped: put
        it into a gap between them. By default max(m, n) eps of A's dtype, the rule of this
        package's other pseudo-inverses and of ``torch.linalg.pinv``, but at least 1.7e-7, below
        which rounding hides singular values from an iteration in float64: that is the default for
        float64, and the least for every dtype.

    Returns
    -------
    (..., n, m) Tensor
        of A's dtype and device

    Raises
    ------
    ValueError
        for another shape, dtype, or ``rtol``

    Notes
    -----
    Cost: 2 log2(1/rtol) + 28 matrix products or so, in float64 for every dtype (float32 on devices
    that have no float64, with rtol 3.9e-3 at least), 10 for the gradient.

    References
    ----------
    Golub & Pereyra 1973, "The differentiation of pseudo-inverses and nonlinear least squares
    problems whose variables separate", SIAM J. Numer. Anal. 10.

    Examples
    --------
    >>> import torch
    >>> from deepmatrixinversion.torch import pinv
    >>> pinv(torch.ones(2, 2)).mul(100).round().tolist()
    [[25.0, 25.0], [25.0, 25.0]]
    """
    _checked(A, square=False)
    wide = _widened(A)
    eps = torch.finfo(wide.dtype).eps
    if A.device.type != "mps":
        wide = wide.to(torch.complex128 if A.dtype.is_complex else torch.float64)
    if rtol is None:
        rtol = default_rtol(A.shape[-2], A.shape[-1], eps, torch.finfo(wide.dtype).eps)
    return _over_reals(lambda M: pseudo_invert(M, rtol), wide).to(A.dtype)
