"""Newton-Schulz refinement of approximate inverses."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Refinement(NamedTuple):
    """Refined inverses: ``X`` (..., n, n), ``residual`` ‖I - A X‖F (...), ``steps`` taken (...)."""

    X: NDArray[np.float64]
    residual: NDArray[np.float64]
    steps: NDArray[np.int64]


def _residual(A: NDArray, X: NDArray) -> tuple[NDArray, NDArray]:
    R = np.matmul(A, X)
    np.negative(R, out=R)
    diagonal = np.arange(A.shape[-1])
    R[..., diagonal, diagonal] += 1.0
    norm = np.sqrt(np.einsum("kij,kij->k", R, R))
    return R, np.where(np.isfinite(norm), norm, np.inf)


def refine(A: NDArray, X: NDArray, max_steps: int = 50) -> Refinement:
    """Refine approximate inverses by ``X <- X + X (I - A X)`` until the residual stops shrinking.

    Parameters
    ----------
    A, X : (..., n, n) float64
    max_steps : int

    Returns
    -------
    Refinement
        the best iterate of each matrix, never worse than the start. Cost: 2 products a step.
    """
    A = np.asarray(A, dtype=np.float64)
    shape, n = A.shape, A.shape[-1]
    k = math.prod(shape[:-2])
    a = A.reshape(k, n, n)
    best = np.array(np.asarray(X, dtype=np.float64).reshape(k, n, n))
    with np.errstate(all="ignore"):
        R, norm = _residual(a, best)
        residual = norm.copy()
        steps = np.zeros(len(a), dtype=np.int64)
        active = np.flatnonzero((norm > 0) & np.isfinite(norm))
        R = R[active]
        for _ in range(max_steps):
            if not active.size:
                break
            x = best[active] + best[active] @ R
            R, norm = _residual(a[active], x)
            better = norm < residual[active]
            steps[active] += 1
            done = active[better]
            best[done], residual[done] = x[better], norm[better]
            active, R = done, R[better]
    batch = shape[:-2]
    return Refinement(best.reshape(shape), residual.reshape(batch), steps.reshape(batch))
