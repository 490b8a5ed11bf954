"""The prior at work: its start where that is any use, the generic one elsewhere, then steps."""

from __future__ import annotations

import math

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
    finish,
    keep_start,
    norm,
)
from deepmatrixinversion.linalg.polynomial import MATRICES, scaled
from deepmatrixinversion.prior.store import Prior, propose
from deepmatrixinversion.spectral.start import curved, start, symmetric


def prior_guess(
    prior: Prior, S: Array, *, max_products: int = 60, tol: float = EARLY_EXIT
) -> Guess:
    """Guess inverses of (k, n, n) matrices of norm near one.

    ``products`` counts from the first residual on; `Prior.overhead` comes on top, and counts
    towards ``max_products``. A foreign matrix, whose sketched residual the guard does not let pass,
    starts as if there were no prior, and has lost the overhead alone.
    """
    S = np.ascontiguousarray(S, dtype=np.float64)
    size = norm(S)
    size = np.where(size > 0, size, 1.0)[:, None, None]
    budget = max(0, max_products - math.ceil(prior.overhead()))
    found = _unit_guess(prior, S / size, budget, tol)
    return found._replace(X=found.X / size)


def _unit_guess(prior: Prior, S: Array, max_products: int, tol: float) -> Guess:
    one = np.eye(prior.order)
    X, known = np.empty_like(S), np.zeros(len(S), dtype=bool)
    if prior.guard:
        proposal = propose(prior, S)
        X, known = proposal.X, proposal.familiar(prior)
    R = np.empty_like(S)
    foreign = ~known
    X[foreign], R[foreign] = generic_start(S[foreign])
    factor, R[known] = scaled(one, one - S[known] @ X[known], MATRICES)
    X[known] *= factor
    guess = Guess(X, norm(R), np.full(len(S), min(1, max_products), dtype=np.int64))
    first, at_first = X.copy(), guess.residual.copy()
    enough = max(tol, FLOOR)
    live = alive(R)
    for which, degrees in (
        (known, prior.degrees),
        (foreign, GREEDY if prior.guard else prior.degrees),
    ):
        going = live.at(which & (guess.residual > enough))
        finish(guess, going, 1, max_products, enough, degrees)
    keep_start(guess, first, at_first)
    return guess


def generic_start(S: Array) -> tuple[Array, Array]:
    """X and R where nothing is known of a matrix: from its transpose, or from the identity."""
    one = np.eye(S.shape[-1])
    definite: NDArray[np.bool_] = symmetric(S, one, EPS, np)
    definite[definite] = curved(S[definite[:, 0, 0]], np)[:, 0, 0]
    return start(S, definite, one, np)
