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

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.spectral.advice import Look
from deepmatrixinversion.spectral.chebyshev import Chebyshev, doubled, inner, summed, trace
from deepmatrixinversion.spectral.moments import Combinations

Array = NDArray[np.float64]

ORDERS = range(3, 29)
"""Below, R² does not pay; above, rounding leaves nothing."""

ROUNDINGS = 8.0
"""Most of a residual in units of sqrt(n), errors of R and `Traces.growth`, with a factor to spare:
1.7 was the largest on 70,000 matrices of 50 kinds and families, at once or after either step."""

FOLD = 1.05
"""How far above what is known of the largest eigenvalue of I - R the spectrum is folded."""


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
        q = summed(first, self.small)
        for block, T in zip(others, self.large[1:], strict=True):
            q = q + summed(block, self.small) @ T
        return q


def traced(known: Chebyshev) -> Traces:
    """Everything but q itself, once all small degrees are there."""
    small, n = known.small, known.order
    large = [small[0], small[-1]]
    for j in range(2, known.split.blocks):
        large.append(doubled(large, j))
    chi = _characteristic(_moments(known.t, small, large, n))
    at = (1 - known.middle) / known.half
    sums = _clenshaw(chi, at)
    whole = chi[0] + at * sums[1] - sums[2]
    with np.errstate(divide="ignore", invalid="ignore"):  # where rounding leaves nothing
        q = np.concatenate([sums[1:2], 2 * sums[2 : n + 1]]) / (whole * known.half)
        growth = np.abs(q).sum(axis=0) + _cancelled(chi, at) / np.abs(whole)
    return Traces(small, large, q, growth)


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


def _moments(t: list[Array], small: list[Array], large: list[Array], n: int) -> list[Array]:
    """tr T_k for k = 0, ..., n, of which those to twice the small degrees are there."""
    s = len(small) - 1
    t = t[: n + 1]
    for k in range(len(t), n + 1):
        j = min(k // s, len(large) - 1)
        rest = k - j * s
        t.append(2 * inner(large[j], small[rest]) - t[j * s - rest] if rest else trace(large[j]))
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
