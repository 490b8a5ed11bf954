"""Random matrices as they come up in practice: each has an origin, its numbers are random.

Written for a `Source` as the other distributions are. ``low`` and ``high`` are not used: a
covariance is one at any scale. All but `discounted` and `transport` are symmetric positive
definite, to the bit.
"""

from __future__ import annotations

from typing import Any

from deepmatrixinversion.matrices.sources import Source, log_uniform

DIMENSIONS = 3


def kernel(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """Gaussian processes on random inputs: exp(-(d/l)^p) + noise I, p = 1 or 2.

    Inputs are uniform in a line, square or cube; l is log-uniform in [0.03, 1], the noise in
    [1e-3, 0.3].
    """
    xp = source.xp
    x = source.uniform((count, n, DIMENSIONS), 0.0, 1.0)
    held = source.arange(DIMENSIONS) < source.integers((count, 1, 1), 1, DIMENSIONS + 1)
    x = xp.where(held, x, 0.0 * x)
    square = ((x[:, :, None] - x[:, None]) ** 2).sum(-1)
    smooth = source.integers((count, 1, 1), 0, 2) == 1
    scale = log_uniform(source, (count, 1, 1), 0.03, 1.0)
    distance = xp.where(smooth, square / scale**2, (square + 1e-30) ** 0.5 / scale)
    return xp.exp(-distance) + log_uniform(source, (count, 1, 1), 1e-3, 0.3) * source.eye(n)


def hessian(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """Ridge Hessians FᵀF / m + shrinkage I of m = 2 n rows with a mean and decaying variances.

    The j-th feature's standard deviation is j^-a, a uniform in [0, 1.5]; the shrinkage is
    log-uniform in [1e-3, 0.1].
    """
    decay = source.uniform((count, 1, 1), 0.0, 1.5)
    size = (1.0 + _places(source, n)) ** -decay
    mean = source.normal((count, 1, n)) * source.uniform((count, 1, 1), 0.0, 1.0)
    F = (source.normal((count, 2 * n, n)) + mean) * size
    return _gram(F) / (2 * n) + log_uniform(source, (count, 1, 1), 1e-3, 0.1) * source.eye(n)


def stiffness(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """Springs in a row, and across: Dᵀ C D + c I, with log-normal stiffnesses C.

    D takes differences of neighbours, and of those a random stride apart; spread and mass of each
    matrix are its own, c log-uniform in [1e-3, 1].
    """
    i = source.arange(n)
    stride = source.integers((count, 1, 1), 1, max(2, n // 2))
    spread = source.uniform((count, 1, 1), 0.0, 1.0)
    across = source.uniform((count, 1, 1), 0.0, 1.0)
    total = 0.0 * source.eye(n) + log_uniform(source, (count, 1, 1), 1e-3, 1.0) * source.eye(n)
    for step, weight in ((1 + 0 * stride, 1.0 + 0 * across), (stride, across)):
        D = source.eye(n) - _indicator(source, i[None, :, None] == i[None, None, :] + step)
        C = source.xp.exp(spread * source.normal((count, n, 1)))
        total = total + weight * _gram(C**0.5 * D)
    return total


def received(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """What a detector or a filter inverts: H Hᵀ / n + noise I, H of 1 to n sources.

    The noise is log-uniform in [0.01, 1]; the sources' powers are log-normal.
    """
    sources = source.arange(n) < source.integers((count, 1, 1), 1, n + 1)
    power = source.xp.exp(0.5 * source.normal((count, 1, n))) * sources
    H = source.normal((count, n, n)) * power
    return _gram(H.swapaxes(-1, -2)) / n + log_uniform(source, (count, 1, 1), 0.01, 1.0) * (
        source.eye(n)
    )


def autocovariance(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """Toeplitz covariances of three damped oscillations and white noise."""
    xp, lag, i = source.xp, _places(source, n), source.arange(n)
    total: Any = 0.0
    for _ in range(3):
        damping = log_uniform(source, (count, 1), 0.01, 3.0)
        frequency = source.uniform((count, 1), 0.0, 3.0)
        power = source.uniform((count, 1), 0.0, 1.0)
        total = total + power * xp.exp(-damping * lag) * xp.cos(frequency * lag)
    noise = log_uniform(source, (count, 1), 1e-3, 0.3)
    return total[:, abs(i[:, None] - i)] + noise[:, :, None] * source.eye(n)


def discounted(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """I - g P of Markov chains: g uniform in [0.5, 0.99], transitions even to nearly sure."""
    sharp = log_uniform(source, (count, 1, 1), 0.5, 20.0)
    P = source.uniform((count, n, n), 0.0, 1.0) ** sharp + 1e-9
    discount = source.uniform((count, 1, 1), 0.5, 0.99)
    return source.eye(n) - discount * P / P.sum(-1)[:, :, None]


def transport(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """Diffusion, wind and loss along a line, not symmetric: tridiagonal, wind varies by place."""
    i = source.arange(n)
    below, above = (_indicator(source, i[:, None] == i + s) for s in (1, -1))
    wind = source.uniform((count, 1, 1), -1.5, 1.5)
    wind = wind + 0.5 * source.uniform((count, 1, 1), 0.0, 1.0) * source.normal((count, n, 1))
    loss = log_uniform(source, (count, 1, 1), 1e-3, 1.0)
    return (2.0 + loss) * source.eye(n) - (1.0 + wind) * below - (1.0 - wind) * above


def _places(source: Source, n: int) -> Any:
    """0, ..., n - 1 in the source's dtype."""
    return source.xp.cumsum(source.eye(n).sum(-1), 0) - 1.0


def _indicator(source: Source, mask: Any) -> Any:
    """1 where the mask holds, else 0, in the source's dtype."""
    zero = 0.0 * source.eye(mask.shape[-1])
    return source.xp.where(mask, zero + 1.0, zero)


def _gram(F: Any) -> Any:
    """FᵀF, symmetric to the bit."""
    half = F.swapaxes(-1, -2) @ F
    # a + b rounds as b + a does.
    return (half + half.swapaxes(-1, -2)) / 2
