"""Families of matrices from one origin each, of any order: what people invert again and again.

Each draws ``count`` matrices of order n, in the order in which they would come. Data come from
inside of packages (scikit-learn, statsmodels, pandapower, sionna-no-rt: the extra ``benchmarks``);
a family whose package is missing raises ``ImportError``, and the report names it.
"""

# Each library may be missing: the page says which.
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Draw = Callable[[np.random.Generator, int, int], np.ndarray]


class Family(NamedTuple):
    """What it is called, what its matrices share, and how they are drawn."""

    name: str
    kind: str
    draw: Draw


def _log_uniform(rng: np.random.Generator, low: float, high: float, k: int) -> np.ndarray:
    return np.exp(rng.uniform(np.log(low), np.log(high), (k, 1, 1)))


def _matern(D: np.ndarray, scale: np.ndarray) -> np.ndarray:
    r = np.sqrt(5) * D / scale
    return (1 + r + r * r / 3) * np.exp(-r)


def kernel_on_a_grid(
    rng: np.random.Generator,
    k: int,
    n: int,
    *,
    scales: tuple[float, float] = (0.05, 0.5),
    noises: tuple[float, float] = (1e-3, 1e-1),
    kernel: Callable[[np.ndarray, np.ndarray], np.ndarray] = _matern,
    jitter: float = 0.0,
) -> np.ndarray:
    """Gaussian process on fixed inputs: length scale and noise differ."""
    x = np.linspace(0, 1, n) + jitter / n * rng.standard_normal((k, n))
    D = np.abs(x[:, :, None] - x[:, None, :])
    noise = _log_uniform(rng, *noises, k)
    return kernel(D, _log_uniform(rng, *scales, k)) + noise * np.eye(n)


