"""One matrix, as a person at a prompt has it: one call of the compiled kernel, and no ceremony."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.kernel import invert_one
from deepmatrixinversion.linalg.certificate import Certificate
from deepmatrixinversion.linalg.engine import Inversion


def single_inverse(A: ArrayLike, rtol: float | None) -> NDArray | None:
    """The certified inverse of one matrix; None for whatever needs a longer look.

    What the kernel settles has a relative error bound of a few roundings, far below the default
    ``rtol``.
    """
    found = invert_one(A) if type(A) is np.ndarray else None
    return found[0] if found is not None and (rtol is None or found[3] <= rtol) else None


def single_inversion(A: ArrayLike, rtol: float | None) -> Inversion | None:
    """`single_inverse` with its certificate."""
    found = invert_one(A) if type(A) is np.ndarray else None
    if found is None or not (rtol is None or found[3] <= rtol):
        return None
    X, error, residual, relative = found
    array = np.array
    certificate = Certificate(array(True), array(residual), array(error), array(relative))
    return Inversion(X, certificate, array(1))
