r"""The inverse of I - R from traces of R, in about 2 sqrt(n) products.

The characteristic polynomial of R follows from the traces of its first n powers, and by Cayley and
Hamilton (I - R)⁻¹ is a polynomial q of degree n - 1 in R (Le Verrier 1840, Csanky 1976). A trace of
R^(i + j) is an inner product of R^i and R^j, so that s small powers and n/s multiples of the s-th
make all of them known (Preparata & Sarwate 1978), and q takes n/s - 1 products more (Paterson &
Stockmeyer 1973). Here Chebyshev polynomials on an interval that holds the eigenvalues take the
place of powers: none is large there, which bounds what rounding does, and up to a digit less is
lost. With t_k = tr T_k(R), the eigenvalues x_i and x = (z + 1/z)/2,

.. math:: \prod_i (1 - 2 x_i z + z^2) = \exp\Bigl(-2 \sum_k t_k z^k / k\Bigr) = \sum_m g_m z^m,

whose g_0, ..., g_n are the coefficients of 2ⁿ χ(x) = g_n + 2 sum_m g_{n-m} T_m(x). Rounding in the
traces is divided by χ(1), which is tiny where many eigenvalues are near 1: q is good for most
matrices up to order 12, and up to about 24 once a step has spread them. How good is known from its
coefficients before it is formed.

References
----------
Le Verrier 1840, J. Math. Pures Appl. 5; Csanky 1976, SIAM J. Comput. 5; Preparata & Sarwate 1978,
Inf. Process. Lett. 7; Paterson & Stockmeyer 1973, SIAM J. Comput. 2; Clenshaw 1955, Math. Tables
Aids Comput. 9 (sums of Chebyshev polynomials).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.greedy import EPS
from deepmatrixinversion.linalg.polynomial import Fit, begin, extend, polynomial
from deepmatrixinversion.spectral.advice import Look
from deepmatrixinversion.spectral.live import some_of
from deepmatrixinversion.spectral.moments import Combinations

Array = NDArray[np.float64]

ORDERS = range(3, 29)
"""Below, R² does not pay; above, rounding leaves nothing."""

ROUNDINGS = 8.0
"""Most of a residual in units of sqrt(n), errors of R and `Traces.growth`, with a factor to spare:
twice what 88 families of matrices showed."""

FOLD = 1.05
"""How far above what is known of the largest eigenvalue of I - R the spectrum is folded."""

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
        self.t = [np.full(k, float(self.order)), _trace(T), _trace(self.small[2])]
        self.fit = begin(self.R)
        for j in range(3):
            self._known(j)

    def _known(self, j: int) -> None:
        """T_j is there: traces of degrees to 2 j, and the image of T_{j - 1}."""
        T, t = self.small, self.t
        for i in (j - 1, j):
            if i + j >= len(t):
                t.append(2 * _inner(T[i], T[j]) - t[j - i])
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
        self.small.append(_doubled(self.small, len(self.small)))
        self._known(len(self.small) - 1)

    def step(self, which: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
        """p(R) of the best step so far, what it leaves, and by how much errors of R grow."""
        c = np.concatenate(polynomial(self.fit, self.fit.coefficients))
        growth = 1.0 + np.abs(c).sum(axis=0)
        small = [T[which] for T in self.small]
        return (
            _sum(c[:, which], small),
            _sum(self.fit.remainder[:, which], small),
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


class Traces(NamedTuple):
    """What is known of q for each of k matrices, before it is formed.

    Attributes
    ----------
    small : list of (k, n, n) arrays
        T_0, ..., T_s of R, mapped to the interval.
    large : list of (k, n, n) arrays
        T_0, T_s, T_2s, ...
    coefficients : (n, k) array
        Chebyshev coefficients of q.
    growth : (k,) array
        What of I - (I - R) q(R) an error of R, or a rounding, becomes at most.
    """

    small: list[Array]
    large: list[Array]
    coefficients: Array
    growth: Array

    def at(self, which: NDArray[np.bool_]) -> Traces:
        """Some of the matrices."""
        small, large = ([T[which] for T in some] for some in (self.small, self.large))
        return Traces(small, large, self.coefficients[:, which], self.growth[which])

    def polynomial(self) -> Array:
        """q(R)."""
        first, *others = _blocks(self.coefficients, len(self.small) - 1, len(self.large))
        q = _sum(first, self.small)
        for block, T in zip(others, self.large[1:], strict=True):
            q = q + _sum(block, self.small) @ T
        return q


def traced(known: Chebyshev) -> Traces:
    """Everything but q itself, once all small degrees are there."""
    small, n = known.small, known.order
    large = [small[0], small[-1]]
    for j in range(2, known.split.blocks):
        large.append(_doubled(large, j))
    chi = _characteristic(_moments(known.t, small, large, n))
    at = (1 - known.middle) / known.half
    sums = _clenshaw(chi, at)
    whole = chi[0] + at * sums[1] - sums[2]
    with np.errstate(divide="ignore", invalid="ignore"):  # where rounding leaves nothing
        q = np.concatenate([sums[1:2], 2 * sums[2 : n + 1]]) / (whole * known.half)
        growth = np.abs(q).sum(axis=0) + _cancelled(chi, at) / np.abs(whole)
    return Traces(small, large, q, growth)


def interval(R: Array, square: Array) -> tuple[Array, Array]:
    """Middle and half width of an interval with all eigenvalues of R, (k,) each.

    The fourth root of the sum of fourth powers of their distances from the middle, which the inner
    products of I, R and R² give; the middle makes it smallest, by Newton's method.
    """
    n = R.shape[-1]
    one, two = _trace(R), _inner(R, R)
    three, four = _inner(R, square), _inner(square, square)
    m = one / n
    for _ in range(NEWTON_STEPS):
        slope = m * (m * (n * m - 3 * one) + 3 * two) - three
        m = m - slope / np.maximum(3 * (two - m * (2 * one - n * m)), NARROWEST**4)
    power = four - m * (4 * three - m * (6 * two - m * (4 * one - n * m)))
    return m, np.maximum(power, NARROWEST**4) ** 0.25


def folded(seen: Look, space: Combinations) -> tuple[Array, Array, Array]:
    """A step p that folds the spectrum, what it leaves, and by how much errors of R grow.

    It leaves T_2 of I - 2 (I - R)/b, with b above the largest eigenvalue of I - R: eigenvalues from
    -1 to 1, of which those that were near 1 are twice as far apart. Combinations of I, R and R².
    """
    (one, R), square, _ = seen
    rest = one - 2 * R + square  # (I - R)²
    b = FOLD * space.norm(rest) ** 0.5
    c = 8 / b * (1 - 1 / b), 8 / b**2
    left = (1 - 8 / b + c[1]) * one + (8 / b - 2 * c[1]) * R + c[1] * square
    return c[0] * one + c[1] * R, left, (1 + np.abs(c[0]) + np.abs(c[1]))[0]


def _doubled(T: list[Array], j: int) -> Array:
    """T_j = 2 T_a T_b - T_{b - a}, with a + b = j: one product."""
    a = j // 2
    return 2 * (T[a] @ T[j - a]) - T[j - 2 * a]


def _moments(t: list[Array], small: list[Array], large: list[Array], n: int) -> list[Array]:
    """tr T_k for k = 0, ..., n, of which those to twice the small degrees are there."""
    s = len(small) - 1
    t = t[: n + 1]
    for k in range(len(t), n + 1):
        j = min(k // s, len(large) - 1)
        rest = k - j * s
        t.append(
            2 * _inner(large[j], small[rest]) - t[abs(j * s - rest)] if rest else _trace(large[j])
        )
    return t


def _characteristic(t: list[Array]) -> Array:
    """Chebyshev coefficients of 2ⁿ χ, (n + 1, k): Newton's identities for them."""
    n = len(t) - 1
    g = [np.ones_like(t[0])]
    for m in range(1, n + 1):
        g.append(-2 / m * np.sum([t[j] * g[m - j] for j in range(1, m + 1)], axis=0))
    return np.array([g[n], *(2 * v for v in g[n - 1 :: -1])])


