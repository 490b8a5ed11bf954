"""Random matrices of given eigenvalues, and with their pseudo-inverses."""

from __future__ import annotations

import math
from typing import Any

from deepmatrixinversion.matrices.haar import haar
from deepmatrixinversion.matrices.sources import NumpySource
from deepmatrixinversion.matrices.spectra import singular_vectors, symmetric


def with_pseudo_inverses(random: Any, sigma: Any, rows: int, columns: int) -> tuple[Any, Any]:
    """Matrices as of `with_singular_values`, and V diag(1/sigma) Uᵀ, their pseudo-inverses."""
    r = sigma.shape[-1]
    flat = sigma.reshape(math.prod(sigma.shape[:-1]), 1, r)
    U, Vt = singular_vectors(random, len(flat), rows, columns, r)
    pair = (U * flat) @ Vt, (Vt.swapaxes(-1, -2) / flat) @ U.swapaxes(-1, -2)
    return tuple(M.reshape(*sigma.shape[:-1], *M.shape[1:]) for M in pair)


def with_eigenvalues(random: Any, eigenvalues: Any) -> Any:
    """Q diag(eigenvalues) Qᵀ with Q uniform, symmetric: (..., n, n) of eigenvalues (..., n)."""
    n = eigenvalues.shape[-1]
    flat = eigenvalues.reshape(-1, n)
    return symmetric(haar(NumpySource(random), len(flat), n), flat).reshape(*eigenvalues.shape, n)
