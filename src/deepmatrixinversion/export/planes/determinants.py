"""Determinants of complex matrices, by elimination in planes."""

from __future__ import annotations

import functools
import math

import torch

from deepmatrixinversion.export.planes.pair import Planes

BETWEEN = 32
"""Numbers of magnitude 1 to 3 are multiplied before they are brought there again."""


def eliminated(A: Planes) -> tuple[list[Planes], torch.Tensor, torch.Tensor]:
    """The pivots (...) of Gaussian elimination with partial pivoting, 1 or -1 for the rows'
    permutation (...), and an exponent (...): the determinant is their product times its power of 2.

    Rows stay where they are, and a pivot is picked by a mask among those not yet used. They are
    scaled by powers of two, so that quotients stay in range.
    """
    n = A.re.shape[-1]
    rows = _exponent((A.size() / n).sum(-1, keepdim=True))
    A = A.each(torch.div, torch.exp2(rows))
    index = torch.arange(n)[:, None]
    used = torch.zeros(n, 1, dtype=torch.bool)
    pivots, places = [], []
    for _ in range(n):
        column = A[..., :1]
        place = torch.where(used, -1, abs(column)).argmax(-2, keepdim=True)
        chosen = index == place
        unit = chosen.to(A.re.dtype).mT
        pivot, row = column.each(unit.matmul), A[..., 1:].each(unit.matmul)
        zero = pivot.size() == 0  # not its square, which may underflow
        factor = column / Planes(torch.where(zero, 1, pivot.re), pivot.im)
        used = used | chosen
        A = A[..., 1:] - factor.each(torch.masked_fill, used, 0) @ row
        pivots.append(pivot[..., 0, 0])
        places.append(place)
    return pivots, _parity(torch.cat(places, -2).to(A.re.dtype)), rows.sum((-2, -1))


def _parity(places: torch.Tensor) -> torch.Tensor:
    """1 for an even permutation (..., n, 1), -1 for an odd one."""
    half = (places < places.mT).to(places.dtype).tril(-1).sum((-2, -1)) / 2
    return 1 - 4 * (half - half.floor())


def _parts(x: Planes) -> tuple[Planes, torch.Tensor]:
    """m and e with x = m 2^e, the larger plane of m 0 or of magnitude 1 to 2."""
    e = _exponent(x.size())
    return x.each(torch.div, torch.exp2(e)), e


def _exponent(size: torch.Tensor) -> torch.Tensor:
    return torch.where(size > 0, size, 1).log2().floor()


def det(A: Planes) -> Planes:
    """The determinant, of mantissas and exponents: products of pivots may leave the range."""
    pivots, parity, exponent = eliminated(A)
    value, e = _parts(pivots[0])
    exponent = exponent + e
    for k, pivot in enumerate(pivots[1:], 2):
        m, e = _parts(pivot)
        value, exponent = value * m, exponent + e
        if k % BETWEEN == 0:
            value, e = _parts(value)
            exponent = exponent + e
    largest = 3 * (math.frexp(torch.finfo(A.re.dtype).max)[1] - 8)
    exponent = exponent.clamp(max=largest)
    # In three powers of two, none of them infinite: 0 times infinity would be NaN.
    third = (exponent / 3).floor()
    for power in (third, third, exponent - 2 * third):
        value = value * torch.exp2(power)
    return value * parity


def slogdet(A: Planes) -> tuple[Planes, torch.Tensor]:
    """The phase of the determinant, and the logarithm of its magnitude."""
    pivots, parity, exponent = eliminated(A)
    sizes = [abs(p) for p in pivots]
    phases = [p.scaled(size) for p, size in zip(pivots, sizes, strict=True)]
    sign = functools.reduce(Planes.__mul__, phases) * parity
    return sign, torch.stack(sizes, -1).log().sum(-1) + exponent * math.log(2)


def logdet(A: Planes) -> Planes:
    """The logarithm of the determinant."""
    sign, logarithm = slogdet(A)
    return Planes(logarithm, torch.atan2(sign.im, sign.re))
