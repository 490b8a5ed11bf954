"""What the last few matrices of a sequence and their inverses say of the next one."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg import low_rank
from deepmatrixinversion.linalg.greedy import EARLY_EXIT, Array, norm
from deepmatrixinversion.prior.costs import promised
from deepmatrixinversion.prior.proposal import coefficients, combine, order_algebra, probed
from deepmatrixinversion.prior.store import PROBES

BREAK = 0.7
"""Share of sqrt(n), the residual of nothing at all, from which on a start is given up."""

COMBINED = (1, 2, 4, 6, 8)
"""Numbers of inverses that are combined."""

MOST_RANK = 4
"""Largest rank of a change that is corrected for."""

MEMORY = 8
"""Comparisons over which expected costs are averaged."""

ENOUGH = EARLY_EXIT / 2
"""Probed residual that is taken to be below 1e-3."""


class Start(NamedTuple):
    """Proposed inverses of (k, n, n) matrices.

    Attributes
    ----------
    X : (k, n, n)
        NaN where a sequence has broken
    residual : (k,)
        probed residuals, ‖W R‖F with W two rows of signs over sqrt(2): estimates of ‖R‖F
    combined : (k,) int
        how many inverses X is a combination of, 1 where it is the last one as it is, 0 where it is
        that after a change of low rank
    cost : (k,)
        matrix products that it took
    """

    X: Array
    residual: Array
    combined: NDArray[np.int64]
    cost: Array

    def broken(self) -> NDArray[np.bool_]:
        """Which matrices have broken with their past."""
        return np.isnan(self.X[:, 0, 0])


class Sequence:
    """The last matrices of each of k sequences, and inverses of the last few.

    Attributes
    ----------
    S : (k, n, n)
        the last matrices, of norm near one
    inverses : list of (k, n, n)
        the newest first; 0 where nothing sound is known
    expected : (k, kinds)
        products that starts of each kind came to, overheads included: combinations of so many
        inverses, and last the correction of low rank; infinite where that is not known
    """

    def __init__(self, S: Array, inverses: list[Array], kept: int) -> None:
        self.S = S
        self.inverses = inverses
        self.numbers = [m for m in COMBINED if m < kept] + [kept]
        self.expected = np.full((len(S), len(self.numbers) + 1), np.inf)
        self.compared = np.zeros(len(self.numbers) + 1)
        n = S.shape[-1]
        rng = np.random.default_rng(n)
        self.V = rng.choice([-1.0, 1.0], (1, n))
        self.W = rng.choice([-1.0, 1.0], (PROBES, n)) / math.sqrt(PROBES)

    @classmethod
    def beginning(cls, S: Array, X: Array, sound: NDArray[np.bool_], kept: int) -> Sequence:
        """Sequences of one matrix each."""
        return cls(S, [np.where(sound[:, None, None], X, 0.0)], kept)

    def go_on(
        self, S: Array, X: Array, sound: NDArray[np.bool_], broken: NDArray[np.bool_]
    ) -> None:
        """The next matrices; where one is not sound, the last one that was stays."""
        new = sound[:, None, None]
        self.S = np.where(new, S, self.S)
        newest = np.where(new, X, self.inverses[0])
        self.inverses = [newest, *self.inverses][: self.numbers[-1]]
        for past in self.inverses[1:]:
            past[broken & sound] = X[broken & sound]

    def start(self, S: Array, compare: bool) -> Start:
        """Starts of the next matrices: of every kind and the best, or of the one expected best."""
        start = self._best(S) if compare else self._expected_best(S)
        far = ~(start.residual <= BREAK * math.sqrt(S.shape[-1]))
        start.X[far] = np.nan
        return start

    def _best(self, S: Array) -> Start:
        """All kinds of start, measured: the cheapest of each matrix, at the cost of all."""
        n, kept = S.shape[-1], [self._last(S, slice(None)), *self.inverses[1:]]
        Y, Z = self.V @ S, self.W @ S
        images, probes = [Y @ E for E in kept], [Z @ E for E in kept]
        moved = self._moved(S)
        X, residual = moved.X, moved.residual
        combined, least = moved.combined, self._learned(-1, moved)
        spent = moved.cost + (1 + PROBES + (1 + PROBES) * len(kept)) / n
        for column, m in enumerate(self.numbers):
            if m > len(kept):
                break
            c = [np.ones((len(S), 1, 1))]
            if m > 1:
                c, _ = coefficients(order_algebra(n), self.V, images[:m])
            seen = norm(self.W - sum(t * P for t, P in zip(c, probes, strict=False)))
            cost = self._learned(column, Start(X, seen, combined, np.full(len(S), _cost(m, n))))
            better = cost < least
            X[better] = sum(t[better] * E[better] for t, E in zip(c, kept, strict=False))
            residual[better], combined[better], least[better] = seen[better], m, cost[better]
            spent += (m / n) ** 2
        spent += combined / n
        return Start(X, residual, combined, spent)

    def _learned(self, column: int, start: Start) -> Array:
        """What starts of a kind come to, after it has gone into what is expected of the kind."""
        cost = start.cost + _to_come(start.residual)
        self.compared[column] += 1
        old = cost if self.compared[column] == 1 else self.expected[:, column]
        self.expected[:, column] = old + (cost - old) / min(self.compared[column], MEMORY)
        return cost

    def _expected_best(self, S: Array) -> Start:
        """The kind that was cheapest so far, matrix by matrix."""
        k = len(S)
        choice = self.expected.argmin(axis=1)
        start = Start(np.empty_like(S), np.zeros(k), np.zeros(k, dtype=np.int64), np.zeros(k))
        for column in np.unique(choice):
            which = choice == column
            low = column == len(self.numbers)
            found = self._moved(S, which) if low else self._mixed(S, self.numbers[column], which)
            for whole, part in zip(start, found, strict=True):
                whole[which] = part
        return start

    def _mixed(self, S: Array, m: int, which: NDArray[np.bool_]) -> Start:
        """Combinations of the last m inverses, of some matrices."""
        S, n = S[which], S.shape[-1]
        terms = [self._last(S, which), *(E[which] for E in self.inverses[1:m])]
        X, Y = terms[0], self.V @ S
        if m > 1:
            X, _ = combine(order_algebra(n), self.V, [Y @ E for E in terms], terms)
        cost = np.full(len(S), _cost(m, n))
        return Start(X, probed(self.W, S, X), np.full(len(S), m), cost)

    def _scale(self, S: Array, which: NDArray[np.bool_] | slice) -> Array:
        """What the last matrices are to be multiplied by: all are scaled by powers of two."""
        with np.errstate(all="ignore"):
            power = np.rint(np.log2(norm(S) / norm(self.S[which])))[:, None, None]
        return np.exp2(np.where(np.isfinite(power), power, 0.0))

    def _last(self, S: Array, which: NDArray[np.bool_] | slice) -> Array:
        """The last inverses, in the scale of S."""
        return self.inverses[0][which] / self._scale(S, which)

    def _moved(self, S: Array, which: NDArray[np.bool_] | slice = slice(None)) -> Start:
        """The last inverses corrected for a change of low rank, of some matrices."""
        S, n = S[which], S.shape[-1]
        P = self._scale(S, which) * self.S[which]
        X, rank = low_rank.moved(S, P, self._last(S, which), MOST_RANK)
        cost = low_rank.cost(rank, n, MOST_RANK) + 2 * PROBES / n
        with np.errstate(all="ignore"):
            residual = probed(self.W, S, X)
        return Start(X, residual, np.zeros(len(S), dtype=np.int64), cost)


def _cost(m: int, n: int) -> float:
    """Of a combination of m inverses, its probe included; nothing else for one, as it is."""
    return (2 * PROBES + (1 + 2 * m if m > 1 else 0)) / n + (m / n) ** 2 * (m > 1)


def _to_come(residual: Array) -> Array:
    """Products that are expected from a probed residual on; as from none where it is NaN."""
    residual = np.where(residual <= 1.0, residual, 1.0)
    return np.where(residual <= ENOUGH, 0.0, np.maximum(1.0, promised(residual)))
