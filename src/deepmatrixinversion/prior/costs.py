"""What starts cost: the rows of a prior's table, and those that need no fit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepmatrixinversion.linalg.greedy import (
    EARLY_EXIT,
    OPEN_DEGREE,
    Array,
    Guess,
    improved,
    norm,
)
from deepmatrixinversion.prior.driver import PriorGuess
from deepmatrixinversion.prior.store import CELLS, KEYS, MEMBERS, PROBES

SCHEDULES = ((OPEN_DEGREE,), (3, OPEN_DEGREE), (3, 3, OPEN_DEGREE), (3, 3, 3, OPEN_DEGREE))
"""Degrees of steps that are tried."""

ROUNDED = 1.001
"""What rounding may make of a residual that was predicted."""

MEAN = "mean inverse of all, unguarded"
NEAREST = "nearest training inverse"


class Data(NamedTuple):
    """Matrices of norm 1 with their inverses, (k, n, n) each."""

    S: Array
    X: Array

    def at(self, index: slice) -> Data:
        """Some of them."""
        return Data(self.S[index], self.X[index])


class Row(NamedTuple):
    """What a start costs on the test block: products to a residual of 1e-3, overhead included.

    ``lost`` is the share that 60 products did not bring there.
    """

    name: str
    mean: float
    most: float
    overhead: float
    lost: float


def unit_data(A: Array, X: Array) -> Data:
    """Matrices scaled to norm 1, and their inverses with them."""
    size = norm(A)
    usable = (size > 0) & np.isfinite(size) & np.isfinite(norm(X))
    scale = size[usable, None, None]
    return Data(A[usable] / scale, X[usable] * scale)


def average(X: Array) -> Array:
    """The mean of inverses of norm 1, as large as their median: no few of them outweigh all."""
    size = norm(X)
    return np.median(size) * (X / size[:, None, None]).mean(axis=0)


def charged(S: Array, guess: Guess | PriorGuess) -> Array:
    """Products of each matrix, those that mend it included where too small a residual was seen."""
    cost = guess.products.astype(np.float64)
    measured = norm(np.eye(S.shape[-1]) - S @ guess.X)
    wrong = (guess.residual <= EARLY_EXIT) & ~(measured <= ROUNDED * EARLY_EXIT)
    if wrong.any():
        cost[wrong] += improved(S[wrong], guess.X[wrong]).products
    return cost


def promised(residual: Array) -> Array:
    """About how many products take a residual to 1e-3, by powers of it."""
    powers = np.log(EARLY_EXIT) / np.log(np.clip(residual, 1e-12, 0.9))
    return np.where(residual <= EARLY_EXIT, 0.0, powers)


def simple_rows(train: Data, test: Data) -> list[Row]:
    """What needs no fit: the mean of all training inverses, the nearest, and the one before."""
    flat, stored = test.S.reshape(len(test.S), -1), train.S.reshape(len(train.S), -1)
    near = np.argmax(flat @ stored.T, axis=1)  # of norm 1, all of them
    before = np.concatenate([train.X[-1:], test.X[:-1]])
    n = test.S.shape[-1]
    # Found as a store finds it, if not so surely: by a sketch of one row, keys and neighbourhoods.
    search = (n**2 + KEYS * (n + CELLS + MEMBERS)) / n**3
    mean = np.broadcast_to(average(train.X), test.S.shape)
    return [
        _cheapest_row(MEAN, test.S, mean, 0.0),
        _cheapest_row(NEAREST, test.S, train.X[near], search),
        _cheapest_row("inverse of the matrix before", test.S, before, 0.0),
    ]


def _cheapest_row(name: str, S: Array, X: Array, overhead: float) -> Row:
    """From given starts, by the best schedule, the first residual probed as a prior's or not."""
    rows = [row_of(name, S, improved(S, X, degrees=d), overhead) for d in SCHEDULES]
    there = norm(np.eye(S.shape[-1]) - S @ X) <= EARLY_EXIT
    if there.any():
        probe = 2 * PROBES / S.shape[-1]
        for degrees in SCHEDULES:
            guess = improved(S, X, degrees=degrees)
            guess.products[there] = 0
            rows.append(row_of(name, S, guess, overhead + probe))
    return min(rows, key=lambda row: row.mean)


def row_of(name: str, S: Array, guess: Guess | PriorGuess, overhead: float = 0.0) -> Row:
    """The row of a guess; a prior's knows its overhead."""
    most = np.full(len(S), overhead)
    if isinstance(guess, PriorGuess):
        most = guess.overhead
    cost = charged(S, guess) + most
    lost = float(np.mean(~(guess.residual <= EARLY_EXIT)))
    high = float(np.quantile(cost, 0.99, method="higher"))
    return Row(name, float(cost.mean()), high, float(most.mean()), lost)
