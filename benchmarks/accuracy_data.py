"""Test matrices of the accuracy report: none of these seeds or held-out families is trained on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deepmatrixinversion.matrices.spectra import with_singular_values
from deepmatrixinversion.reporting.metrics import frobenius_residuals

residuals = frobenius_residuals
Family = Callable[[np.random.Generator, int, int], np.ndarray]


def normal(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Independent standard normal entries."""
    return rng.standard_normal((k, n, n))


def companion(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Companion matrices of monic polynomials with normal coefficients."""
    A = np.zeros((k, n, n))
    A[:, np.arange(1, n), np.arange(n - 1)] = 1.0
    A[:, 0] = rng.standard_normal((k, n))
    return A


def hankel(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Constant along antidiagonals, normal."""
    h = rng.standard_normal((k, 2 * n - 1))
    i, j = np.indices((n, n))
    return h[:, i + j]


def random_sparse(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """A tenth of the entries normal, or two a row, plus the identity."""
    share = max(0.1, 2 / n)
    mask = rng.random((k, n, n)) < share
    return np.where(mask, rng.standard_normal((k, n, n)), 0.0) + np.eye(n)


def banded(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Five normal diagonals."""
    i, j = np.indices((n, n))
    return np.where(abs(i - j) <= 2, rng.standard_normal((k, n, n)), 0.0)


def graph_laplacian(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """L + I of random graphs with edge probability 0.3."""
    W = np.triu(rng.random((k, n, n)) < 0.3, 1).astype(float)
    W = W + W.swapaxes(1, 2)
    return np.eye(n) * (W.sum(axis=2)[:, :, None] + 1.0) - W


def gram(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Gaussian kernel matrices of n points in the plane, plus 1e-3 I."""
    x = rng.uniform(-2, 2, (k, n, 2))
    d = ((x[:, :, None] - x[:, None]) ** 2).sum(axis=3)
    return np.exp(-d) + 1e-3 * np.eye(n)


def clustered(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Haar factors around singular values in three clusters, at 1, 1e-1 and 1e-2."""
    centre = np.array([1.0, 1e-1, 1e-2])[rng.integers(0, 3, (k, n))]
    sigma = centre * (1 + 0.01 * rng.standard_normal((k, n)))
    return with_singular_values(rng, sigma)


HELD_OUT: dict[str, Family] = {
    "companion": companion,
    "Hankel": hankel,
    "random sparse": random_sparse,
    "banded": banded,
    "graph Laplacian + I": graph_laplacian,
    "Gaussian kernel": gram,
    "clustered spectrum": clustered,
}


def hostile(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Singular, nearly singular, badly scaled, zero, rank one, and extremely spread matrices."""
    A = rng.standard_normal((k, n, n))
    kind = rng.integers(0, 6, k)
    A[kind == 1, -1] = A[kind == 1, 0]
    A[kind == 2] *= np.exp2(rng.integers(-60, 61, (int((kind == 2).sum()), n, 1)).astype(float))
    A[kind == 3] = A[kind == 3][:, :, :1] * A[kind == 3][:, :1, :]
    A[kind == 4] *= np.exp2(rng.integers(-200, 201, (int((kind == 4).sum()), 1, 1)).astype(float))
    A[kind == 5] = 0.0
    return A
