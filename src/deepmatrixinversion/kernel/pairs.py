"""Proofs and solutions for inverses that are there already, through the compiled kernel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.kernel.stack import (
    FINISHED,
    LARGEST_ORDER,
    PLAIN,
    threads_for,
)
from deepmatrixinversion.kernel.state import compiled


class StackProof(NamedTuple):
    """Bounds on how far given X are from inverses; inf where nothing is proven.

    Attributes
    ----------
    error_bound, residual_bound, relative_error_bound : (k,) float64
        at least ‖A^-1 - X‖inf, ‖I - X A‖inf, and the first over ‖X‖inf
    settled : (k,) bool
        whether bounds are within a twentieth of the error itself, or at most u/16 of ‖X‖, and A is
        plain: rows and columns of even size, entries between 2^-400 and 2^400, no singular matrix
        within n roundings of its entries
    """

    error_bound: NDArray[np.float64]
    residual_bound: NDArray[np.float64]
    relative_error_bound: NDArray[np.float64]
    settled: NDArray[np.bool_]


def certify_stack(A: NDArray, X: NDArray, threads: int | None = None) -> StackProof:
    """Bound the errors of given inverses, one residual of doubled precision each.

    Parameters
    ----------
    A, X : (k, n, n) float64 arrays
        C-contiguous, 1 <= n <= ``LARGEST_ORDER``; any values, NaN and infinities included

    Returns
    -------
    StackProof

    Notes
    -----
    Cost: five matrix products; ``src/kernel/certify.h`` derives the bounds.
    """
    count = len(A)
    bounds = np.empty((3, count))
    state = np.empty(count, dtype=np.uint8)
    compiled.certify_into(A, X, bounds, state, threads_for(A.size * A.shape[-1], threads))
    return StackProof(bounds[0], bounds[1], bounds[2], state == FINISHED | PLAIN)


def solve_stack(
    A: NDArray,
    X: NDArray,
    error_bound: NDArray[np.float64],
    B: NDArray,
    threads: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Solutions of A Y = B by proven inverses, refined, and bounds on their largest errors.

    Parameters
    ----------
    A, X : (k, n, n) float64 arrays
        C-contiguous, 1 <= n <= ``LARGEST_ORDER``; one matrix alone serves all right-hand sides
    error_bound : (k,) float64
        at least ‖A^-1 - X‖inf
    B : (k, n, p) float64 array
        C-contiguous; one alone serves all matrices

    Returns
    -------
    Y : (k, n, p) float64
    bound : (k, p) float64
        at least the largest modulus of each column of A^-1 B - Y: hardly more than the last
        rounding, or inf, where other code would do better

    Notes
    -----
    Cost: four products of the matrix with B as a rule, one of them in doubled precision;
    ``src/kernel/solve.cpp`` derives the bound.
    """
    count, n, p = max(len(A), len(B)), *B.shape[1:]
    Y, bound = np.empty((count, n, p)), np.empty((count, p))
    compiled.solve_into(A, X, error_bound, B, Y, bound, threads_for(count * n * n * p, threads))
    return Y, bound


class OneSolution(NamedTuple):
    """One system's solution, bounds for its columns, and what `invert_one` gives for its matrix."""

    solution: NDArray[np.float64]
    error_bound: NDArray[np.float64]
    relative_error_bound: NDArray[np.float64]
    worst: float
    inverse: NDArray[np.float64]
    proof: tuple[float, float, float]


def solve_one(A: NDArray, B: NDArray) -> OneSolution | None:
    """`solve_stack` for one float64 system, its matrix inverted and proven on the way.

    None where `invert_one` says it, for B that is not C-contiguous float64 (n,) or (n, p) with p at
    least 1, and where a column is for more careful code.
    """
    if compiled is None or A.ndim != 2 or A.size > LARGEST_ORDER**2 or B.dtype.char != "d":
        return None
    if A.dtype.char != "d" or not (A.flags.c_contiguous and B.flags.c_contiguous and B.size):
        return None
    if not (1 <= B.ndim <= 2 and len(A) == len(B)):
        return None
    X, Y = np.empty(A.shape), np.empty(B.shape)
    bounds = np.empty((2, *B.shape[1:]))
    found = compiled.solve_one(A, B, X, Y, bounds)
    if found is None or not found[3] < np.inf:
        return None
    return OneSolution(Y, bounds[0], bounds[1], found[3], X, found[:3])
