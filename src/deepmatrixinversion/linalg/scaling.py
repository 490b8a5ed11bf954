"""Exact scaling of matrices by powers of two."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def normalise(A: NDArray) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scale each matrix by a power of two to a Frobenius norm in [1/2, 1).

    ``S = A 2^-exponent``; a zero matrix has exponent 0.

    Parameters
    ----------
    A : (..., n, n) array of finite reals

    Returns
    -------
    S : (..., n, n) float64
    exponent : (...) int64
    """
    A = np.asarray(A, dtype=np.float64)
    batch = A.shape[:-2]
    if A.size == 0:
        return A.copy(), np.zeros(batch, dtype=np.int64)
    largest = np.frexp(np.abs(A).max(axis=(-2, -1)))[1].astype(np.int64)
    # Two steps, because 2^-largest itself overflows for subnormal A; ldexp does not.
    S = np.ldexp(A, -largest[..., None, None])
    norm = np.sqrt(np.einsum("...ij,...ij->...", S, S))
    correction = np.frexp(norm)[1].astype(np.int64)
    return np.ldexp(S, -correction[..., None, None]), largest + correction
