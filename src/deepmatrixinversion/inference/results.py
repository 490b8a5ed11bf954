"""What the functions ending in ``_ex`` return, and how an uncertified result is reported."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.errors import SingularMatrixError
from deepmatrixinversion.linalg.engine import Inversion

NAMED = 5


class Solution(NamedTuple):
    """Solutions of A Y = B with their proofs.

    Attributes
    ----------
    solution : (..., n, p) or (n,) array
        The returned Y, of the dtype of A and B.
    error_bound : (..., p) or () float64
        Upper bound on the largest modulus in each column of A⁻¹B - Y, rounding included; inf
        where A is not proven nonsingular, or the column has an infinite component.
    inversion : Inversion
        The inverse behind it, with its certificate; for complex A, of the real embedding.
    relative_error_bound : (..., p) or () float64
        ``error_bound`` over the column's largest component.
    certified : (..., p) or () bool
        Whether A is certified, and the column's relative error bound at most ``rtol``.
    """

    solution: NDArray
    error_bound: NDArray[np.float64]
    inversion: Inversion
    relative_error_bound: NDArray[np.float64]
    certified: NDArray[np.bool_]


def uncertified(inversion: Inversion) -> list[tuple[int, ...]]:
    """Indices of the matrices without a certificate; ``[()]`` for a single one without."""
    return [tuple(int(i) for i in w) for w in np.argwhere(~inversion.certificate.certified)]


def describe_uncertified(inversion: Inversion) -> str:
    """One clause that names the first uncertified matrices with their residual bounds."""
    return _describe(MATRICES, uncertified(inversion), inversion.certificate.residual_bound)


MATRICES = ("matrix", "matrices", "residual")
SOLUTIONS = ("solution", "solutions", "relative error")


def _describe(words: tuple[str, str, str], which: list[tuple[int, ...]], bounds: NDArray) -> str:
    one, many, bound = words
    shown = which[:NAMED]
    values = ", ".join(f"{float(bounds[w]):.3g}" for w in shown)
    if bounds.ndim == 0:
        return f"the {one} could not be certified ({bound} bound {values})"
    names = ", ".join(str(w[0] if len(w) == 1 else w) for w in shown)
    more = f" and {len(which) - NAMED} more" if len(which) > NAMED else ""
    return (
        f"{many} [{names}]{more} of {bounds.size} could not be certified ({bound} bound {values})"
    )


def require_certified(inversion: Inversion, function: str) -> None:
    """Raise ``SingularMatrixError``, carrying the inversion, unless all are certified."""
    if not inversion.certificate.certified.all():
        raise SingularMatrixError(
            f"{describe_uncertified(inversion)}; use {function} to get them with their bounds",
            inversion,
        )


def require_solved(solution: Solution) -> None:
    """Raise ``SingularMatrixError`` unless all matrices and all solutions are certified."""
    require_certified(solution.inversion, "solve_ex")
    if not solution.certified.all():
        which = [tuple(int(i) for i in w) for w in np.argwhere(~solution.certified)]
        described = _describe(SOLUTIONS, which, solution.relative_error_bound)
        raise SingularMatrixError(
            f"{described}; use solve_ex to get them with their bounds", solution.inversion
        )