def _clenshaw(c: Array, at: Array) -> Array:
    """Sums over m >= j of c_m U_{m - j}(at), for j = 0, ..., n + 2."""
    sums = np.zeros((len(c) + 2, c.shape[1]))
    for j in range(len(c) - 1, -1, -1):
        sums[j] = c[j] + 2 * at * sums[j + 1] - sums[j + 2]
    return sums


def _cancelled(c: Array, at: Array) -> Array:
    """Sum of |c_m T_m(at)|."""
    last, T = at, np.ones_like(at)
    total = np.zeros_like(at)
    for row in c:
        total += np.abs(row * T)
        last, T = T, 2 * at * T - last
    return total


def _blocks(c: Array, s: int, blocks: int) -> list[Array]:
    """Coefficients of B_j, where q = sum_j B_j T_js, each of degree below s.

    T_{js + b} = 2 T_b T_js - T_{js - b}, from the top.
    """
    c = c.copy()
    found = []
    for j in range(blocks - 1, 0, -1):
        block = np.zeros((s, c.shape[1]))
        for k in range(min((j + 1) * s, len(c)) - 1, j * s, -1):
            block[k - j * s] = 2 * c[k]
            c[2 * j * s - k] -= c[k]
        block[0] = c[j * s]
        found.append(block)
    return [c[:s], *found[::-1]]


def _sum(c: Array, matrices: list[Array]) -> Array:
    """The combination of the first of the matrices."""
    total = np.zeros(matrices[0].shape)
    for v, M in zip(c, matrices, strict=False):
        total += v[:, None, None] * M
    return total


def _trace(A: Array) -> Array:
    return np.einsum("kii->k", A)


def _inner(A: Array, B: Array) -> Array:
    return np.einsum("kij,kij->k", A, B)
