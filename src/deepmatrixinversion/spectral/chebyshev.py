"""Chebyshev polynomials of R, their traces, and the best step that they make."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.greedy import EPS
from deepmatrixinversion.linalg.polynomial import Fit, begin, extend, polynomial
from deepmatrixinversion.spectral.live import some_of
from deepmatrixinversion.spectral.moments import Combinations

Array = NDArray[np.float64]

NARROWEST = 1e-2
"""Least half width of the interval."""

NEWTON_STEPS = 3


class Split(NamedTuple):
    """How many small degrees there are, and how many blocks of so many coefficients q has.

    ``known`` are the products from R and R² to all the traces, ``products`` those to q as well, R²
    counted in both.
    """

    small: int
    blocks: int
    known: int
    products: int


@cache
def split(n: int) -> Split:
    """The cheapest split."""
    found = []
    for small in range(2, n):
        blocks = -(-n // small)
        known = small - 1 + blocks - 2
        found.append(Split(small, blocks, known, known + blocks - 1))
    return min(found, key=lambda s: s.products)


class Chebyshev(Combinations):
    """Combinations of the T_j of k matrices R mapped to an interval, j = 0, ..., s, as they come.

    Attributes
    ----------
    small : list of (k, n, n) arrays
        T_0, T_1, ...
    t : list of (k,) arrays
        Their traces, and those of twice the degree.
    fit : Fit
        Of R, by the images of all but the last.
    """

    def __init__(
        self,
        R: Array,
        square: Array,
        noise: Array,
        bounds: tuple[Array, Array] | None = None,
    ) -> None:
        k, self.order = R.shape[:2]
        self.split, self.noise = split(self.order), noise
        most = self.split.small + 1
        super().__init__(np.zeros((most, most, k)), 0)
        self.middle, self.half = bounds or interval(R, square)
        m, h = self.middle[:, None, None], self.half[:, None, None]
        one = np.broadcast_to(np.eye(self.order), R.shape)
        T = (R - m * one) / h
        self.small = [one, T, 2 * (square - 2 * m * R + m * m * one) / h**2 - one]
        self.R = self.middle * self.unit(0) + self.half * self.unit(1)
        self.t = [np.full(k, float(self.order)), trace(T), trace(self.small[2])]
        self.fit = begin(self.R)
        for j in range(3):
            self._known(j)

    def _known(self, j: int) -> None:
        """T_j is there: traces of degrees to 2 j, and the image of T_{j - 1}."""
        T, t = self.small, self.t
        for i in (j - 1, j):
            if i + j >= len(t):
                t.append(2 * inner(T[i], T[j]) - t[j - i])
        for i in range(j + 1):
            self.gram[i, j] = self.gram[j, i] = 0.5 * (t[i + j] + t[j - i])
        self.used = j + 1
        if j:
            last, before = self.unit(j - 1), self.unit(abs(j - 2))
            image = 0.5 * (self.unit(j) + before) if j > 1 else self.unit(1)
            image = self.middle * last + self.half * image
            self.fit = extend(self.fit, self.R, [last, image], self, EPS, self.noise)

    def further(self) -> None:
        """The next T_j. Cost: a product."""
        self.small.append(doubled(self.small, len(self.small)))
        self._known(len(self.small) - 1)

    def step(self, which: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
        """p(R) of the best step so far, what it leaves, and by how much errors of R grow."""
        c = np.concatenate(polynomial(self.fit, self.fit.coefficients))
        growth = 1.0 + np.abs(c).sum(axis=0)
        small = [T[which] for T in self.small]
        return (
            summed(c[:, which], small),
            summed(self.fit.remainder[:, which], small),
            growth[which],
        )

    def keep(self, which: NDArray[np.bool_]) -> None:
        """Go on with some of the matrices."""
        self.gram = self.gram[..., which]
        self.middle, self.half = self.middle[which], self.half[which]
        self.noise = self.noise[which]
        self.one, self.R = self.one[:, which], self.R[:, which]
        self.small, self.t = [T[which] for T in self.small], [t[which] for t in self.t]
        self.fit = Fit(*some_of(list(self.fit), lambda v: v[:, which]))


def interval(R: Array, square: Array) -> tuple[Array, Array]:
    """Middle and half width of an interval with all eigenvalues of R, (k,) each.

    The fourth root of the sum of fourth powers of their distances from the middle, which the inner
    products of I, R and R² give; the middle makes it smallest, by Newton's method.
    """
    n = R.shape[-1]
    one, two = trace(R), inner(R, R)
    three, four = inner(R, square), inner(square, square)
    m = one / n
    for _ in range(NEWTON_STEPS):
        slope = m * (m * (n * m - 3 * one) + 3 * two) - three
        m = m - slope / np.maximum(3 * (two - m * (2 * one - n * m)), NARROWEST**4)
    power = four - m * (4 * three - m * (6 * two - m * (4 * one - n * m)))
    return m, np.maximum(power, NARROWEST**4) ** 0.25


def doubled(T: list[Array], j: int) -> Array:
    """T_j = 2 T_a T_b - T_{b - a}, with a + b = j: one product."""
    a = j // 2
    return 2 * (T[a] @ T[j - a]) - T[j - 2 * a]


def summed(c: Array, matrices: list[Array]) -> Array:
    """The combination of the first of the matrices."""
    total = np.zeros(matrices[0].shape)
    for v, M in zip(c, matrices, strict=False):
        total += v[:, None, None] * M
    return total


def trace(A: Array) -> Array:
    return np.einsum("kii->k", A)


def inner(A: Array, B: Array) -> Array:
    return np.einsum("kij,kij->k", A, B)