def kernel_on_a_table(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Gaussian process on n patients of scikit-learn's diabetes table: three parameters."""
    X = _table("diabetes")[:n]
    parts = (X[:, :5], X[:, 5:])
    square = [((p[:, None] - p[None]) ** 2).sum(-1) for p in parts]
    a, b = (_log_uniform(rng, 1.0, 8.0, k) for _ in parts)
    noise = _log_uniform(rng, 1e-2, 1e-1, k)
    return np.exp(-square[0] / (2 * a**2) - square[1] / (2 * b**2)) + noise * np.eye(n)


def kernel_on_random_rows(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """The same on random rows of the breast cancer table: every matrix has its own inputs."""
    X = _table("breast_cancer")[:, :10]
    rows = np.stack([rng.choice(len(X), n, replace=False) for _ in range(k)])
    P = X[rows]
    squares = (P * P).sum(-1)
    D = squares[:, :, None] + squares[:, None] - 2 * P @ P.swapaxes(1, 2)
    return np.exp(-np.maximum(D, 0) / 18) + 0.05 * np.eye(n)


def arma(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Autocovariances of ARMA(1, 1) processes with noise: two parameters."""
    phi, theta = rng.uniform(-0.9, 0.9, (2, k, 1, 1))
    lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    first = (1 + phi * theta) * (phi + theta) / (1 - phi**2)
    zero = (1 + 2 * phi * theta + theta**2) / (1 - phi**2)
    C = np.where(lag == 0, zero, first * phi ** np.maximum(lag - 1, 0))
    return C + 1e-3 * zero * np.eye(n)


def stiffness(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Finite elements on a bar whose stiffness varies smoothly: four parameters."""
    x = (np.arange(n + 1) + 0.5) / (n + 1)
    waves = np.stack([np.cos(np.pi * j * x) / j for j in range(1, 5)])
    a = np.exp(rng.standard_normal((k, 4)) @ waves)
    return _tridiagonal(-a[:, 1:-1], a[:, :-1] + a[:, 1:] + 0.01, -a[:, 1:-1])


def _tridiagonal(below: np.ndarray, diagonal: np.ndarray, above: np.ndarray) -> np.ndarray:
    k, n = diagonal.shape
    A, i = np.zeros((k, n, n)), np.arange(n)
    A[:, i, i], A[:, i[1:], i[:-1]], A[:, i[:-1], i[1:]] = diagonal, below, above
    return A


def convection(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Convection, diffusion and reaction in one dimension, not symmetric: three parameters."""
    h = 1.0 / (n + 1)
    wind, loss = rng.uniform(-30, 30, (k, 1)), rng.uniform(0, 100, (k, 1))
    shape = 1 + rng.uniform(0, 1, (k, 1)) * np.sin(np.pi * h * np.arange(1, n + 1))
    w = wind * shape * h / 2
    return _tridiagonal(-1 - w[:, 1:], 2 + loss * h * h + 0 * w, -1 + w[:, :-1])


def markov(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """I - discount P, P between two policies: two parameters."""
    fixed = np.random.default_rng(7)
    P, Q = fixed.dirichlet(0.3 * np.ones(n), (2, n))
    u, discount = rng.uniform(0, 1, (k, 1, 1)), rng.uniform(0.8, 0.99, (k, 1, 1))
    return np.eye(n) - discount * (u * P + (1 - u) * Q)


def power_grid(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Susceptances of n buses of pandapower's IEEE 118 grid; lines vary, and fail now and then."""
    import pandapower.networks

    grid = pandapower.networks.case118()
    lines = grid.line[["from_bus", "to_bus", "x_ohm_per_km"]].to_numpy()
    typical = np.median(lines[:, 2])
    ends = lines[:, :2].astype(int)
    b = typical / lines[:, 2] * rng.uniform(0.9, 1.1, (k, len(lines)))
    b *= np.arange(len(lines)) != rng.integers(0, 8 * len(lines), (k, 1))
    B = np.zeros((k, 118, 118))
    for line, (i, j) in enumerate(ends):
        for row, column, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
            B[:, row, column] += sign * b[:, line]
    return B[:, :n, :n] + 0.02 * np.eye(n)


def ridge(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Ridge Hessians of minibatches: random features of scikit-learn's digits."""
    X = _table("digits")
    F = np.tanh(X @ np.random.default_rng(3).standard_normal((X.shape[1], n)) / 8)
    rows = rng.integers(0, len(F), (k, 4 * n))
    B = F[rows]
    return B.swapaxes(1, 2) @ B / (4 * n) + 0.01 * np.eye(n)


def mimo(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """MMSE detectors, Kronecker model: correlated antennas, every channel its own."""
    lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    H = np.linalg.cholesky(0.7**lag) @ rng.standard_normal((k, n, n // 2))
    return H @ H.swapaxes(1, 2) / n + 0.1 * np.eye(n)


def mimo_over_subcarriers(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """MMSE detectors, sionna's TDL-A channels at 3.5 GHz, carrier by carrier, in real form."""
    from sionna.phy import config
    from sionna.phy.channel import cir_to_ofdm_channel, subcarrier_frequencies
    from sionna.phy.channel.tr38901 import TDL

    config.seed = int(rng.integers(2**31))
    carriers = 128
    channels = TDL("A", 100e-9, 3.5e9, num_rx_ant=n // 2, num_tx_ant=max(1, n // 4))
    a, tau = channels(-(-k // carriers), 1, 30e3)
    frequencies = subcarrier_frequencies(carriers, 30e3)
    h = cir_to_ofdm_channel(frequencies, a, tau).cpu().numpy()[:, 0, :, 0, :, 0]
    H = h.transpose(0, 3, 1, 2).reshape(-1, n // 2, max(1, n // 4))[:k].astype(complex)
    G = H @ H.conj().swapaxes(1, 2) / H.shape[-1] + 0.1 * np.eye(n // 2)
    upper, lower = np.concatenate([G.real, -G.imag], 2), np.concatenate([G.imag, G.real], 2)
    return np.concatenate([upper, lower], 1)


def kalman(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Innovation covariances of a tracker of eight states whose n sensors turn slowly."""
    t = 0.02 * np.arange(k)[:, None]
    phase = np.random.default_rng(4).uniform(0, 2 * np.pi, (8, n))
    H = np.stack([np.cos(p + (1 + j) * t) for j, p in enumerate(phase)], axis=2)
    P, S = np.eye(8), np.empty((k, n, n))
    noise = 0.5 * np.eye(n)
    for i in range(k):
        P = 0.98 * P + 0.05 * np.eye(8)
        S[i] = H[i] @ P @ H[i].T + noise
        P = P - P @ H[i].T @ np.linalg.solve(S[i], H[i] @ P)
    return S


def autocovariances(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Toeplitz autocovariances of windows that slide over statsmodels' weekly CO2 record."""
    from statsmodels.datasets import co2

    y = co2.load_pandas().data["co2"].interpolate().to_numpy()
    y = np.diff(y)[: k + 4 * n + 256]
    length = 4 * n + 128
    windows = np.lib.stride_tricks.sliding_window_view(y, length)
    windows = windows[np.arange(k) % len(windows)]
    windows = windows - windows.mean(axis=1, keepdims=True)
    c = np.stack([(windows[:, j:] * windows[:, : length - j]).mean(1) for j in range(n)], axis=1)
    c[:, 0] *= 1.05
    return c[:, np.abs(np.subtract.outer(np.arange(n), np.arange(n)))]


def sliding_gram(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Least squares over a window of 4 n rows that slides over random features of digits."""
    X = _table("digits")
    F = np.tanh(X @ np.random.default_rng(3).standard_normal((X.shape[1], n)) / 8)
    rows = (np.arange(k)[:, None] + np.arange(4 * n)) % len(F)
    B = F[rows]
    return B.swapaxes(1, 2) @ B / (4 * n) + 0.01 * np.eye(n)


def normal(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Matrices of no origin at all."""
    return rng.standard_normal((k, n, n))


def _table(name: str) -> np.ndarray:
    """A table of scikit-learn's, columns standardised."""
    from sklearn import datasets

    X = getattr(datasets, f"load_{name}")().data.astype(float)
    return (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-9)


FEW, MANY, SEQUENCE, NONE = "few parameters", "shared structure", "smooth sequence", "no origin"

FAMILIES = (
    Family("GP kernel on a grid", FEW, kernel_on_a_grid),
    Family("GP kernel on a table (scikit-learn)", FEW, kernel_on_a_table),
    Family("ARMA autocovariances", FEW, arma),
    Family("FEM stiffness", FEW, stiffness),
    Family("convection-diffusion", FEW, convection),
    Family("Markov values", FEW, markov),
    Family("power grid (pandapower)", MANY, power_grid),
    Family("ridge Hessians (scikit-learn)", MANY, ridge),
    Family("MIMO, Kronecker", MANY, mimo),
    Family("GP kernel on random rows (scikit-learn)", MANY, kernel_on_random_rows),
    Family("MIMO over subcarriers (sionna)", SEQUENCE, mimo_over_subcarriers),
    Family("Kalman innovations", SEQUENCE, kalman),
    Family("CO2 autocovariances (statsmodels)", SEQUENCE, autocovariances),
    Family("sliding least squares (scikit-learn)", SEQUENCE, sliding_gram),
    Family("normal entries", NONE, normal),
)
