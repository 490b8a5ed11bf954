"""Moore-Penrose inverses from matrix products and elementwise operations alone, in torch.

As in ``iterative``: a fixed number of steps, nothing that branches on data, no LAPACK.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deepmatrixinversion.nets.iterative import frobenius_norm, full_precision, scaled


def default_rtol(dtype: torch.dtype) -> float:
    """The smallest ``rtol`` that rounding allows `pseudo_inverse`: 8 √eps."""
    return 8 * math.sqrt(torch.finfo(dtype).eps)


def scaled_steps(rtol: float) -> list[tuple[float, float]]:
    """(a, b) of the steps X <- X (a I - b A X) that take [rtol², 1] to within 0.1 of 1, or nearer.

    Each is the Chebyshev polynomial of degree 2 on the interval that the steps before have left,
    scaled to 0 at 0 and to deviate least from 1.
    """
    low, high, rest, steps = rtol * rtol, 1.0, 1.0, []
    while rest > 0.1:
        # 1 - T2((high + low - 2 t)/(high - low)) / T2((high + low)/(high - low)), T2 = 2 x² - 1
        rest = 1 / (2 * ((high + low) / (high - low)) ** 2 - 1)
        factor = 8 * rest / (high - low) ** 2
        steps.append((factor * (high + low), factor))
        low, high = 1 - rest, 1 + rest
    return steps


def purifications(dtype: torch.dtype) -> int:
    """Steps X <- X (3 P - 2 P²) after `scaled_steps`, from 0.1 to rounding level."""
    return 6 if dtype == torch.float64 else 5


PROJECTION = 3
"""The purification before which rounding errors of X outside A's row and column space go: products
with A X do not remove them. Nearly there, for X = X A X to hold; not at the end, for what the
projection itself leaves. Earlier, or twice, it diverged where singular values lie near rtol."""


def pseudo_inverse(A: Tensor, rtol: float | None = None) -> Tensor:
    r"""Moore-Penrose inverses with singular values below about ``rtol`` ‖A‖F taken as zero.

    From X0 = A^T / ‖A‖F², whose eigenvalues of A X lie in [0, 1], scaled Newton-Schulz steps
    X <- X (a I - b A X) bring all that start above rtol² towards 1: composed Chebyshev polynomials,
    the best for that interval, each four times as far from 0. Then X <- X (3 P - 2 P²), P = A X,
    sends what lies above 1/2 to 1 and what lies below to 0.

    Parameters
    ----------
    A : (..., m, n) Tensor
        float32 or float64, of any rank
    rtol : float
        at least 8 √eps, which is the default (1.2e-7 in float64, 2.8e-3 in float32): A A^T is
        what the iteration sees, and rounding hides its smaller eigenvalues

    Returns
    -------
    (..., n, m) Tensor

    Raises
    ------
    ValueError
        if ``rtol`` is not in [8 √eps, 1)

    Notes
    -----
    The rank is decided by the matrix: a gap is needed. Singular values of at least rtol ‖A‖F are
    inverted, those below 0.4 rtol ‖A‖F dropped, and in between an answer is partly one and partly
    the other. Note that numpy.linalg.pinv's default is smaller and relative to ‖A‖2.

    Cost: 2 log2(1/rtol) + 21 products or so in float32, 24 in float64, each of s² max(m, n)
    multiplications, s = min(m, n). The number of steps depends on ``rtol`` only.

    References
    ----------
    Ben-Israel & Cohen 1966 (the iteration); Chen & Chow 2014, "A stable scaling of Newton-Schulz
    for improving the sign function computation of a Hermitian matrix", ANL/MCS-P5059 (scaling);
    McWeeny 1960, "Some recent advances in density matrix theory", Rev. Mod. Phys. 32 (3P² - 2P³).
    """
    smallest = default_rtol(A.dtype)
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
        identity = torch.eye(A.shape[-2], dtype=A.dtype, device=A.device)
        norm = frobenius_norm(S, (-2, -1))
        X = S.mT / norm / norm
        for a, b in scaled_steps(rtol):
            X = X @ (a * identity - b * (S @ X))
        for step in range(purifications(A.dtype)):
            if step == PROJECTION:
                # X = X A X = (X A)^T X (A X)^T, and A^T has no parts outside those spaces.
                X = S.mT @ (X.mT @ X @ (S @ X).mT)
            P = S @ X
            X = X @ (3 * P - 2 * P @ P)
        return X / d / c
