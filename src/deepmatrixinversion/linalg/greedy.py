r"""Minimal residual steps on a stack of matrices, each of which leaves as soon as it is done.

What a driver of guesses needs: float64, any start, as many products as each matrix needs.

The last step need not know its own residual. With R = I - A X and E what the best polynomial p of
degree m - 1 leaves of it, X (I + R p(R)) leaves R E, whose powers are there already, and a
Newton-Schulz step on X p(R) leaves E²: ‖R‖F ‖E‖F and ‖E‖F² bound them without a product.
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
    guess, R = begun(S, X)
    pursue(guess, R, 1, max_products, tol, degrees)
    return guess


def begun(S: Array, X: Array) -> tuple[Guess, Array]:
    """The start at its best scale, and R = I - S X: a product."""
    one = np.eye(S.shape[-1])
    factor, R = scaled(one, one - S @ X, MATRICES)
    return Guess(factor * X, norm(R), np.ones(len(S), dtype=np.int64)), R


def pursue(
    guess: Guess,
    R: Array,
    spent: int,
    max_products: int,
    tol: float,
    degrees: tuple[int, ...],
) -> None:
    """From a start with its residual to the end: ``finish``, or the start where that goes wrong."""
    first, at_first = guess.X.copy(), guess.residual.copy()
    enough = max(tol, FLOOR)
    live = alive(R).at(guess.residual > enough)
    finish(guess, live, spent, max_products, enough, degrees)
    keep_start(guess, first, at_first)


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
    if not which.any():
        return
    fit = fit_at(fit, which)
    known = [at(M, which) for M in known]
    step(guess, live.at(which), known, fit, fit.coefficients, fit.remainder, products)


def leave_unseen(
    guess: Guess,
    live: Live,
    known: list[Array],
    fit: Fit,
    which: NDArray[np.bool_],
    products: int,
) -> None:
    """X <- X (I + R p(R)) for those that R E is small enough for, the greedy step leaving E."""
    if not which.any():
        return
    fit, live = fit_at(fit, which), live.at(which)
    c = [1.0, *polynomial(fit, fit.coefficients)]
    p = sum(v * at(M, which) for v, M in zip(c, known, strict=True))
    guess.X[live.places] = guess.X[live.places] @ p
    guess.residual[live.places] = norm(live.R) * norm(fit.remainder)
    guess.products[live.places] = products


def leave_squared(guess: Guess, live: Live, E: Array, products: int) -> None:
    """X <- X (I + E), a Newton-Schulz step, after the step that leaves E."""
    X = guess.X[live.places]
    guess.X[live.places] = X + X @ E
    guess.residual[live.places] = norm(E) ** 2
    guess.products[live.places] = products


def finish(
    guess: Guess,
    live: Live,
    spent: int,
    max_products: int,
    enough: float,
    degrees: tuple[int, ...] = (OPEN_DEGREE,),
) -> None:
    """Minimal residual steps of these degrees, the last one until all is done or spent.

    ``spent`` are the products when R is known: 1, and -1 from a multiple of the identity, where
    neither R takes one nor the first step's X p(R).
    """
    identity = np.eye(live.R.shape[-1])
    coming = list(degrees)
    while live.places.size and spent < max_products:
        degree = min(coming[0], max_products - spent)
        coming = coming[1:] or coming
        powers, fit = [identity, live.R], begin(live.R)
        for m in range(1, degree + 1):
            fit = extend(fit, live.R, powers, MATRICES, EPS, live.noise)
            stay = ~departed(guess, live, powers, fit, spent + m, enough, m < degree)
            if not stay.all():
                live, fit = live.at(stay), fit_at(fit, stay)
                powers = [at(M, stay) for M in powers]
            if not live.places.size:
                return
            if m < degree:
                powers.append(powers[-1] @ live.R)
        spent += degree
        live = step(guess, live, powers, fit, fit.coefficients, fit.remainder, spent)
        live = live.at(guess.residual[live.places] > enough)  # NaN is not


def departed(
    guess: Guess,
    live: Live,
    powers: list[Array],
    fit: Fit,
    products: int,
    enough: float,
    another: bool,
) -> NDArray[np.bool_]:
    """Which matrices have left, in the cheapest of three ways that ends below ``enough``.

    ``another`` says whether a product more is allowed.
    """
    left = norm(fit.remainder)
    done = left <= enough
    unseen = ~done & (left * norm(live.R) <= enough)
    squared = ~done & ~unseen & (left**2 <= enough) & another
    leave(guess, live, powers, fit, done | squared, products)
    leave_unseen(guess, live, powers, fit, unseen, products)
    leave_squared(guess, live.at(squared), fit.remainder[squared], products + 1)
    return done | unseen | squared


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
