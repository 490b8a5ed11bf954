"""Random matrices of given singular values: one text for distributions, tests and benchmarks.

>>> rng = np.random.default_rng(0)
>>> A = with_singular_values(rng, np.array([3.0, 2.0, 1.0]), rows=5)
>>> A.shape, np.linalg.svd(A, compute_uv=False).round(9).tolist()
((5, 3), [3.0, 2.0, 1.0])
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from deepmatrixinversion.matrices.haar import haar
from deepmatrixinversion.matrices.sources import NumpySource, Source

Random = Source | np.random.Generator
"""A generator stands for float64 arrays of NumPy."""


def even_spectrum(n: int, kappa: Any) -> np.ndarray:
    """Singular values from 1 to 1/kappa, even in their logarithms: (..., n) of a kappa (...)."""
    return np.asarray(kappa, dtype=float)[..., None] ** -np.linspace(0, 1, n)


def singular_vectors(
    random: Random, count: int, rows: int, columns: int, rank: int
) -> tuple[Any, Any]:
    """U (count, rows, rank) and Vᵀ (count, rank, columns), the first of Haar matrices' lines."""
    source = _source(random)
    return haar(source, count, rows)[:, :, :rank], haar(source, count, columns)[:, :rank, :]


def with_singular_values(
    random: Random, sigma: Any, rows: int | None = None, columns: int | None = None
) -> Any:
    """U diag(sigma) Vᵀ with U, V uniform: (..., rows, columns) of a sigma (..., r).

    Square where nothing else is said; of rank r where rows and columns are more than r (Higham
    2002, section 28.3: ``randsvd``).
    """
    r = sigma.shape[-1]
    flat = sigma.reshape(math.prod(sigma.shape[:-1]), 1, r)
    U, Vt = singular_vectors(random, len(flat), rows or r, columns or r, r)
    A = (U * flat) @ Vt
    return A.reshape(*sigma.shape[:-1], *A.shape[1:])


def with_condition(random: Random, n: int, kappa: Any) -> np.ndarray:
    """Matrices (..., n, n) of condition numbers kappa (...), with `even_spectrum`."""
    return with_singular_values(random, even_spectrum(n, kappa))


def symmetric(Q: Any, eigenvalues: Any) -> Any:
    """Q diag(eigenvalues) Qᵀ (count, n, n), symmetric to the bit."""
    half = (Q * eigenvalues[:, None, :]) @ Q.swapaxes(-1, -2)
    # a + b rounds as b + a does.
    return (half + half.swapaxes(-1, -2)) / 2


def _source(random: Random) -> Source:
    return NumpySource(random) if isinstance(random, np.random.Generator) else random
