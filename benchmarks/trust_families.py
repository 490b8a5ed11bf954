"""Families of matrices that people invert, and that hurt: ``FAMILIES``, by name.

Each takes a generator, a count k and an order n, and gives (k, n, n) float64 matrices.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from deepmatrixinversion.matrices.haar import haar
from deepmatrixinversion.matrices.sources import NumpySource
from deepmatrixinversion.matrices.spectra import even_spectrum, with_singular_values

Generator = np.random.Generator
Family = Callable[[Generator, int, int], np.ndarray]


def orthogonal(rng: Generator, k: int, n: int) -> np.ndarray:
    """Random orthogonal matrices."""
    return haar(NumpySource(rng), k, n)


def spectrum(rng: Generator, k: int, n: int, *, kind: str, kappa: float) -> np.ndarray:
    """Singular values between 1 and 1/kappa: evenly in the logarithm, at random, or one apart."""
    sigma = np.ones((k, n))
    if kind == "even":
        sigma[:] = even_spectrum(n, kappa)
    elif kind == "random":
        sigma = kappa ** -rng.uniform(0, 1, (k, n))
    elif kind == "one small":
        sigma[:, -1] = 1 / kappa
    else:
        sigma[:, 1:] = 1 / kappa
    return with_singular_values(rng, sigma)


def units(rng: Generator, k: int, n: int, decades: float) -> np.ndarray:
    """Scales of mixed units (k, n): powers of ten at random, and not of two."""
    return 10.0 ** rng.uniform(-decades, decades, (k, n))


def scaled(
    rng: Generator, k: int, n: int, *, rows: float = 0, columns: float = 0, base: Family
) -> np.ndarray:
    """A family's matrices with rows and columns in mixed units."""
    A = base(rng, k, n)
    return units(rng, k, n, rows)[:, :, None] * A * units(rng, k, n, columns)[:, None, :]


def normal(rng: Generator, k: int, n: int) -> np.ndarray:
    """Independent normal entries."""
    return rng.standard_normal((k, n, n))


def gram(rng: Generator, k: int, n: int) -> np.ndarray:
    """Correlations of 2 n samples."""
    X = rng.standard_normal((k, 2 * n, n))
    C = X.swapaxes(1, 2) @ X
    d = 1 / np.sqrt(np.einsum("kii->ki", C))
    return d[:, :, None] * C * d[:, None, :]


def symmetric_units(rng: Generator, k: int, n: int, *, decades: float, base: Family) -> np.ndarray:
    """D B D: covariances of quantities in mixed units."""
    d = units(rng, k, n, decades)
    return d[:, :, None] * base(rng, k, n) * d[:, None, :]


def similar(rng: Generator, k: int, n: int, *, decades: float) -> np.ndarray:
    """D B D^-1."""
    d = units(rng, k, n, decades)
    return d[:, :, None] * normal(rng, k, n) / d[:, None, :]


def nearly_equal_rows(rng: Generator, k: int, n: int, *, distance: float) -> np.ndarray:
    """Rows that differ by ``distance`` from one another."""
    return rng.uniform(0.5, 1, (k, 1, n)) + distance * rng.standard_normal((k, n, n))


