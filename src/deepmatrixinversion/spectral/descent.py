"""Steps of a stack of matrices, each of which leaves as soon as it is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.greedy import EARLY_EXIT, EPS, Array, Guess, norm
from deepmatrixinversion.spectral.chebyshev import Chebyshev, Split, split
from deepmatrixinversion.spectral.live import STACKS, Live, some_of
from deepmatrixinversion.spectral.moments import UNSEEN
from deepmatrixinversion.spectral.opening import Opening, begin, taken, turned
from deepmatrixinversion.spectral.traces import ORDERS, ROUNDINGS, Traces, traced

OPEN_DEGREE = 12
"""Largest degree of the last step, which is left as soon as it suffices; then another follows."""


class Descent(NamedTuple):
    """Matrices, guesses so far, products at most, and the residual that is enough."""

    S: Array
    guess: Guess
    most: int
    enough: float

    def multiplied(self, live: Live, p: Array, products: int) -> Live:
        """X <- X p, for so many products."""
        X = live.X[:, :1, :1] * p if live.spent < 0 else live.X @ p
        spent = live.spent + products
        self.guess.X[live.places], self.guess.products[live.places] = X, spent
        return live._replace(X=X, spent=spent)

    def step(
        self, live: Live, p: Array, R: Array, growth: Array, products: int, reach: Array
    ) -> Live:
        """X <- X p(R) and R <- what that leaves, so many products from here; who is not done.

        ``reach`` (k,) are bounds of ‖R‖2. Who needs no further residual takes X (p + R') of what
        X p would leave, R': that leaves R R' for the same products.
        """
        spent, residual = live.spent + products, norm(R)
        last = (reach < 1) & ((reach * residual <= self.enough) | (spent == self.most))
        if last.any():
            p = p + np.where(last, 1.0, 0.0)[:, None, None] * R
            residual = np.where(last, reach, 1.0) * residual
        live = self.multiplied(live, p, products)
        self.guess.residual[live.places] = residual
        return live._replace(R=R, noise=live.noise * growth).at(residual > self.enough)

    def suffices(self, left: Array, reach: Array, spent: int) -> NDArray[np.bool_]:
        """Whether a step that leaves so much for so many products in all is the last but one."""
        squared = (left**2 <= self.enough) & (spent < self.most)
        return squared | (left * np.minimum(reach, 1.0) <= self.enough)

    def open(self, live: Live, degrees: Iterable[int], square: Array | None = None) -> Live:
        """Steps up to these degrees, which who is done leaves; ``square`` is R² where it is there.

        Returns who is not done at the end.
        """
        one = np.eye(live.R.shape[-1])
        for most in degrees:
            degree = min(most, self.most - live.spent)
            if not live.places.size or degree < 1:
                break
            o = begin(live.R, one, len(one) ** 0.5, live.noise[:, None, None])
            reach = norm(live.R)
            for d in range(1, degree + 1):
                o, length = taken(o, STACKS, EPS)
                if d == degree:
                    break
                done = self.suffices(norm(o.remainder), reach, live.spent + d)
                if done.any():
                    found = opened(_opening_at(o, done))
                    self.open(self.step(live.at(done), *found, d, reach[done]), [1])
                    live, o, length = live.at(~done), _opening_at(o, ~done), length[~done]
                    reach, square = reach[~done], None if square is None else square[~done]
                    if not live.places.size:
                        return live
                image = None
                if d == 1:  # R (I - R), which R² makes known
                    q = o.directions[0]
                    image = STACKS.product(o.R, q) if square is None else (o.R - square) / length
                    reach = reach_of(reach, norm(o.R - length * image))
                o = turned(o, length, STACKS, image)
            live, square = self.step(live, *opened(o), degree, reach), None
        return live

    def fits(self, live: Live, before: int = 0) -> bool:
        """Whether the way by traces does, with so many products before."""
        n = live.R.shape[-1]
        return n in ORDERS and live.spent + before + split(n).products < self.most

    def by_traces(
        self,
        live: Live,
        square: Array,
        degrees: Sequence[int],
        bounds: tuple[Array, Array] | None = None,
    ) -> None:
        """X <- X (I - R)⁻¹ to the end, or steps where these cost less or that is not known well.

        ``bounds`` are middle and half width of an interval with all eigenvalues of R, if known.
        """

        def go_on(live: Live) -> None:
            self.open(live, chain(degrees, repeat(OPEN_DEGREE)))

        reach = reach_of(norm(live.R), norm(square))
        known = Chebyshev(live.R, square, live.noise + UNSEEN / 10, bounds)
        cost = known.split
        for d in range(3, cost.small + 1):
            known.further()
            left = known.seen(known.fit.remainder)[0]
            # A step now, and powers of what it leaves, if these cost no more than all the rest.
            done = self.suffices(left, reach, live.spent + d)
            done |= left ** (cost.products + 2 - d) <= self.enough
            if done.any():
                self.open(
                    self.step(live.at(done), *known.step(done), d, reach[done]),
                    chain(degrees, repeat(OPEN_DEGREE)),
                )
                live, reach = live.at(~done), reach[~done]
                known.keep(~done)
                if not live.places.size:
                    return
        found = traced(known)
        predicted = ROUNDINGS * known.order**0.5 * live.noise * found.growth
        well = predicted <= max(self.enough, EARLY_EXIT)
        if well.any():
            self._inverted(live.at(well), found.at(well), cost, predicted[well])
        if not well.all():  # what is there is good for a step at least
            rest = live.at(~well)._replace(spent=live.spent + cost.blocks - 2)
            self.open(
                self.step(rest, *known.step(~well), cost.small, reach[~well]),
                chain(degrees, repeat(OPEN_DEGREE)),
            )

    def _inverted(self, live: Live, found: Traces, cost: Split, predicted: Array) -> None:
        """X <- X (I - R)⁻¹, and steps from there where more is asked for."""
        live = self.multiplied(live, found.polynomial(), cost.products + 1)
        self.guess.residual[live.places] = predicted
        live = live.at(predicted > self.enough)
        if not live.places.size or live.spent >= self.most:
            return
        R = np.eye(live.X.shape[-1]) - self.S[live.places] @ live.X
        spent = self.guess.products[live.places] = live.spent + 1
        residual = self.guess.residual[live.places] = norm(R)
        live = live._replace(R=R, noise=EPS * (1 + norm(live.X)), spent=spent)
        self.open(live.at(residual > self.enough), repeat(OPEN_DEGREE))


def reach_of(size: Array, square: Array) -> Array:
    """A bound of ‖R‖2, from ‖R‖F and ‖R²‖F."""
    return np.minimum(size, square**0.5)


def opened(o: Opening) -> tuple[Array, Array, Array]:
    """p of an open-ended step, what is left, and by how much errors of R grow."""
    return o.polynomial(np.eye(o.R.shape[-1])), o.remainder, o.growth[:, 0, 0]


def _opening_at(o: Opening, which: NDArray[np.bool_]) -> Opening:
    """An open-ended step at some matrices."""
    return Opening(*some_of(list(o), lambda v: v[which]))
