"""One matrix or system, as a person at a prompt has it: one call of the compiled kernel."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.inference.results import Solution
from deepmatrixinversion.kernel import OneSolution, invert_one, solve_one
from deepmatrixinversion.linalg.certificate import Certificate
from deepmatrixinversion.linalg.engine import Inversion


def single_inverse(A: NDArray, rtol: float | None) -> NDArray | None:
    """The certified inverse of one matrix; None for whatever needs a longer look.

    What the kernel settles has a relative error bound of a few roundings, far below the default
    ``rtol``.
    """
    found = invert_one(A)
    return found[0] if found is not None and (rtol is None or found[3] <= rtol) else None


def single_inversion(A: NDArray, rtol: float | None) -> Inversion | None:
    """`single_inverse` with its certificate."""
    found = invert_one(A)
    if found is None or not (rtol is None or found[3] <= rtol):
        return None
    return _inversion(*found)


def single_columns(A: NDArray, B: ArrayLike, rtol: float | None) -> NDArray | None:
    """The certified solution of one system; None for whatever needs a longer look."""
    found = _solved(A, B, rtol)
    return None if found is None else found.solution


def single_solution(A: NDArray, B: ArrayLike, rtol: float | None) -> Solution | None:
    """`single_columns` with its bounds."""
    found = _solved(A, B, rtol)
    if found is None:
        return None
    inversion = _inversion(found.inverse, *found.proof)
    bound, relative = np.asarray(found.error_bound), np.asarray(found.relative_error_bound)
    return Solution(found.solution, bound, inversion, relative, np.ones(bound.shape, dtype=bool))


def _solved(A: NDArray, B: ArrayLike, rtol: float | None) -> OneSolution | None:
    if type(B) is not np.ndarray:
        return None
    found = solve_one(A, B)
    if found is None or rtol is None or max(found.worst, found.proof[2]) <= rtol:
        return found
    return None


def _inversion(X: NDArray, error: float, residual: float, relative: float) -> Inversion:
    array = np.array
    certificate = Certificate(array(True), array(residual), array(error), array(relative))
    return Inversion(X, certificate, array(1))
