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
from deepmatrixinversion.spectral.plan import GREEDY, NETWORK, way
from deepmatrixinversion.spectral.start import curved, start, start_from_identity, symmetric

MOST_BLOCKS = 8
"""After so many the last step begins, whatever the network says."""

OPEN_DEGREE = 12
"""Largest degree of the last step, which is left as soon as it suffices; then another follows."""

SMALL_ORDER = 7
"""Up to here all open at once, which by Cayley-Hamilton ends after n directions."""

STEPS = (3, 3, 3, OPEN_DEGREE)
"""Degrees of greedy steps."""

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
        Descent(found, weights, max_products, max(tol, FLOOR)).run(R, spent)
        guess.X[places], guess.residual[places], guess.products[places] = found
    return guess


def definite_of(S: Array, one: Array) -> NDArray[np.bool_]:
    """Which matrices start from the identity."""
    which = np.abs(S[:, 0] - S[:, :, 0]).sum(axis=1) <= 1e-9  # few others pass, for O(n)
    which[which] = symmetric(S[which], one, EPS, np)[:, 0, 0]
    which[which] = curved(S[which], np)[:, 0, 0]
    return which


class Descent(NamedTuple):
    """Guesses so far, the weights, products at most, and the residual that is enough."""

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
        for block in range(0 if small else MOST_BLOCKS):
            # With less, one step of the powers reaches as far.
            if not live.places.size or self.most - live.spent < BLOCK_PRODUCTS + 2:
                break
            live = self._block(live, first=block == 0)
        self._open(live, repeat(OPEN_DEGREE))
        keep_start(guess, first, at_first)  # which no weights can get past

    def _step(
        self, live: Live, p: Array, R: Array, growth: Array, products: int, reach: Array
    ) -> Live:
        """X <- X p(R) and R <- what that leaves, so many products from here; who is not done.

        ``reach`` (k,) are bounds of ‖R‖2. Who needs no further residual takes X (p + R') of what
        X p would leave, R': that leaves R R' for the same products.
        """
        places, spent, residual = live.places, live.spent + products, norm(R)
        last = (reach < 1) & ((reach * residual <= self.enough) | (spent == self.most))
        if last.any():
            p = p + np.where(last, 1.0, 0.0)[:, None, None] * R
            residual = np.where(last, reach, 1.0) * residual
        X = live.X[:, :1, :1] * p if live.spent < 0 else live.X @ p
        self.guess.X[places], self.guess.residual[places] = X, residual
        self.guess.products[places] = spent
        after = Live(places, X, R, live.noise * growth, live.hidden, spent)
        return after.at(residual > self.enough)

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
        done = before[0] * np.minimum(reach, 1.0) <= self.enough
        ways = way(self.weights, seen, space) if first else np.full(len(done), NETWORK)
        greedy = ~done & (ways == GREEDY)
        opening = ~done & ~greedy & ((ways != NETWORK) | (opens > 0))
        live = live._replace(hidden=hidden)
        if done.any():
            part = _look_at(seen, done)
            found = _combined(space, part, part.fit.coefficients, done)
            self._step(live.at(done), *found, 2, reach[done])
        for going, degrees in ((greedy, STEPS), (opening, [])):
            square = space.matrix(seen.square[:, going], going)
            self._open(live.at(going), chain(degrees, repeat(OPEN_DEGREE)), square)
        stay = ~(done | greedy | opening)
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
                done = norm(o.remainder) * np.minimum(reach, 1.0) <= self.enough
                if done.any():
                    self._step(live.at(done), *_opened(_opening_at(o, done)), d, reach[done])
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
