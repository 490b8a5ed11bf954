"""The prior at work: its start where that is any use, the generic one elsewhere, then steps."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.greedy import (
    EARLY_EXIT,
    EPS,
    GREEDY,
    OPEN_DEGREE,
    Array,
    Guess,
    begun,
    norm,
    pursue,
)
from deepmatrixinversion.prior.proposal import propose
from deepmatrixinversion.prior.store import Prior
from deepmatrixinversion.spectral.start import curved, start, start_from_identity, symmetric

SMALL_ORDER = 9
"""Up to here an open-ended step alone is the best of steps from nothing."""


ASTRAY = 2.0
"""Residuals in units of the guard from which on a start is given up that the guard let pass."""


class PriorGuess(NamedTuple):
    """A guess as of the linear algebra's, and what each start cost before its products, (k,)."""

    X: Array
    residual: Array
    products: NDArray[np.int64]
    overhead: Array


def prior_guess(
    prior: Prior, S: Array, *, max_products: int = 60, tol: float = EARLY_EXIT
) -> PriorGuess:
    """Guess inverses of (k, n, n) matrices of norm near one.

    ``products`` counts from the first residual on, 0 where the probe says that the start is below
    ``tol``; ``overhead`` comes on top, and `Prior.overhead`, the most that is, counts towards
    ``max_products``. A foreign matrix, which by its sketch or by the residual of its start the
    guard does not let pass, starts as if there were no prior, and has lost the overhead alone.
    """
    S = np.ascontiguousarray(S, dtype=np.float64)
    size = norm(S)
    size = np.where(size > 0, size, 1.0)[:, None, None]
    budget = max(0, max_products - math.ceil(prior.overhead()))
    found = _unit_guess(prior, S / size, budget, tol)
    return found._replace(X=found.X / size)


def _unit_guess(prior: Prior, S: Array, most: int, tol: float) -> PriorGuess:
    if not prior.guard:
        nothing = from_nothing(S, max_products=most, tol=tol, degrees=prior.degrees)
        return PriorGuess(*nothing, np.zeros(len(S)))
    proposal = propose(prior, S)
    known = proposal.familiar(prior)
    guess = Guess(proposal.X, proposal.seen, np.zeros(len(S), dtype=np.int64))
    if most:
        _go_on(prior, S, guess, known & ~(proposal.seen < min(prior.enough, tol)), most, tol)
    foreign = ~known
    if foreign.any():
        _put(guess, foreign, from_nothing(S[foreign], max_products=most, tol=tol))
    looked = np.isfinite(proposal.left)
    return PriorGuess(*guess, np.where(looked, prior.overhead(), prior.sight()))


def _go_on(
    prior: Prior, S: Array, guess: Guess, which: NDArray[np.bool_], most: int, tol: float
) -> None:
    """Steps from the starts of some matrices; from nothing, where R turns out much too large."""
    if not which.any():
        return
    found, R = begun(S[which], guess.X[which])
    fine = found.residual <= ASTRAY * prior.guard
    _put(guess, which, found)
    for part, begin in ((fine, True), (~fine, False)):
        if not part.any():
            continue
        places = np.flatnonzero(which)[part]
        if begin:
            some = Guess(found.X[part], found.residual[part], found.products[part])
            pursue(some, R[part], 1, most, tol, prior.degrees)
        else:
            some = from_nothing(S[places], max_products=most - 1, tol=tol)
            some = some._replace(products=some.products + 1)
        _put(guess, places, some)


def _put(guess: Guess, which: NDArray[Any], found: Guess) -> None:
    for whole, part in zip(guess, found, strict=True):
        whole[which] = part


def from_nothing(
    S: Array,
    *,
    max_products: int = 60,
    tol: float = EARLY_EXIT,
    degrees: tuple[int, ...] | None = None,
) -> Guess:
    """Guesses by greedy steps where nothing is known of (k, n, n) matrices of norm 1.

    From the identity where that is best, which costs neither a first residual nor the product of
    the first step. Degrees by default as are best on most matrices of the order.
    """
    n = S.shape[-1]
    degrees = degrees or ((OPEN_DEGREE,) if n <= SMALL_ORDER else GREEDY)
    one, definite = np.eye(n), _definite(S)
    guess = Guess(np.empty_like(S), np.full(len(S), np.inf), np.zeros(len(S), dtype=np.int64))
    for which, spent in ((definite, -1), (~definite, 1)):
        if not which.any():
            continue
        part = S[which]
        if spent < 0:
            X, R = start_from_identity(part, one, np)
        else:
            X, R = start(part, np.zeros((1, 1, 1), dtype=bool), one, np)
        found = Guess(X, norm(R), np.full(len(X), min(max(spent, 0), max_products)))
        pursue(found, R, spent, max_products, tol, degrees)
        _put(guess, which, found)
    return guess


def _definite(S: Array) -> NDArray[np.bool_]:
    """Which matrices start from the identity."""
    which: NDArray[np.bool_] = symmetric(S, np.eye(S.shape[-1]), EPS, np)[:, 0, 0]
    which[which] = curved(S[which], np)[:, 0, 0]
    return which


def generic_start(S: Array) -> tuple[Array, Array]:
    """X and R where nothing is known of a matrix: from its transpose, or from the identity."""
    return start(S, _definite(S)[:, None, None], np.eye(S.shape[-1]), np)
