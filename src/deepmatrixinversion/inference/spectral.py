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
from deepmatrixinversion.models.advice import DEGREES, advise, features

EARLY_EXIT = 1e-3
"""Residual at which the guess is left to Newton-Schulz, which squares it with 2 products."""

GREEDY_DEGREE = 8
"""Largest degree of the steps after the trained ones, which are left as soon as they suffice."""

FLOOR = 1e-13
"""Predicted residual beyond which nothing is gained in float64."""

POWER_STEPS = 12

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
    square = np.einsum("kij,kij->k", S, S)
    X = S.swapaxes(1, 2) / np.where(square > 0, square, 1.0)[:, None, None]
    products = np.zeros(k, dtype=np.int64)
    residual = np.full(k, np.sqrt(n))
    if max_products < 1 or not k:
        return Guess(X, residual, products)
    identity = np.eye(n)
    definite = _positive_definite(S)
    # Polynomials in A itself: kappa where A A^T has kappa². The residual costs no product then, but
    # keeps step with the others.
    X[definite] = identity / np.sqrt(square[definite])[:, None, None]
    R = identity - S @ X
    # Symmetric but for rounding, which the powers would amplify.
    R = 0.5 * (R + R.swapaxes(1, 2))
    spent, block = 1, 0
    index = np.arange(k)
    hidden = np.zeros((k, weights["mix.0.bias"].shape[0]))
    residual, products[:] = _norm(R), 1
    noise = np.full((k, 1, 1), EPS)
    while index.size and spent < max_products:
        degree = DEGREES[block] if block < len(DEGREES) else GREEDY_DEGREE
        degree = min(degree, max_products - spent)
        powers, fit = [identity, R], begin(R)
        for m in range(1, degree + 1):
            fit = extend(fit, R, powers, MATRICES, EPS, noise)
            left = _norm(fit.remainder)
            done = left <= max(tol, FLOOR)
            if m < degree and done.any():
                # Low enough already: these need no further power.
                part = np.flatnonzero(done)
                which = index[part]
                c = polynomial(_pick(fit, part), [t[part] for t in fit.coefficients])
                X[which] = X[which] @ _evaluate(c, [_at(p, part) for p in powers])
                residual[which], products[which] = left[part], spent + m
                keep = np.flatnonzero(~done)
                index, R, hidden, noise = index[keep], R[keep], hidden[keep], noise[keep]
                powers = [_at(p, keep) for p in powers]
                fit = _pick(fit, keep)
                if not index.size:
                    return Guess(X, residual, products)
            if m < degree:
                powers.append(powers[-1] @ R)
        steps, R, hidden = _advised(weights, block, degree, fit, powers, hidden)
        c = polynomial(fit, steps)
        X[index] = X[index] @ _evaluate(c, powers)
        # The next R is predicted, not measured: its error grows with the coefficients.
        noise = noise * (1.0 + sum(np.abs(value) for value in c))
        spent += degree
        residual[index], products[index] = _norm(R), spent
        keep = np.flatnonzero(residual[index] > max(tol, FLOOR))
        index, R, hidden, noise = index[keep], R[keep], hidden[keep], noise[keep]
        block += 1
    return Guess(X, residual, products)


def _positive_definite(S: Array) -> NDArray[np.intp]:
    """Indices of the symmetric matrices that look positive definite.

    Power iteration on ‖A‖F I - A, from two vectors, finds a direction of negative curvature where
    there is a marked one; a wrong guess costs convergence, never correctness. Cost: O(n²).
    """
    diagonal = np.einsum("kii->ki", S)
    symmetric = (diagonal > 0).all(axis=1) & (S.swapaxes(1, 2) == S).all(axis=(1, 2))
    index = np.flatnonzero(symmetric)
    if not index.size:
        return index
    A = S[index]
    shift = _norm(A)[:, None, None]
    n = A.shape[1]
    V = np.cos(np.arange(1, 2 * n + 1).reshape(n, 2) ** 2)  # fixed, and far from any structure
    V = np.broadcast_to(V, (len(A), n, 2))
    for _ in range(POWER_STEPS):
        V = shift * V - A @ V
        V = V / np.maximum(np.linalg.norm(V, axis=1, keepdims=True), 1e-300)
    curvature = np.einsum("kiv,kiv->kv", V, A @ V)
    return index[(curvature > 0).all(axis=1)]


def _advised(
    weights: Mapping[str, NDArray],
    block: int,
    degree: int,
    fit: Fit,
    powers: list[Array],
    hidden: Array,
) -> tuple[list[Array], Array, Array]:
    """Steps, predicted residual and hidden state; greedy where there is no trained block.

    The last step of a budget is greedy too: there is no later one to look ahead to.
    """
    if block >= len(DEGREES) or degree < DEGREES[block]:
        return fit.coefficients, fit.remainder, hidden
    f = features(powers, fit, MATRICES, np)
    out, hidden = advise(weights, block, f, hidden, np)
    steps, R = corrected(fit, [out[:, i, None, None] for i in range(degree)], MATRICES)
    return steps, R, hidden


def _evaluate(c: list[Array], powers: list[Array]) -> Array:
    P = c[0] * powers[0]
    for coefficient, power in zip(c[1:], powers[1:], strict=False):
        P = P + coefficient * power
    return P


def _norm(R: Array) -> Array:
    return np.sqrt(np.einsum("kij,kij->k", R, R))


def _at(power: Array, index: NDArray[np.intp]) -> Array:
    """A power at some matrices; the identity serves all."""
    return power if power.ndim == 2 else power[index]


def _pick(fit: Fit, index: NDArray[np.intp]) -> Fit:
    def take(value):
        return value[index] if isinstance(value, np.ndarray) else value

    return Fit(
        [q[index] for q in fit.basis],
        [[take(r) for r in row] for row in fit.rows],
        [t[index] for t in fit.coefficients],
        fit.remainder[index],
    )
