"""The size-agnostic network at work: float64, any order, as many products as a matrix needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.greedy import (
    EARLY_EXIT,
    EPS,
    FLOOR,
    Array,
    Guess,
    keep_start,
    norm,
)
from deepmatrixinversion.linalg.polynomial import Fit, corrected, polynomial
from deepmatrixinversion.spectral.advice import (
    BLOCK_PRODUCTS,
    Look,
    choose,
    foresee,
    lift,
    look,
)
from deepmatrixinversion.spectral.live import STACKS, Live
from deepmatrixinversion.spectral.moments import UNSEEN, Moments
from deepmatrixinversion.spectral.opening import Opening, begin, taken, turned
from deepmatrixinversion.spectral.plan import GREEDY, NETWORK, OPEN, SQUEEZED, TRACES, way
from deepmatrixinversion.spectral.start import curved, start, start_from_identity, symmetric
from deepmatrixinversion.spectral.traces import ORDERS, ROUNDINGS, split, traced

MOST_BLOCKS = 8
"""After so many the last step begins, whatever the network says."""

OPEN_DEGREE = 12
"""Largest degree of the last step, which is left as soon as it suffices; then another follows."""

SMALL_ORDER = 7
"""Up to here all go by traces, or open, which by Cayley-Hamilton ends after n directions."""

STEPS = (3, 3, 3)
"""Degrees of greedy steps, before open-ended ones."""

DONE = -1
"""Beside the ways of the plan: the step of degree two is the last but one."""

SLOTS = 6
"""Matrices of a block: I, R, R², S, U V and R P."""


def spectral_guess(
    weights: Mapping[str, NDArray],
    S: Array,
    *,
    max_products: int,
    tol: float = EARLY_EXIT,
) -> Guess:
    """Guess inverses by minimal residual polynomials, chosen and corrected by the network.

    Parameters
    ----------
    weights : mapping
        Of the trained ``spectral`` network.
    S : (k, n, n) float64
        Matrices of norm near one.
    max_products : int
        Products of order n that each matrix may cost, that of the first residual included.
    tol : float
        Predicted residual at which a matrix is done.

    Notes
    -----
    A matrix leaves the stack as soon as a step of low enough degree brings it below ``tol``, in the
    middle of a block as well, and costs nothing more. Its last product then does more than the
    fit: where X p leaves R', X (p + R') leaves R R', and ‖R R'‖F <= ‖R‖2 ‖R'‖F. ``residual`` is
    that bound there. Definite matrices start from the identity, which saves two products beside the
    square root of the condition.
    """
    S = np.ascontiguousarray(S, dtype=np.float64)
    k, n = S.shape[:2]
    one = np.eye(n)
    guess = Guess(np.empty_like(S), np.full(k, np.sqrt(n)), np.zeros(k, dtype=np.int64))
    definite = definite_of(S, one)
    for which, from_identity in ((definite, True), (~definite, False)):
        places = np.flatnonzero(which)
        if not places.size:
            continue
        part = S if places.size == k else S[places]
        if from_identity:
            X, R = start_from_identity(part, one, np)
        elif max_products < 1:
            square = np.einsum("kij,kij->k", part, part)[:, None, None]
            guess.X[places] = part.swapaxes(1, 2) / np.where(square > 0, square, 1.0)
            continue
        else:
            X, R = start(part, np.zeros((1, 1, 1), dtype=bool), one, np)
        found = Guess(X, norm(R), np.full(len(X), int(not from_identity)))
        spent = -1 if from_identity else 1
        Descent(part, found, weights, max_products, max(tol, FLOOR)).run(R, spent)
        guess.X[places], guess.residual[places], guess.products[places] = found
    return guess


def definite_of(S: Array, one: Array) -> NDArray[np.bool_]:
    """Which matrices start from the identity."""
    which = np.abs(S[:, 0] - S[:, :, 0]).sum(axis=1) <= 1e-9  # few others pass, for O(n)
    which[which] = symmetric(S[which], one, EPS, np)[:, 0, 0]
    which[which] = curved(S[which], np)[:, 0, 0]
    return which


class Descent(NamedTuple):
    """Matrices, guesses so far, the weights, products at most, the residual that is enough."""

    S: Array
    guess: Guess
    weights: Mapping[str, NDArray]
    most: int
    enough: float

    def run(self, R: Array, spent: int) -> None:
        """From the start, with its residual, to the end: in place."""
        guess, k = self.guess, len(R)
        first, at_first = guess.X.copy(), guess.residual.copy()
        hidden = np.zeros((k, self.weights["mix.0.bias"].shape[0]), dtype=np.float32)
        live = Live(np.arange(k), guess.X, R, np.full(k, EPS), hidden, spent)
        live = live.at(guess.residual > self.enough)
        small = R.shape[-1] <= SMALL_ORDER
        if small and self._fits(live):
            live = self._by_traces(live, live.R @ live.R, [])
        for block in range(0 if small else MOST_BLOCKS):
            # With less, one step of the powers reaches as far.
            if not live.places.size or self.most - live.spent < BLOCK_PRODUCTS + 2:
                break
            live = self._block(live, first=block == 0)
        self._open(live, repeat(OPEN_DEGREE))
        keep_start(guess, first, at_first)  # which no weights can get past

    def _fits(self, live: Live, before: int = 0) -> bool:
        """Whether the way by traces does, with so many products before."""
        n = live.R.shape[-1]
        return n in ORDERS and live.spent + before + split(n).products < self.most

    def _by_traces(self, live: Live, square: Array, degrees: Iterable[int]) -> Live:
        """X <- X (I - R)⁻¹, or steps where that cannot be told so well; who is not done."""
        n = live.R.shape[-1]
        found, cost = traced(live.R, square), split(n)
        predicted = ROUNDINGS * n**0.5 * live.noise * found.growth
        well = predicted <= max(self.enough, EARLY_EXIT)
        rest = live.at(~well)._replace(spent=live.spent + cost.known - 1)  # R² counts with the step
        live = self._multiplied(live.at(well), found.at(well).polynomial(), cost.products + 1)
        self.guess.residual[live.places] = predicted[well]
        live = live.at(predicted[well] > self.enough)
        if live.places.size and live.spent < self.most:
            R = np.eye(n) - self.S[live.places] @ live.X
            self.guess.residual[live.places] = norm(R)
            noise = EPS * (1 + norm(live.X))
            live = live._replace(R=R, noise=noise, spent=live.spent + 1)
            self._open(live.at(norm(R) > self.enough), repeat(OPEN_DEGREE))
        return self._open(rest, chain(degrees, repeat(OPEN_DEGREE)), square[~well])

    def _multiplied(self, live: Live, p: Array, products: int) -> Live:
        """X <- X p, for so many products."""
        X = live.X[:, :1, :1] * p if live.spent < 0 else live.X @ p
        spent = live.spent + products
        self.guess.X[live.places], self.guess.products[live.places] = X, spent
        return live._replace(X=X, spent=spent)

    def _step(
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
        live = self._multiplied(live, p, products)
        self.guess.residual[live.places] = residual
        return live._replace(R=R, noise=live.noise * growth).at(residual > self.enough)

    def _block(self, live: Live, first: bool) -> Live:
        """A block for those that neither leave within it, nor open, nor go another way."""
        near = self.guess.residual[live.places] ** 2 <= self.enough
        if near.any():  # X (I + R) will do
            self._open(live.at(near), repeat(OPEN_DEGREE))
            live = live.at(~near)
            if not live.places.size:
                return live
        space, noise = Moments(live.R, SLOTS), live.noise + UNSEEN / 10
        seen = look(space.one, space.R, space, EPS, noise)
        before = space.seen(seen.fit.remainder)
        reach = _reach(space.norm(space.R)[0], space.norm(seen.square)[0])
        choice, opens, hidden = choose(self.weights, seen, live.hidden, space, np)
        going = way(self.weights, seen, space) if first else np.full(len(reach), NETWORK)
        for by_traces, before_it in ((TRACES, 0), (SQUEEZED, 2)):
            if not self._fits(live, before_it):
                going[going == by_traces] = NETWORK
        going[(going == NETWORK) & (opens > 0)] = OPEN
        going[self._enough(before[0], reach, live.spent + 2)] = DONE
        live = live._replace(hidden=hidden)
        for which in (DONE, SQUEEZED, TRACES, GREEDY, OPEN):
            if (some := going == which).any():
                self._leave(which, live.at(some), space, _look_at(seen, some), some, reach[some])
        stay = going == NETWORK
        if not stay.any():
            return live.at(stay)
        if not stay.all():
            live, noise, before = live.at(stay), noise[stay], before[:, stay]
            reach = reach[stay]
            choice, seen = [c[:, stay] for c in choice], _look_at(seen, stay)
            space.keep(stay)
        seen = lift(choice, seen, space, EPS, noise)
        moves, hidden = foresee(self.weights, seen, before, live.hidden, space, np)
        # Where the uncorrected step will do, there is nothing to look ahead to.
        ahead = space.seen(seen.fit.remainder) * np.minimum(reach, 1.0) > self.enough
        steps, rest = corrected(seen.fit, [ahead * move for move in moves], space)
        seen = seen._replace(fit=seen.fit._replace(remainder=rest))
        found = _combined(space, seen, steps)
        return self._step(live._replace(hidden=hidden), *found, BLOCK_PRODUCTS, reach)

    def _enough(self, left: Array, reach: Array, spent: int) -> NDArray[np.bool_]:
        """Whether a step that leaves so much for so many products in all is the last but one."""
        squared = (left**2 <= self.enough) & (spent < self.most)
        return squared | (left * np.minimum(reach, 1.0) <= self.enough)

    def _leave(
        self,
        which: int,
        live: Live,
        space: Moments,
        seen: Look,
        places: NDArray[np.bool_],
        reach: Array,
    ) -> None:
        """Without the network from here on, to the end."""
        square: Array | None = space.matrix(seen.square, places)
        if which in (DONE, SQUEEZED):
            found = _combined(space, seen, seen.fit.coefficients, places)
            live, square = self._step(live, *found, 2, reach), None
        if not live.places.size:
            return
        if which in (TRACES, SQUEEZED):
            self._by_traces(live, live.R @ live.R if square is None else square, STEPS)
        else:
            degrees = STEPS if which == GREEDY else []
            self._open(live, chain(degrees, repeat(OPEN_DEGREE)), square)

    def _open(self, live: Live, degrees: Iterable[int], square: Array | None = None) -> Live:
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
                done = self._enough(norm(o.remainder), reach, live.spent + d)
                if done.any():
                    found = _opened(_opening_at(o, done))
                    self._open(self._step(live.at(done), *found, d, reach[done]), [1])
                    live, o, length = live.at(~done), _opening_at(o, ~done), length[~done]
                    reach, square = reach[~done], None if square is None else square[~done]
                    if not live.places.size:
                        return live
                image = None
                if d == 1:  # R (I - R), which R² makes known
                    q = o.directions[0]
                    image = STACKS.product(o.R, q) if square is None else (o.R - square) / length
                    reach = _reach(reach, norm(o.R - length * image))
                o = turned(o, length, STACKS, image)
            live, square = self._step(live, *_opened(o), degree, reach), None
        return live


def _reach(size: Array, square: Array) -> Array:
    """A bound of ‖R‖2, from ‖R‖F and ‖R²‖F."""
    return np.minimum(size, square**0.5)


def _combined(
    space: Moments,
    seen: Look,
    steps: list[Any],
    which: NDArray[np.bool_] | slice = slice(None),
) -> tuple[Array, Array, Array]:
    """p of steps along the basis, what is left, and by how much errors of R grow."""
    c = polynomial(seen.fit, steps)
    p = np.sum([v * M for v, M in zip(c, seen.known, strict=True)], axis=0)
    growth = 1.0 + np.sum(np.abs(c), axis=0)
    return space.matrix(p, which), space.matrix(seen.fit.remainder, which), growth[0]


def _opened(o: Opening) -> tuple[Array, Array, Array]:
    """The same of an open-ended step."""
    return o.polynomial(np.eye(o.R.shape[-1])), o.remainder, o.growth[:, 0, 0]


def _look_at(seen: Look, which: NDArray[np.bool_]) -> Look:
    """A look at some matrices."""
    known, square, fit = _at(list(seen), which, lambda v: v[:, which])
    return Look(known, square, Fit(*fit))


def _opening_at(o: Opening, which: NDArray[np.bool_]) -> Opening:
    """An open-ended step at some matrices."""
    return Opening(*_at(list(o), which, lambda v: v[which]))


def _at(value: Any, which: NDArray[np.bool_], take: Any) -> Any:
    """The arrays of a nested list, at some matrices; numbers are the same for all."""
    if isinstance(value, list | tuple):
        return [_at(part, which, take) for part in value]
    return take(value) if isinstance(value, np.ndarray) else value
