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

from deepmatrixinversion.export.algebra import Value, concatenate, constant, op
from deepmatrixinversion.export.blocks import columns
from deepmatrixinversion.export.flat import flat

DAMPING = 0.1
"""How much the squares of the other entries in a pair's rows count. With 0.01 and with 1 spectra of
one kind or another take one sweep more, or several."""

LARGEST = 64
"""Largest order: the constants take 3 n³ numbers, 3 MB in float32 there."""


def sweeps(order: int, dtype: np.dtype) -> int:
    """Sweeps until rounding level: 2 + log2 n, in float64 2 + 2 log2 n, one less up to order 4.

    Of 1,201 matrices of each order, most of them with multiple or clustered values, entries off the
    diagonal were then at most 3 n eps; two sweeps less left up to 150 n eps in float64.
    """
    if order <= 2:
        return order - 1  # one rotation is all there is to do
    halvings = math.ceil(math.log2(order))
    if dtype == np.float64:
        return 2 * halvings + (2 if order > 4 else 1)
    return 2 + halvings


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
    """The rounds of one order and dtype: constants, and the nodes of a round.

    Attributes
    ----------
    pick : ndarray
        from the entries of G (n²) to (d, g) = (G_qq - G_pp, 2 G_pq) of each pair, all d first
    place : ndarray
        from cosines and sines, all cosines first, to the entries of J (n²)
    """

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
        self.pick, self.place = pick.reshape(n * n, -1), place[:, :, moved(n)].reshape(-1, n * n)
        self.differences = constant(self.pick, dtype)
        self.weights = constant(np.concatenate([rest.reshape(n * n, -1), first]), dtype)
        self.both, self.placed = constant(both, dtype), constant(self.place, dtype)
        # Where a pair is 0, so that nothing is divided by 0: an angle of 0.
        tiny = 1.234e-18 if dtype == np.float32 else 1.234e-150
        self.tiny = constant(tiny * (np.arange(2 * half) < half), dtype)

    @property
    def rounds(self) -> int:
        """Rounds in a sweep."""
        return self.order - 1 + self.order % 2 if self.order > 1 else 0

    def of(self, G: Value) -> Value:
        """The orthogonal J (..., n, n) of a round for symmetric G, entries up to 1 or so.

        It rotates the pairs and moves all coordinates on.
        """
        entries = flat(G, self.order)
        dg = entries @ self.differences
        found = self._of(concatenate([entries, dg], -1), dg) @ self.placed
        return found.reshape(2, self.order, self.order)

    def with_differences(self) -> np.ndarray:
        """From the entries of G (n²) to them and (d, g)."""
        return np.concatenate([np.eye(self.order**2), self.pick], -1)

    def cosines_and_sines(self, both: Value) -> Value:
        """Those of the pairs, from the entries of G and (d, g) in a row (..., 1, n² + 2 pairs)."""
        n2, last = self.pick.shape
        return self._of(both, columns(both, n2, n2 + last))

    def _of(self, both: Value, dg: Value) -> Value:
        radius = ((both * both) @ self.weights) ** 0.5
        dg = dg.of(op.Sum(dg.node, self.tiny.node))  # the optimizer would drop Add
        # The cotangent of the angle is (d ± √(d² + g²))/g.
        direction = dg + dg.of(op.Sign(dg.node)) * radius
        return direction / ((direction * direction) @ self.both) ** 0.5
