"""Scaling by powers of two, exact and undone at the end, for torch tensors and JAX arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

SWEEPS = 5
"""Each leaves the square root of the spread of lines: 2^30 is 2 after five."""


class Powers(NamedTuple):
    """What scaling needs of a kind of array.

    Attributes
    ----------
    floor : callable
        A power of two about as large as x > 0, and 1 for 0; constant to the gradient.
    largest : callable
        ``largest(x, axis)``: the largest entries along one of the last two axes, which is kept.
    """

    floor: Callable[[Any], Any]
    largest: Callable[[Any, int], Any]


def scaled(p: Powers, A: Any, norm: Callable[[Any], Any]) -> tuple[Any, Any, Any]:
    """``(S, c, d)`` with A = c d S exactly, c and d powers of two and ‖S‖F in [1/2, 1).

    Two factors, since their product may leave the range of A's dtype. S = 0 for A = 0.
    """
    c = p.floor(p.largest(p.largest(abs(A), -1), -2))
    S = A / c
    d = 2 * p.floor(norm(S))
    return S / d, c, d


def equilibrated(p: Powers, A: Any) -> tuple[Any, Any, Any]:
    """``(S, r, c)`` with A = r S c exactly, r and c (..., m, 1) and (..., 1, n) powers of two.

    The largest entries of all rows and columns of S lie within a factor of about two of one another
    (Ruiz 2001); zero lines stay. Constant to the gradient. No axis may be empty.
    """
    modulus = abs(A)
    r, c = 1.0, 1.0
    for _ in range(SWEEPS):
        by_row = p.floor(p.largest(modulus, -1) ** 0.5)
        by_column = p.floor(p.largest(modulus, -2) ** 0.5)
        modulus = modulus / by_row / by_column
        r, c = r * by_row, c * by_column
    return A / r / c, r, c
