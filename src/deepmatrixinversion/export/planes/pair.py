"""A complex tensor as its real and its imaginary plane, with arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, eq=False)
class Planes:
    """The real and the imaginary plane of a complex tensor."""

    re: torch.Tensor
    im: torch.Tensor

    def each(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Planes:
        """A real linear function of both planes."""
        return Planes(function(self.re, *args, **kwargs), function(self.im, *args, **kwargs))

    def __getitem__(self, index: Any) -> Planes:
        return Planes(self.re[index], self.im[index])

    @property
    def conj(self) -> Planes:
        """The complex conjugate."""
        return Planes(self.re, -self.im)

    @property
    def mT(self) -> Planes:
        """The transpose of each matrix."""
        return Planes(self.re.mT, self.im.mT)

    @property
    def mH(self) -> Planes:
        """The conjugate transpose of each matrix."""
        return Planes(self.re.mT, -self.im.mT)

    def __abs__(self) -> torch.Tensor:
        """Magnitudes, whose squares may be out of range."""
        size = self.size()
        return size * self.scaled(size).norm() ** 0.5

    def norm(self) -> torch.Tensor:
        """Squared magnitudes."""
        return self.re * self.re + self.im * self.im

    def size(self) -> torch.Tensor:
        """The larger of both parts, entry by entry."""
        return torch.maximum(self.re.abs(), self.im.abs())

    def scaled(self, size: torch.Tensor) -> Planes:
        """Divided by a real ``size``, where that is not 0."""
        return self.each(torch.div, torch.where(size > 0, size, 1))

    def __neg__(self) -> Planes:
        return Planes(-self.re, -self.im)

    def __add__(self, other: Any) -> Planes:
        re, im = parts(other)
        return Planes(self.re + re, self.im + im)

    def __sub__(self, other: Any) -> Planes:
        re, im = parts(other)
        return Planes(self.re - re, self.im - im)

    def __mul__(self, other: Any) -> Planes:
        return bilinear(torch.mul, self, other)

    def __matmul__(self, other: Any) -> Planes:
        return bilinear(torch.matmul, self, other)

    def __truediv__(self, other: Any) -> Planes:
        if isinstance(other, complex):
            return self * (1 / other)
        if not isinstance(other, Planes):
            return self.each(torch.div, other)
        size = other.size()
        unit = other.scaled(size)
        return (self * unit.conj).each(torch.div, unit.norm()).each(torch.div, size)


def parts(x: Any) -> tuple[Any, Any]:
    """The real and the imaginary part of anything."""
    if isinstance(x, Planes):
        return x.re, x.im
    if isinstance(x, complex):
        return x.real, x.imag
    return x, 0


def is_complex(x: Any) -> bool:
    """Whether it is a complex number or tensor."""
    return isinstance(x, Planes | complex)


def bilinear(product: Callable[..., Any], x: Any, y: Any) -> Planes:
    """A product of two of which one at least is complex, from real ones."""
    (a, b), (c, d) = parts(x), parts(y)
    if not is_complex(y):
        return Planes(product(a, c), product(b, c))
    if not is_complex(x):
        return Planes(product(a, c), product(a, d))
    return Planes(product(a, c) - product(b, d), product(a, d) + product(b, c))
