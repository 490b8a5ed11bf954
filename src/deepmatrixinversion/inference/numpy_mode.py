"""The explicit alternative to a network: LAPACK, through numpy.linalg.inv."""

from __future__ import annotations

import numpy as np


def numpy_inverse(A: np.ndarray) -> np.ndarray:
    """Inverses by LAPACK, NaN where LAPACK calls a matrix singular.

    Parameters
    ----------
    A : (count, n, n) array

    Returns
    -------
    (count, n, n) array of the same dtype

    Notes
    -----
    ``numpy.linalg.inv`` gives up on a whole stack for one singular matrix; halving the stack finds
    the singular ones in logarithmically many further calls each.
    """
    try:
        return np.linalg.inv(A)
    except np.linalg.LinAlgError:
        if len(A) == 1:
            return np.full_like(A, np.nan)
        half = len(A) // 2
        return np.concatenate([numpy_inverse(A[:half]), numpy_inverse(A[half:])])