def ridge_hessian(rng: Generator, k: int, n: int) -> np.ndarray:
    """X^T X + lambda I for few samples."""
    X = rng.standard_normal((k, max(1, n // 2), n))
    weight = 10.0 ** rng.uniform(-8, 0, (k, 1, 1))
    return X.swapaxes(1, 2) @ X + weight * np.eye(n)


def kalman(rng: Generator, k: int, n: int) -> np.ndarray:
    """Innovation covariances H P H^T + R, sensors of very different noise."""
    P = gram(rng, k, n) * 10.0 ** rng.uniform(-4, 4, (k, 1, 1))
    H = rng.standard_normal((k, n, n)) * (rng.uniform(size=(k, n, n)) < 0.5)
    noise = 10.0 ** rng.uniform(-6, 2, (k, n))
    return H @ P @ H.swapaxes(1, 2) + noise[:, :, None] * np.eye(n)


def camera(rng: Generator, k: int, n: int) -> np.ndarray:
    """Intrinsics times rotation; identity beyond order 3."""
    A = np.broadcast_to(np.eye(n), (k, n, n)).copy()
    m = min(n, 3)
    K = np.zeros((k, m, m))
    for i in range(m):
        K[:, i, i] = rng.uniform(500, 4000, k) if i < 2 else 1.0
    if m == 3:
        K[:, :2, 2] = rng.uniform(200, 2000, (k, 2))
    A[:, :m, :m] = K @ orthogonal(rng, k, m)
    return A


def rigid(rng: Generator, k: int, n: int) -> np.ndarray:
    """Rotation and translation: [R t; 0 1]."""
    A = np.broadcast_to(np.eye(n), (k, n, n)).copy()
    if n > 1:
        A[:, :-1, :-1] = orthogonal(rng, k, n - 1)
        A[:, :-1, -1] = rng.standard_normal((k, n - 1)) * 10.0 ** rng.uniform(-2, 4, (k, 1))
    return A


def vandermonde(rng: Generator, k: int, n: int) -> np.ndarray:
    """Powers of points in [-1, 1]."""
    return rng.uniform(-1, 1, (k, n, 1)) ** np.arange(n)


def cauchy(rng: Generator, k: int, n: int) -> np.ndarray:
    """1/(x_i + y_j), as ill-conditioned as Hilbert's matrix."""
    i = np.arange(n)
    x, y = (i + rng.uniform(0.1, 0.9, (k, n)) for _ in range(2))
    return 1.0 / (x[:, :, None] + y[:, None, :])


def hilbert(rng: Generator, k: int, n: int) -> np.ndarray:
    """1/(i + j + c)."""
    i = np.arange(n)
    return 1.0 / (i[:, None] + i + rng.uniform(0.5, 5, (k, 1, 1)))


def graded(rng: Generator, k: int, n: int) -> np.ndarray:
    """Entries that fall with i + j."""
    i = np.arange(n)
    return normal(rng, k, n) * 10.0 ** (-(i[:, None] + i) * rng.uniform(0, 8 / n, (k, 1, 1)))


def triangular(rng: Generator, k: int, n: int) -> np.ndarray:
    """Upper triangular, diagonal away from zero."""
    A = np.triu(normal(rng, k, n))
    i = np.arange(n)
    A[:, i, i] = rng.choice([-1, 1], (k, n)) * rng.uniform(0.5, 2, (k, n))
    return A


def toeplitz(rng: Generator, k: int, n: int) -> np.ndarray:
    """Autocovariances of a short-memory process."""
    i = np.arange(n)
    return rng.uniform(0.1, 0.999, (k, 1, 1)) ** np.abs(i[:, None] - i)


def rbf(rng: Generator, k: int, n: int) -> np.ndarray:
    """Kernel matrices of points on a line, with a little noise."""
    x = rng.uniform(0, 1, (k, n))
    scale = 10.0 ** rng.uniform(-2, 0, (k, 1, 1))
    K = np.exp(-(((x[:, :, None] - x[:, None, :]) / scale) ** 2))
    return K + 10.0 ** rng.uniform(-9, -2, (k, 1, 1)) * np.eye(n)


def stiffness(rng: Generator, k: int, n: int) -> np.ndarray:
    """A chain of springs fixed at one end, stiffnesses over eight decades."""
    s = 10.0 ** rng.uniform(-4, 4, (k, n))
    A = np.zeros((k, n, n))
    i = np.arange(n)
    A[:, i, i] = s
    A[:, i[:-1], i[:-1]] += s[:, 1:]
    A[:, i[1:], i[:-1]] = A[:, i[:-1], i[1:]] = -s[:, 1:]
    return A


def markov(rng: Generator, k: int, n: int) -> np.ndarray:
    """I - gamma P of a Markov chain, discounts close to one."""
    P = rng.uniform(0, 1, (k, n, n)) ** 4
    P /= P.sum(axis=2, keepdims=True)
    return np.eye(n) - (1 - 10.0 ** rng.uniform(-8, -1, (k, 1, 1))) * P


def mimo(rng: Generator, k: int, n: int) -> np.ndarray:
    """H^T H + sigma^2 I of correlated channels."""
    H = normal(rng, k, n) @ np.linalg.cholesky(toeplitz(rng, k, n))
    return H.swapaxes(1, 2) @ H + 10.0 ** rng.uniform(-6, 0, (k, 1, 1)) * np.eye(n)


def companion(rng: Generator, k: int, n: int) -> np.ndarray:
    """Companion matrices, constant coefficient down to 1e-6."""
    A = np.broadcast_to(np.eye(n, k=-1), (k, n, n)).copy()
    A[:, 0] = normal(rng, k, n)[:, 0]
    A[:, 0, -1] = 10.0 ** rng.uniform(-6, 0, k)
    return A


def kahan(rng: Generator, k: int, n: int) -> np.ndarray:
    """Kahan's matrices."""
    c = np.cos(rng.uniform(0.6, 1.5, (k, 1, 1)))
    s = np.sqrt(1 - c * c)
    return s ** np.arange(n)[:, None] * (np.eye(n) - c * np.triu(np.ones((n, n)), 1))


def integers(rng: Generator, k: int, n: int) -> np.ndarray:
    """Small whole numbers, diagonal moved away from zero."""
    return rng.integers(-9, 10, (k, n, n)) + 10.0 * np.eye(n)


def arrow(rng: Generator, k: int, n: int) -> np.ndarray:
    """A diagonal over sixteen decades, one full row and column."""
    A = np.zeros((k, n, n))
    i = np.arange(n)
    A[:, 0] = rng.standard_normal((k, n))
    A[:, :, 0] = rng.standard_normal((k, n))
    A[:, i, i] = 10.0 ** rng.uniform(-8, 8, (k, n))
    return A


def permuted(rng: Generator, k: int, n: int) -> np.ndarray:
    """Permutations times diagonals, and a little everywhere."""
    A = np.eye(n)[rng.permuted(np.tile(np.arange(n), (k, 1)), axis=1)]
    return A * rng.uniform(0.5, 2, (k, n, 1)) + 1e-9 * normal(rng, k, n)


def dominant(rng: Generator, k: int, n: int) -> np.ndarray:
    """Diagonally dominant."""
    A = normal(rng, k, n)
    return A + np.abs(A).sum(axis=2)[:, :, None] * np.eye(n)


KINDS = ("even", "random", "one small", "all but one small")
FAMILIES: dict[str, Family] = {
    **{
        f"{kind}, kappa {kappa:.0e}": partial(spectrum, kind=kind, kappa=kappa)
        for kappa in (1e1, 1e4, 1e7, 1e8, 1e10, 1e12, 1e14)
        for kind in KINDS
    },
    **{
        f"rows {d:.0e} apart": partial(nearly_equal_rows, distance=d)
        for d in (1e-3, 1e-6, 1e-8, 1e-10)
    },
    "rows over 1e+-5": partial(scaled, rows=5, base=normal),
    "rows over 1e+-8": partial(scaled, rows=8, base=normal),
    "columns over 1e+-5": partial(scaled, columns=5, base=normal),
    "columns over 1e+-8": partial(scaled, columns=8, base=normal),
    "rows and columns over 1e+-8": partial(scaled, rows=8, columns=8, base=normal),
    "covariance, units over 1e+-4": partial(symmetric_units, decades=4, base=gram),
    "covariance, units over 1e+-8": partial(symmetric_units, decades=8, base=gram),
    "Gram, units over 1e+-8, kappa to 1e8": partial(symmetric_units, decades=8, base=ridge_hessian),
    "D B D^-1 over 1e+-8": partial(similar, decades=8),
    "normal": normal,
    "correlation": gram,
    "ridge Hessian": ridge_hessian,
    "Kalman": kalman,
    "camera": camera,
    "rigid motion": rigid,
    "Vandermonde": vandermonde,
    "Cauchy": cauchy,
    "Hilbert-like": hilbert,
    "graded": graded,
    "triangular": triangular,
    "Toeplitz": toeplitz,
    "RBF kernel": rbf,
    "stiffness": stiffness,
    "Markov": markov,
    "MIMO": mimo,
    "companion": companion,
    "Kahan": kahan,
    "integers": integers,
    "arrow": arrow,
    "permutation and noise": permuted,
    "dominant": dominant,
    "orthogonal": orthogonal,
}
