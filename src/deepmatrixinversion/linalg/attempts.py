"""Ways to candidates, tried in turn on what the ones before left without a good proof."""

from __future__ import annotations

from collections.abc import Callable

from deepmatrixinversion.linalg.elimination import LARGEST_ORDER as ELIMINATION_ORDER
from deepmatrixinversion.linalg.elimination import eliminated
from deepmatrixinversion.linalg.halving import can_halve, halved
from deepmatrixinversion.linalg.large import SMALLEST_ORDER
from deepmatrixinversion.linalg.newton import from_transpose
from deepmatrixinversion.linalg.schur import (
    Leaf,
    block_inverse,
    guess_inverse,
    through_butterfly,
)
from deepmatrixinversion.linalg.stack import Array, Stack

Attempt = Callable[[Stack, Stack], Stack]
"""From scaled matrices and the best candidates so far, which may be anything, to candidates."""


def attempts_for(guess: Leaf, order: int, n: int, seed: int, compiled: bool) -> list[Attempt]:
    """Ways to a candidate, the network's first."""

    def propose(S: Array) -> Array:
        return guess_inverse(S, guess, order) if n <= order else block_inverse(S, guess, order)

    def by_guess(S: Stack, _: Stack) -> Stack:
        # Where halving fails the network's leaves come in: they stand a singular block better.
        quick = compiled and n >= SMALLEST_ORDER and can_halve()
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
