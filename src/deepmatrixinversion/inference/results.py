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
        Upper bound on the largest |A⁻¹B - Y| in each column, rounding included; inf where there
        is none, as where a component overflows.
    inversion : Inversion
        The inverse behind it, with its certificate; for complex A, of the real embedding.
    certified : (..., p) or () bool
        ``relative_error_bound`` is at most ``rtol``.
    relative_error_bound : (..., p) or () float64
        ``error_bound`` over the largest |Y| of its column, rounded up.
    """

    solution: NDArray
    error_bound: NDArray[np.float64]
    inversion: Inversion
    certified: NDArray[np.bool_]
    relative_error_bound: NDArray[np.float64]


def require_solved(solution: Solution, function: str) -> None:
    """Raise ``SingularMatrixError``, carrying the inversion, unless all columns are certified."""
    if solution.certified.all():
        return
    which = [tuple(int(i) for i in w) for w in np.argwhere(~solution.certified)]
    values = ", ".join(f"{float(solution.relative_error_bound[w]):.3g}" for w in which[:NAMED])
    if solution.certified.ndim == 0:
        subject = "the solution"
    else:
        names = ", ".join(str(w[0] if len(w) == 1 else w) for w in which[:NAMED])
        more = f" and {len(which) - NAMED} more" if len(which) > NAMED else ""
        subject = f"solutions [{names}]{more} of {solution.certified.size}"
    raise SingularMatrixError(
        f"{subject} could not be certified (relative error bound {values}); use {function} to get "
        "them with their bounds",
        solution.inversion,
    )


def uncertified(inversion: Inversion) -> list[tuple[int, ...]]:
    """Indices of the matrices without a certificate; ``[()]`` for a single one without."""
    return [tuple(int(i) for i in w) for w in np.argwhere(~inversion.certificate.certified)]


def describe_uncertified(inversion: Inversion) -> str:
    """One clause that names the first uncertified matrices with their residual bounds."""
    which = uncertified(inversion)
    bounds = inversion.certificate.residual_bound
    shown = which[:NAMED]
    values = ", ".join(f"{float(bounds[w]):.3g}" for w in shown)
    if bounds.ndim == 0:
        return f"the matrix could not be certified (residual bound {values})"
    names = ", ".join(str(w[0] if len(w) == 1 else w) for w in shown)
    more = f" and {len(which) - NAMED} more" if len(which) > NAMED else ""
    return (
        f"matrices [{names}]{more} of {bounds.size} could not be certified "
        f"(residual bound {values})"
    )


def require_certified(inversion: Inversion, function: str) -> None:
    """Raise ``SingularMatrixError``, carrying the inversion, unless all are certified."""
    if not inversion.certificate.certified.all():
        raise SingularMatrixError(
            f"{describe_uncertified(inversion)}; use {function} to get them with their bounds",
            inversion,
        )
