"""The size-agnostic network at work: float64, any order, as many products as a matrix needs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.greedy import (
    EARLY_EXIT,
    EPS,
    FLOOR,
    GREEDY,
    Array,
    Guess,
    alive,
    at,
    finish,
    fit_at,
    keep_start,
    leave,
    norm,
    step,
)
from deepmatrixinversion.linalg.polynomial import MATRICES, corrected
from deepmatrixinversion.spectral.advice import (
    BLOCK_PRODUCTS,
    BLOCKS,
    Look,
    foresee,
    lift,
    look,
)
from deepmatrixinversion.spectral.start import curved, start, symmetric

UNTRAINED_ORDER = 24
"""From here on definite matrices take greedy steps on the way to a tolerance. Products to 1e-3 at
n = 32: the network takes 13.4 to 15.8 where greedy steps take 10.0 to 14.0 (kernels of a table,
grids, ridge Hessians, MIMO, windows), but 12.3 on random definite matrices where they take 13.4."""


def spectral_guess(
    weights: Mapping[str, NDArray],
    S: Array,
    *,
    max_products: int,
    tol: float = EARLY_EXIT,
) -> Guess:
    """Guess inverses by minimal residual polynomials, corrected by the network.

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
    middle of a block as well, and costs nothing more. On the way to a tolerance definite matrices
    of order 24 and more go without the network, which there costs more than it saves.
    """
    S = np.ascontiguousarray(S, dtype=np.float64)
    k, n = S.shape[:2]
    one = np.eye(n)
    definite = symmetric(S, one, np)
    definite[definite] = curved(S[definite[:, 0, 0]], np)[:, 0, 0]
    if max_products < 1 or not k:
        square = np.einsum("kij,kij->k", S, S)
        X = S.swapaxes(1, 2) / np.where(square > 0, square, 1.0)[:, None, None]
        return Guess(X, np.full(k, np.sqrt(n)), np.zeros(k, dtype=np.int64))
    X, R = start(S, definite, one, np)
    guess = Guess(X, norm(R), np.ones(k, dtype=np.int64))
    first, at_first = X.copy(), guess.residual.copy()
    enough = max(tol, FLOOR)
    live = alive(R, weights["mix.0.bias"].shape[0]).at(guess.residual > enough)
    spent = 1
    if tol > 0 and n >= UNTRAINED_ORDER:
        untrained = definite[live.places, 0, 0]
        finish(guess, live.at(untrained), spent, max_products, enough, GREEDY)
        live = live.at(~untrained)
    for block in range(BLOCKS):
        # With less, one step of the powers reaches as far.
        if max_products - spent < BLOCK_PRODUCTS + 2 or not live.places.size:
            break
        seen = look(one, live.R, MATRICES, EPS, live.noise)
        before = norm(seen.fit.remainder)
        if (done := before <= enough).any():
            leave(guess, live, seen.known, seen.fit, done, spent + 2)
            live, seen, before = live.at(~done), _look_at(seen, ~done), before[~done]
        if not live.places.size:
            break
        seen, hidden = lift(weights, block, seen, live.hidden, MATRICES, np, EPS, live.noise)
        before = before[:, None, None]
        moves, opens, hidden = foresee(weights, block, seen, before, hidden, MATRICES, np)
        spent += BLOCK_PRODUCTS
        if (done := norm(seen.fit.remainder) <= enough).any():
            leave(guess, live, seen.known, seen.fit, done, spent)
            live, seen = live.at(~done), _look_at(seen, ~done)
            moves, opens, hidden = [m[~done] for m in moves], opens[~done], hidden[~done]
        steps, R = corrected(seen.fit, moves, MATRICES)
        live = step(guess, live, seen.known, seen.fit, steps, R, spent)._replace(hidden=hidden)
        finish(guess, live.at(opens > 0), spent, max_products, enough)
        live = live.at(opens <= 0)
    finish(guess, live, spent, max_products, enough)
    keep_start(guess, first, at_first)  # which no weights can get past
    return guess


def _look_at(seen: Look, which: NDArray[np.bool_]) -> Look:
    known = [at(M, which) for M in seen.known]
    return Look(known, seen.square[which], fit_at(seen.fit, which))
