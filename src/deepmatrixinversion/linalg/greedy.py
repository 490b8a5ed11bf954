"""Minimal residual steps on a stack of matrices, each of which leaves as soon as it is done.

What a driver of guesses needs: float64, any start, as many products as each matrix needs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.polynomial import (
    MATRICES,
    Fit,
    begin,
    extend,
    polynomial,
    scaled,
)

EARLY_EXIT = 1e-3
"""Residual at which a guess is left to Newton-Schulz, which squares it with 2 products."""

OPEN_DEGREE = 12
"""Largest degree of the last step, which is left as soon as it suffices; then another follows."""

GREEDY = (3, 3, 3, OPEN_DEGREE)
"""Degrees of the steps from a start that nothing is known of."""

FLOOR = 1e-13
"""Predicted residual beyond which nothing is gained in float64."""

EPS = float(np.finfo(float).eps)

Array = NDArray[np.float64]


class Guess(NamedTuple):
    """Candidate inverses (k, n, n), predicted residuals ‖I - AX‖F (k,), products spent (k,)."""

    X: Array
    residual: Array
    products: NDArray[np.int64]


class Live(NamedTuple):
    """The matrices that are not done: places in the stack, R, errors of R."""

    places: NDArray[np.intp]
    R: Array
    noise: Array

    def at(self, which: NDArray[np.bool_]) -> Live:
        """Some of them."""
        return Live(self.places[which], self.R[which], self.noise[which])


def alive(R: Array) -> Live:
    """All matrices of a stack, by their residuals."""
    k = len(R)
    return Live(np.arange(k), R, np.full((k, 1, 1), EPS))


def improved(
    S: Array,
    X: Array,
    *,
    degrees: tuple[int, ...] = (OPEN_DEGREE,),
    max_products: int = 60,
    tol: float = EARLY_EXIT,
) -> Guess:
    """Approximate inverses of (k, n, n) matrices, from others of any quality.

    The start is brought to its best scale, for one product and none more; steps of the given
    degrees follow, the last one again and again, and a matrix leaves in the middle of a step once
    its predicted residual is at most ``tol``. Where that goes wrong, the start is kept.
    """
    one = np.eye(S.shape[-1])
    factor, R = scaled(one, one - S @ X, MATRICES)
    guess = Guess(factor * X, norm(R), np.ones(len(S), dtype=np.int64))
    first, at_first = guess.X.copy(), guess.residual.copy()
    enough = max(tol, FLOOR)
    live = alive(R).at(guess.residual > enough)
    finish(guess, live, 1, max_products, enough, degrees)
    keep_start(guess, first, at_first)
    return guess


def keep_start(guess: Guess, first: Array, residual: Array) -> None:
    """The start again, where a guess is predicted to be worse. NaN is worse, too."""
    worse = ~(guess.residual <= residual)
    guess.X[worse], guess.residual[worse] = first[worse], residual[worse]


def step(
    guess: Guess,
    live: Live,
    known: list[Array],
    fit: Fit,
    steps: list[Array],
    R: Array,
    products: int,
) -> Live:
    """X <- X p(R), in place; and what is live then."""
    c = polynomial(fit, steps)
    guess.X[live.places] = guess.X[live.places] @ sum(v * M for v, M in zip(c, known, strict=False))
    guess.residual[live.places], guess.products[live.places] = norm(R), products
    # R is predicted, not measured: its error grows with the coefficients.
    noise = live.noise * (1.0 + sum(np.abs(value) for value in c))
    return live._replace(R=R, noise=noise)


def leave(
    guess: Guess,
    live: Live,
    known: list[Array],
    fit: Fit,
    which: NDArray[np.bool_],
    products: int,
) -> None:
    """The greedy step for those that are done with it."""
    fit = fit_at(fit, which)
    known = [at(M, which) for M in known]
    step(guess, live.at(which), known, fit, fit.coefficients, fit.remainder, products)


def finish(
    guess: Guess,
    live: Live,
    spent: int,
    max_products: int,
    enough: float,
    degrees: tuple[int, ...] = (OPEN_DEGREE,),
) -> None:
    """Minimal residual steps of these degrees, the last one until all is done or spent."""
    identity = np.eye(live.R.shape[-1])
    coming = list(degrees)
    while live.places.size and spent < max_products:
        degree = min(coming[0], max_products - spent)
        coming = coming[1:] or coming
        powers, fit = [identity, live.R], begin(live.R)
        for m in range(1, degree + 1):
            fit = extend(fit, live.R, powers, MATRICES, EPS, live.noise)
            done = norm(fit.remainder) <= enough
            if m == degree:
                break
            if done.any():
                leave(guess, live, powers, fit, done, spent + m)
                live, fit = live.at(~done), fit_at(fit, ~done)
                powers = [at(M, ~done) for M in powers]
                if not live.places.size:
                    return
            powers.append(powers[-1] @ live.R)
        spent += degree
        live = step(guess, live, powers, fit, fit.coefficients, fit.remainder, spent)
        live = live.at(guess.residual[live.places] > enough)


def norm(R: Array) -> Array:
    """‖R‖F of each."""
    return np.sqrt(np.einsum("kij,kij->k", R, R))


def at(M: Array, which: NDArray[np.bool_]) -> Array:
    """A polynomial at some matrices; the identity serves all."""
    return M if M.ndim == 2 else M[which]


def fit_at(fit: Fit, which: NDArray[np.bool_]) -> Fit:
    """A fit at some matrices."""

    def take(value):
        return value[which] if isinstance(value, np.ndarray) else value

    return Fit(
        [q[which] for q in fit.basis],
        [[take(r) for r in row] for row in fit.rows],
        [t[which] for t in fit.coefficients],
        fit.remainder[which],
    )
