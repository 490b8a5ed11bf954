"""Principal components by block power iteration: products and Gram-Schmidt alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SWEEPS = 60
SPARE = 4
"""Directions beyond those wanted, which make the iteration converge."""


def principal_components(F: Array, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """The first directions (p, d) of the rows of F (k, d) about zero, and their deviations (p,).

    p is ``count`` or less: directions whose deviation is below 1e-7 of the first are left out.

    References
    ----------
    Halko, Martinsson & Tropp 2011, SIAM Review 53, algorithm 4.4 (subspace iteration).
    """
    d = F.shape[1]
    C = F.T @ F / max(1, len(F))
    Q = orthonormal(rng.standard_normal((d, min(d, count + SPARE))))
    for _ in range(SWEEPS):
        Q = orthonormal(C @ Q)
    deviations = np.sqrt(np.maximum(np.einsum("dp,dp->p", Q, C @ Q), 0.0))
    order = np.argsort(-deviations)[:count]
    order = order[deviations[order] > 1e-7 * max(float(deviations.max()), 1e-300)]
    return Q[:, order].T, deviations[order]


def orthonormal(M: Array) -> Array:
    """Orthonormal columns with the span of M's, zero where those are dependent."""
    Q = M.copy()
    for j in range(Q.shape[1]):
        before = float(np.sqrt(Q[:, j] @ Q[:, j]))
        for _ in range(2):  # twice is enough (Kahan & Parlett)
            Q[:, j] -= Q[:, :j] @ (Q[:, :j].T @ Q[:, j])
        size = float(np.sqrt(Q[:, j] @ Q[:, j]))
        Q[:, j] = Q[:, j] / size if size > 1e-12 * before > 0 else 0.0
    return Q
