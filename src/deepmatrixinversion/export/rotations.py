"""Jacobi rotations of all pairs of coordinates in rounds, half as many as the order at once.

In each round every coordinate is in one pair, and over a sweep of n - 1 rounds (n where n is odd)
every pair comes once: the tournament of Brent & Luk. Coordinates move on by one place after each
round, so that all rounds are the same nodes on the same constants.

A rotation by the angle that annihilates the entry of its pair may be large where both diagonal
entries are about equal, for what is rounding or will vanish by itself; it then undoes what earlier
rotations of the sweep have done, and convergence is linear wherever eigenvalues are multiple. So
the angle is damped as long as other entries in the pair's rows are larger than its own: convergence
is quadratic for multiple eigenvalues too (float64, order 16, eigenvalues ±1: 5 sweeps rather than
more than 14).

References
----------
Brent & Luk 1985, "The solution of singular-value and symmetric eigenvalue problems on
multiprocessor arrays", SIAM J. Sci. Stat. Comput. 6 (rounds). The damping is ours.
"""

from __future__ import annotations

import math

import numpy as np

from deepmatrixinversion.export.algebra import Value, constant, op, where
from deepmatrixinversion.export.flat import flat

DAMPING = 0.1
"""How much the squares of the other entries in a pair's rows count. With 0.01 and with 1 spectra of
one kind or another take one sweep more, or several."""

LARGEST = 64
"""Largest order: the constants take 3 n³ numbers, 3 MB in float32 there."""


def sweeps(order: int, dtype: np.dtype) -> int:
    """Sweeps until rounding level, with one to spare: 3 + log2 n, one more in float64."""
    if order <= 2:
        return order - 1  # one rotation is all there is to do
    return 3 + math.ceil(math.log2(order)) + (dtype == np.float64)


def pairs(order: int) -> list[tuple[int, int]]:
    """The places that are rotated against each other; place 0 has no partner if n is odd."""
    ring = order - 1 + order % 2
    found = [(i, ring - i) for i in range(1, (ring + 1) // 2)]
    return found if order % 2 else [*found, (0, order - 1)]


def moved(order: int) -> list[int]:
    """From which place each coordinate comes after a round."""
    ring = order - 1 + order % 2
    return [(k - 1) % ring for k in range(ring)] + list(range(ring, order))


class Rotations:
    """The rounds of one order and dtype: constants, and the nodes of a round."""

    def __init__(self, order: int, dtype: np.dtype) -> None:
        if order > LARGEST:
            raise ValueError(f"Jacobi rotations go up to order {LARGEST}, not {order}")
        self.order = order
        n, half = order, (order + 1) // 2
        pick, rest = np.zeros((n, n, 2 * half)), np.zeros((n, n, 2 * half))
        place = np.zeros((2 * half, n, n))
        if n % 2:
            place[half - 1, 0, 0] = 1  # its difference is 0, so that its cosine is 1
        for k, (p, q) in enumerate(pairs(n)):
            pick[q, q, k], pick[p, p, k], pick[p, q, half + k] = 1, -1, 2
            rest[[p, q], :, k] = DAMPING
            rest[[p, q], [[p], [q]], k] = 0
            place[k, [p, q], [p, q]] = 1
            place[half + k, p, q], place[half + k, q, p] = 1, -1
        first, both = np.eye(2 * half), np.tile(np.eye(half), (2, 2))
        first[half:, :half], first[half:, half:] = np.eye(half), 0
        self.pick = constant(pick.reshape(n * n, -1), dtype)
        self.rest = constant(rest.reshape(n * n, -1), dtype)
        self.first, self.both = constant(first, dtype), constant(both, dtype)
        self.place = constant(place[:, :, moved(n)].reshape(-1, n * n), dtype)
        # Where a pair is 0, so that nothing is divided by 0: an angle of 0.
        tiny = 1e-18 if dtype == np.float32 else 1e-150
        self.tiny = constant(tiny * (np.arange(2 * half) < half), dtype)

    @property
    def rounds(self) -> int:
        """Rounds in a sweep."""
        return self.order - 1 + self.order % 2 if self.order > 1 else 0

    def of(self, G: Value) -> Value:
        """The orthogonal J (..., n, n) of a round for symmetric G, entries up to 1 or so.

        It rotates the pairs and moves all coordinates on.
        """
        n = self.order
        return self.flat(flat(G, n)).reshape(2, n, n)

    def flat(self, entries: Value) -> Value:
        """As `of`, of matrices and to matrices whose entries are in rows (..., 1, n²)."""
        # (d, g) = (G_qq - G_pp, 2 G_pq) of each pair, d in the first half.
        dg = entries @ self.pick
        radius = ((dg * dg) @ self.first + (entries * entries) @ self.rest) ** 0.5
        signed = where(dg < 0, dg.of(op.Neg(radius.node)), radius)
        # The cotangent of the angle is (d ± √(d² + g²))/g; a sum of three, since the exporter's
        # optimizer drops the addition of small numbers.
        direction = dg.of(op.Sum(dg.node, signed.node, self.tiny.node))
        cosines_and_sines = direction / ((direction * direction) @ self.both) ** 0.5
        return cosines_and_sines @ self.place
