"""Ways to candidates, tried in turn, and from each to a proof: refined, polished, certified."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deepmatrixinversion.kernel import available
from deepmatrixinversion.linalg.candidates import Candidates, Problem, as_good_as_singular
from deepmatrixinversion.linalg.elimination import LARGEST_ORDER as ELIMINATION_ORDER
from deepmatrixinversion.linalg.elimination import eliminated
from deepmatrixinversion.linalg.halving import halved
from deepmatrixinversion.linalg.large import SMALLEST_ORDER, corrected_inverses
from deepmatrixinversion.linalg.newton import Refined, from_transpose, newton_schulz
from deepmatrixinversion.linalg.polish import polish, prove, slices_needed
from deepmatrixinversion.linalg.schur import (
    Leaf,
    block_inverse,
    guess_inverse,
    through_butterfly,
)
from deepmatrixinversion.linalg.stack import Array, Stack

Attempt = Callable[[Stack, Stack], Stack]
"""From scaled matrices and the best candidates so far, which may be anything, to candidates."""

POLISH_BELOW = 2.0**-18
"""A residual below which one polish of degree 2 reaches working accuracy (R^3 < u / 2)."""

ROUNDS = 6
"""Polishes of one candidate, at most: each squares its error at least."""


def attempts_for(guess: Leaf, order: int, n: int, seed: int, compiled: bool) -> list[Attempt]:
    """Ways to a candidate, the network's first."""

    def propose(S: Array) -> Array:
        return guess_inverse(S, guess, order) if n <= order else block_inverse(S, guess, order)

    def by_guess(S: Stack, _: Stack) -> Stack:
        # Where halving fails the network's leaves come in: they stand a singular block better.
        quick = compiled and n >= SMALLEST_ORDER and available()
        return Stack.of(halved(S.matrices()) if quick else propose(S.matrices()))

    def by_elimination(S: Stack, _: Stack) -> Stack:
        return Stack.of(eliminated(S.matrices()))

    def by_butterfly(number: int) -> Attempt:
        return lambda S, _: Stack.of(through_butterfly(S.matrices(), propose, seed + number))

    if n == 1:
        return [by_elimination]  # a reciprocal needs no network
    if n <= ELIMINATION_ORDER:
        return [by_guess, by_elimination, from_transpose]
    return [by_guess, by_butterfly(0), by_butterfly(1), from_transpose]


def pursued(problem: Problem, start: Stack) -> Candidates:
    """One attempt's candidates, refined; and where that converges, polished and certified."""
    S = problem.scaled.S
    refined = newton_schulz(S, start, tol=POLISH_BELOW if problem.tol is None else problem.tol)
    converged = np.flatnonzero(refined.residual < 1.0)
    if converged.size == len(S):
        return _proven(problem, refined)
    best = problem.unproven(refined)
    if converged.size:
        part = refined.at(converged)._replace(steps=np.zeros(converged.size, dtype=np.int64))
        best.keep_better(converged, _proven(problem.at(converged), part))
    return best


def _proven(problem: Problem, refined: Refined) -> Candidates:
    """Polished until nothing is gained, and certified; with a tolerance, certified as they are."""
    S, X = problem.scaled.S, refined.X
    if problem.tol is not None:
        proof = prove(S, X.copy(), slices_needed(S, X))
        return problem.settled(proof, refined.residual, refined.steps)
    single = problem.dtype == np.float32
    proof = polish(S, X, np.full(len(S), 1) if single else slices_needed(S, X))
    best = problem.settled(proof, refined.residual, refined.steps + 1)
    again = np.arange(len(S))
    for number in range(1, ROUNDS):
        bound = best.certificate.relative_error_bound[again]
        loose = (bound > problem.loose) & (bound < np.inf)
        again, before = again[loose], bound[loose]
        if not again.size:
            break
        proof = polish(S[again], best.X[again], np.full(again.size, 3 if number == 1 else 4))
        ones = np.ones(again.size, dtype=np.int64)
        found = problem.at(again).settled(proof, best.residual[again], ones)
        best.keep_better(again, found)
        # A matrix whose bound no longer falls is as good as float64 inverses of it are.
        again = again[best.certificate.relative_error_bound[again] < 0.5 * before]
    return best


def first_pursued(problem: Problem, start: Stack) -> Candidates:
    """The first attempt's candidates: where norms suffice for a proof, by norms."""
    if not problem.by_norms:
        return pursued(problem, start)
    scaled, reach = problem.scaled, problem.reach
    X, held, certificate, residual = corrected_inverses(
        scaled, start, problem.dtype, problem.rtol, reach
    )
    best = Candidates(X, held, certificate, residual, np.ones(len(X), dtype=np.int64))
    todo = ~(certificate.relative_error_bound <= problem.good)
    todo &= ~as_good_as_singular(scaled.S, best)
    index = np.flatnonzero(todo)
    if index.size:
        best.keep_better(index, pursued(problem.at(index), best.X[index]))
    return best
