"""Least squares that ``torch.export`` takes, as it does not take ``torch.linalg.lstsq``."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class LeastSquares(NamedTuple):
    """Solutions (..., n, k), and ``residuals`` (..., k), ‖B - A X‖² of each column."""

    solution: Tensor
    residuals: Tensor


def lstsq(A: Tensor, B: Tensor) -> LeastSquares:
    """Least squares solutions of A X = B; those of least norm where A has more columns than rows.

    Through ``torch.linalg.qr``, not the normal equations, whose condition is squared. With
    ``onnx_translation_table`` it exports to ONNX, which ``torch.linalg.lstsq`` does not.

    Parameters
    ----------
    A : (..., m, n) Tensor
        of full rank, as the driver ``gels`` of ``torch.linalg.lstsq`` takes for granted
    B : (..., m, k) Tensor

    Returns
    -------
    LeastSquares
        no finite numbers where a number on R's diagonal is 0; of a numerically rank-deficient A
        the solution is of no meaning: ``pinv`` decides on ranks

    Raises
    ------
    ValueError
        for shapes that do not match

    Notes
    -----
    Cost: 2 m n² multiplications or so. The gradient is that of PyTorch's functions.

    References
    ----------
    Golub 1965, "Numerical methods for solving linear least squares problems", Numer. Math. 7.

    Examples
    --------
    >>> import torch
    >>> from deepmatrixinversion.torch import lstsq
    >>> A = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    >>> lstsq(A, torch.tensor([[1.0], [3.0], [5.0]])).solution.mul(100).round().mT
    tensor([[100., 200.]])
    """
    if A.dim() < 2 or B.dim() < 2 or A.shape[-2] != B.shape[-2]:
        shapes = f"{tuple(A.shape)} and {tuple(B.shape)}"
        raise ValueError(f"A and B must be matrices with as many rows, not of shapes {shapes}")
    if A.shape[-2] >= A.shape[-1]:
        Q, R = torch.linalg.qr(A)
        X = torch.linalg.solve_triangular(R, Q.mH @ B, upper=True)
    else:
        Q, R = torch.linalg.qr(A.mH)
        X = Q @ torch.linalg.solve_triangular(R.mH, B, upper=False)
    return LeastSquares(X, (B - A @ X).abs().square().sum(dim=-2))
