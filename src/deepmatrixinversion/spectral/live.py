"""A stack of matrices on their way: those that are not done, and their inner products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.greedy import Array
from deepmatrixinversion.linalg.polynomial import TINY


class Stacks:
    """Matrices, their inner products in one pass."""

    def product(self, a: Array, b: Array) -> Array:
        """a b of each pair."""
        return a @ b

    def inner(self, a: Array, b: Array) -> Array:
        """<a, b> of each pair: (k, 1, 1)."""
        return np.einsum("kij,kij->k", a, b)[:, None, None]

    def norm(self, a: Array) -> Array:
        """‖a‖F of each, at least 1e-18."""
        return self.inner(a, a).clip(TINY) ** 0.5


STACKS = Stacks()


class Live(NamedTuple):
    """The matrices that are not done, and what is known of them.

    Attributes
    ----------
    places : (k,) int array
        Where they are in the stack.
    X, R : (k, n, n) arrays
        The candidates and their residuals, which are predicted, not measured.
    noise : (k,) array
        Errors of R.
    hidden : (k, units) float32 array
        What the network remembers.
    spent : int
        Products when R is known. From the identity that is -1: neither the first residual takes
        one nor the first step, as X is a multiple of the identity.
    """

    places: NDArray[np.intp]
    X: Array
    R: Array
    noise: Array
    hidden: NDArray[np.float32]
    spent: int

    def at(self, which: NDArray[np.bool_]) -> Live:
        """Some of them."""
        if which.all():
            return self
        places, X, R, noise, hidden, spent = self
        return Live(places[which], X[which], R[which], noise[which], hidden[which], spent)


def some_of(value: Any, take: Callable[[np.ndarray], np.ndarray]) -> Any:
    """What is taken of the arrays of a nested list; numbers are the same for all."""
    if isinstance(value, list | tuple):
        return [some_of(part, take) for part in value]
    return take(value) if isinstance(value, np.ndarray) else value
