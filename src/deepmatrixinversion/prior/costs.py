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
from deepmatrixinversion.prior.store import KEYS

SCHEDULES = ((OPEN_DEGREE,), (3, OPEN_DEGREE), (3, 3, OPEN_DEGREE), (3, 3, 3, OPEN_DEGREE))
"""Degrees of steps that are tried."""

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


def spent(guess: Guess) -> Array:
    """Products of each matrix."""
    return guess.products.astype(np.float64)


def simple_rows(train: Data, test: Data) -> list[Row]:
    """What needs no fit: the nearest of all training inverses, and the one before."""
    flat, stored = test.S.reshape(len(test.S), -1), train.S.reshape(len(train.S), -1)
    near = np.argmax(flat @ stored.T, axis=1)  # of norm 1, all of them
    before = np.concatenate([train.X[-1:], test.X[:-1]])
    n = test.S.shape[-1]
    # Found through a sketch of one row and keys, as a store does it.
    search = (n**2 + KEYS * (n + len(train.S))) / n**3
    rows = []
    for name, X, overhead in (
        (NEAREST, train.X[near], search),
        ("inverse of the matrix before", before, 0.0),
    ):
        costs = [improved(test.S, X, degrees=degrees) for degrees in SCHEDULES]
        rows.append(row_of(name, min(costs, key=lambda g: g.products.mean()), overhead))
    return rows


def row_of(name: str, guess: Guess, overhead: float) -> Row:
    """The row of a guess."""
    cost = spent(guess) + overhead
    lost = float(np.mean(~(guess.residual <= EARLY_EXIT)))
    most = float(np.quantile(cost, 0.99, method="higher"))
    return Row(name, float(cost.mean()), most, overhead, lost)
