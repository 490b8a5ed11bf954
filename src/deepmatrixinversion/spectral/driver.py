"""The size-agnostic network at work: float64, any order, as many products as a matrix needs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, repeat
from typing import Any

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
from deepmatrixinversion.spectral.descent import OPEN_DEGREE, Descent, reach_of
from deepmatrixinversion.spectral.live import Live, some_of
from deepmatrixinversion.spectral.moments import UNSEEN, Moments
from deepmatrixinversion.spectral.plan import FOLDED, GREEDY, NETWORK, OPEN, SQUEEZED, TRACES, way
from deepmatrixinversion.spectral.start import curved, start, start_from_identity, symmetric
from deepmatrixinversion.spectral.traces import folded

MOST_BLOCKS = 8
"""After so many the last step begins, whatever the network says."""

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
        _run(Descent(part, found, max_products, max(tol, FLOOR)), weights, R, spent)
        guess.X[places], guess.residual[places], guess.products[places] = found
    return guess


def definite_of(S: Array, one: Array) -> NDArray[np.bool_]:
    """Which matrices start from the identity."""
    which = np.abs(S[:, 0] - S[:, :, 0]).sum(axis=1) <= 1e-9  # few others pass, for O(n)
    which[which] = symmetric(S[which], one, EPS, np)[:, 0, 0]
    which[which] = curved(S[which], np)[:, 0, 0]
    return which


def _run(descent: Descent, weights: Mapping[str, NDArray], R: Array, spent: int) -> None:
    """From the start, with its residual, to the end: in place."""
    guess, k = descent.guess, len(R)
    first, at_first = guess.X.copy(), guess.residual.copy()
    hidden = np.zeros((k, weights["mix.0.bias"].shape[0]), dtype=np.float32)
    live = Live(np.arange(k), guess.X, R, np.full(k, EPS), hidden, spent)
    live = live.at(guess.residual > descent.enough)
    small = R.shape[-1] <= SMALL_ORDER
    if small and descent.fits(live):
        descent.by_traces(live, live.R @ live.R, [])
    else:
        for block in range(0 if small else MOST_BLOCKS):
            # With less, one step of the powers reaches as far.
            if not live.places.size or descent.most - live.spent < BLOCK_PRODUCTS + 2:
                break
            live = _block(descent, weights, live, first=block == 0)
        descent.open(live, repeat(OPEN_DEGREE))
    keep_start(guess, first, at_first)  # which no weights can get past


def _block(descent: Descent, weights: Mapping[str, NDArray], live: Live, first: bool) -> Live:
    """A block for those that neither leave within it, nor open, nor go another way."""
    near = descent.guess.residual[live.places] ** 2 <= descent.enough
    if near.any():  # X (I + R) will do
        descent.open(live.at(near), repeat(OPEN_DEGREE))
        live = live.at(~near)
        if not live.places.size:
            return live
    space, noise = Moments(live.R, SLOTS), live.noise + UNSEEN / 10
    seen = look(space.one, space.R, space, EPS, noise)
    before = space.seen(seen.fit.remainder)
    reach = reach_of(space.norm(space.R)[0], space.norm(seen.square)[0])
    choice, opens, hidden = choose(weights, seen, live.hidden, space, np)
    going = way(weights, seen, space) if first else np.full(len(reach), NETWORK)
    for by_traces, before_it in ((TRACES, 0), (SQUEEZED, 2), (FOLDED, 2)):
        if not descent.fits(live, before_it):
            going[going == by_traces] = NETWORK
    going[(going == NETWORK) & (opens > 0)] = OPEN
    going[descent.suffices(before[0], reach, live.spent + 2)] = DONE
    live = live._replace(hidden=hidden)
    for which in (DONE, FOLDED, SQUEEZED, TRACES, GREEDY, OPEN):
        if (some := going == which).any():
            _leave(descent, which, live.at(some), space, _look_at(seen, some), some, reach[some])
    stay = going == NETWORK
    if not stay.any():
        return live.at(stay)
    if not stay.all():
        live, noise, before = live.at(stay), noise[stay], before[:, stay]
        reach = reach[stay]
        choice, seen = [c[:, stay] for c in choice], _look_at(seen, stay)
        space.keep(stay)
    seen = lift(choice, seen, space, EPS, noise)
    moves, hidden = foresee(weights, seen, before, live.hidden, space, np)
    # Where the uncorrected step will do, there is nothing to look ahead to.
    left = space.seen(seen.fit.remainder)
    ahead = ~descent.suffices(left[0], reach, live.spent + BLOCK_PRODUCTS)
    steps, rest = corrected(seen.fit, [ahead * move for move in moves], space)
    seen = seen._replace(fit=seen.fit._replace(remainder=rest))
    found = _combined(space, seen, steps)
    return descent.step(live._replace(hidden=hidden), *found, BLOCK_PRODUCTS, reach)


def _leave(
    descent: Descent,
    which: int,
    live: Live,
    space: Moments,
    seen: Look,
    places: NDArray[np.bool_],
    reach: Array,
) -> None:
    """Without the network from here on, to the end."""
    square = bounds = None
    if which in (DONE, SQUEEZED):
        found = _combined(space, seen, seen.fit.coefficients, places)
        live = descent.step(live, *found, 2, reach)
    elif which == FOLDED:
        p, left, growth = folded(seen, space.of(places))
        found = space.matrix(p, places), space.matrix(left, places), growth
        live = descent.step(live, *found, 2, reach)
        bounds = np.zeros(len(live.places)), np.ones(len(live.places))
    else:
        square = space.matrix(seen.square, places)
    if not live.places.size:
        return
    if which in (TRACES, SQUEEZED, FOLDED):
        square = live.R @ live.R if square is None else square
        descent.by_traces(live, square, STEPS, bounds)
    else:
        degrees = STEPS if which == GREEDY else []
        descent.open(live, chain(degrees, repeat(OPEN_DEGREE)), square)


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


def _look_at(seen: Look, which: NDArray[np.bool_]) -> Look:
    """A look at some matrices."""
    known, square, fit = some_of(list(seen), lambda v: v[:, which])
    return Look(known, square, Fit(*fit))
