"""The size-agnostic network at work: float64, any order, as many products as a matrix needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.polynomial import (
    MATRICES,
    Fit,
    begin,
    corrected,
    extend,
    polynomial,
)
from deepmatrixinversion.spectral.advice import (
    BLOCK_PRODUCTS,
    BLOCKS,
    Look,
    foresee,
    lift,
    look,
)
from deepmatrixinversion.spectral.start import curved, start, symmetric

EARLY_EXIT = 1e-3
"""Residual at which the guess is left to Newton-Schulz, which squares it with 2 products."""

OPEN_DEGREE = 12
"""Largest degree of the last step, which is left as soon as it suffices; then another follows."""

FLOOR = 1e-13
"""Predicted residual beyond which nothing is gained in float64."""

EPS = float(np.finfo(float).eps)

Array = NDArray[np.float64]


class Guess(NamedTuple):
    """Candidate inverses (k, n, n), predicted residuals ‖I - AX‖F (k,), products spent (k,)."""

    X: Array
    residual: Array
    products: NDArray[np.int64]


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
    middle of a block as well, and costs nothing more.
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
    guess = Guess(X, _norm(R), np.ones(k, dtype=np.int64))
    first, at_first = X.copy(), guess.residual.copy()
    enough = max(tol, FLOOR)
    hidden = np.zeros((k, weights["mix.0.bias"].shape[0]))
    live = _Live(np.arange(k), R, np.full((k, 1, 1), EPS), hidden)
    live = live.at(guess.residual > enough)
    spent = 1
    for block in range(BLOCKS):
        # With less, one step of the powers reaches as far.
        if max_products - spent < BLOCK_PRODUCTS + 2 or not live.places.size:
            break
        seen = look(one, live.R, MATRICES, EPS, live.noise)
        before = _norm(seen.fit.remainder)
        if (done := before <= enough).any():
            _leave(guess, live, seen.known, seen.fit, done, spent + 2)
            live, seen, before = live.at(~done), _look_at(seen, ~done), before[~done]
        if not live.places.size:
            break
        seen, hidden = lift(weights, block, seen, live.hidden, MATRICES, np, EPS, live.noise)
        before = before[:, None, None]
        moves, opens, hidden = foresee(weights, block, seen, before, hidden, MATRICES, np)
        spent += BLOCK_PRODUCTS
        if (done := _norm(seen.fit.remainder) <= enough).any():
            _leave(guess, live, seen.known, seen.fit, done, spent)
            live, seen = live.at(~done), _look_at(seen, ~done)
            moves, opens, hidden = [m[~done] for m in moves], opens[~done], hidden[~done]
        steps, R = corrected(seen.fit, moves, MATRICES)
        live = _step(guess, live, seen.known, seen.fit, steps, R, spent)._replace(hidden=hidden)
        _finish(guess, live.at(opens > 0), spent, max_products, enough)
        live = live.at(opens <= 0)
    _finish(guess, live, spent, max_products, enough)
    # The guard, which no weights can get past. NaN is worse, too.
    worse = ~(guess.residual <= at_first)
    guess.X[worse], guess.residual[worse] = first[worse], at_first[worse]
    return guess


class _Live(NamedTuple):
    """The matrices that are not done: places in the stack, R, errors of R, hidden states."""

    places: NDArray[np.intp]
    R: Array
    noise: Array
    hidden: Array

    def at(self, which: NDArray[np.bool_]) -> _Live:
        return _Live(self.places[which], self.R[which], self.noise[which], self.hidden[which])


def _step(
    guess: Guess,
    live: _Live,
    known: list[Array],
    fit: Fit,
    steps: list[Array],
    R: Array,
    products: int,
) -> _Live:
    """X <- X p(R), in place; and what is live then."""
    c = polynomial(fit, steps)
    guess.X[live.places] = guess.X[live.places] @ sum(v * M for v, M in zip(c, known, strict=False))
    guess.residual[live.places], guess.products[live.places] = _norm(R), products
    # R is predicted, not measured: its error grows with the coefficients.
    noise = live.noise * (1.0 + sum(np.abs(value) for value in c))
    return live._replace(R=R, noise=noise)


def _leave(
    guess: Guess,
    live: _Live,
    known: list[Array],
    fit: Fit,
    which: NDArray[np.bool_],
    products: int,
) -> None:
    """The greedy step for those that are done with it."""
    fit = _fit_at(fit, which)
    known = [_at(M, which) for M in known]
    _step(guess, live.at(which), known, fit, fit.coefficients, fit.remainder, products)


def _finish(guess: Guess, live: _Live, spent: int, max_products: int, enough: float) -> None:
    """Open-ended minimal residual steps: as many powers as each matrix needs."""
    identity = np.eye(live.R.shape[-1])
    while live.places.size and spent < max_products:
        degree = min(OPEN_DEGREE, max_products - spent)
        powers, fit = [identity, live.R], begin(live.R)
        for m in range(1, degree + 1):
            fit = extend(fit, live.R, powers, MATRICES, EPS, live.noise)
            done = _norm(fit.remainder) <= enough
            if m == degree:
                break
            if done.any():
                _leave(guess, live, powers, fit, done, spent + m)
                live, fit = live.at(~done), _fit_at(fit, ~done)
                powers = [_at(M, ~done) for M in powers]
                if not live.places.size:
                    return
            powers.append(powers[-1] @ live.R)
        spent += degree
        live = _step(guess, live, powers, fit, fit.coefficients, fit.remainder, spent)
        live = live.at(guess.residual[live.places] > enough)


def _norm(R: Array) -> Array:
    return np.sqrt(np.einsum("kij,kij->k", R, R))


def _at(M: Array, which: NDArray[np.bool_]) -> Array:
    """A polynomial at some matrices; the identity serves all."""
    return M if M.ndim == 2 else M[which]


def _fit_at(fit: Fit, which: NDArray[np.bool_]) -> Fit:
    def take(value):
        return value[which] if isinstance(value, np.ndarray) else value

    return Fit(
        [q[which] for q in fit.basis],
        [[take(r) for r in row] for row in fit.rows],
        [t[which] for t in fit.coefficients],
        fit.remainder[which],
    )


def _look_at(seen: Look, which: NDArray[np.bool_]) -> Look:
    known = [_at(M, which) for M in seen.known]
    return Look(known, seen.square[which], _fit_at(seen.fit, which))
