"""Determinants of complex matrices, by elimination in planes."""

from __future__ import annotations

import functools

import torch

from deepmatrixinversion.export.planes.pair import Planes


def eliminated(A: Planes) -> tuple[list[Planes], torch.Tensor]:
    """The pivots (...) of Gaussian elimination with partial pivoting, and 1 or -1 for the rows'
    permutation (...).

    As in `deepmatrixinversion.export.determinant`: rows stay where they are, and a pivot is picked
    by a mask among those not yet used.
    """
    n = A.re.shape[-1]
    index = torch.arange(n)[:, None]
    used = torch.zeros(n, 1, dtype=torch.bool)
    pivots, places = [], []
    for _ in range(n):
        column = A[..., :1]
        place = torch.where(used, -1, abs(column)).argmax(-2, keepdim=True)
        chosen = index == place
        unit = chosen.to(A.re.dtype).mT
        pivot, row = column.each(unit.matmul), A[..., 1:].each(unit.matmul)
        zero = pivot.norm() == 0
        factor = column / Planes(torch.where(zero, 1, pivot.re), pivot.im)
        used = used | chosen
        A = A[..., 1:] - factor.each(torch.masked_fill, used, 0) @ row
        pivots.append(pivot[..., 0, 0])
        places.append(place)
    return pivots, _parity(torch.cat(places, -2).to(A.re.dtype))


def _parity(places: torch.Tensor) -> torch.Tensor:
    """1 for an even permutation (..., n, 1), -1 for an odd one."""
    half = (places < places.mT).to(places.dtype).tril(-1).sum((-2, -1)) / 2
    return 1 - 4 * (half - half.floor())


def det(A: Planes) -> Planes:
    """The determinant."""
    pivots, parity = eliminated(A)
    return functools.reduce(Planes.__mul__, pivots) * parity


def slogdet(A: Planes) -> tuple[Planes, torch.Tensor]:
    """The phase of the determinant, and the logarithm of its magnitude."""
    pivots, parity = eliminated(A)
    sizes = [abs(p) for p in pivots]
    phases = [p.scaled(size) for p, size in zip(pivots, sizes, strict=True)]
    sign = functools.reduce(Planes.__mul__, phases) * parity
    return sign, torch.stack(sizes, -1).log().sum(-1)


def logdet(A: Planes) -> Planes:
    """The logarithm of the determinant."""
    sign, logarithm = slogdet(A)
    return Planes(logarithm, torch.atan2(sign.im, sign.re))
