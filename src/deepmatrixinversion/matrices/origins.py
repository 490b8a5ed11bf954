"""Random matrices as they come up in practice: each has an origin, its numbers are random.

Written for a `Source` as the other distributions are. ``low`` and ``high`` are not used: a
covariance is one at any scale. Those from `kernel` to `autocovariance` and from `factors` to
`diffusion` are symmetric positive definite, to the bit.
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


def factors(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """Covariances of returns or scores: L Lᵀ of 1 to n/4 common factors, and a variance each.

    Factors' strengths and the variances are log-normal; how far the latter spread differs by
    matrix, uniform in [0, 1.5].
    """
    held = source.arange(n) < source.integers((count, 1, 1), 1, max(2, n // 4 + 1))
    strength = source.xp.exp(source.normal((count, 1, n))) * held
    L = source.normal((count, n, n)) * strength
    spread = source.uniform((count, 1), 0.0, 1.5)
    own = source.xp.exp(spread * source.normal((count, n)))
    return _gram(L.swapaxes(-1, -2)) + own[:, :, None] * source.eye(n)


def effects(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """Covariances of mixed models: groups within groups, a variance for each level, and noise.

    Groups are runs of consecutive rows; their sizes differ by matrix, variances are log-uniform in
    [0.1, 30]. Eigenvalues come in few clusters.
    """
    i = source.arange(n)
    size = source.integers((count, 1, 1), 2, max(3, n // 4 + 1))
    many = source.integers((count, 1, 1), 2, 5)
    total = 0.0 * source.eye(n) + source.eye(n)
    for length in (size, size * many):
        alike = i[None, :, None] // length == i[None, None, :] // length
        total = total + log_uniform(source, (count, 1, 1), 0.1, 30.0) * _indicator(source, alike)
    return total


def samples(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """Sample covariances of n/4 to 4 n rows of neighbouring features that correlate, shrunk.

    Correlations are c^|i - j| with c uniform in [0, 0.95], the shrinkage is log-uniform in
    [1e-2, 0.3].
    """
    rows = source.uniform((count, 1, 1), max(1.0, n / 4), 4.0 * n)
    held = source.arange(4 * n)[None, :, None] < rows
    F = source.normal((count, 4 * n, n)) * held
    c = source.uniform((count, 1, 1), 0.0, 0.95)
    place = _places(source, n)
    lag = place[:, None] - place
    # The autoregression's transfer: c^(i - j) where i >= j.
    transfer = c ** abs(lag) * _indicator(source, lag >= 0) * (1.0 - c * c) ** 0.5
    shrinkage = log_uniform(source, (count, 1, 1), 1e-2, 0.3)
    return _gram(F @ transfer.swapaxes(-1, -2)) / rows + shrinkage * source.eye(n)


def diffusion(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """Implicit steps of diffusion on a grid, I + t L: t log-uniform in [0.1, 300].

    The grid is about square, filled row by row, grounded at its first node; conductances are
    log-normal.
    """
    width = max(1, round(n**0.5))
    i = source.arange(n)
    spread = source.uniform((count, 1, 1), 0.0, 1.0)
    total: Any = 0.0
    row = i[:, None]
    for step, kept in ((1, (row % width > 0) | (row == 0)), (width, row >= width)):
        D = source.eye(n) - _indicator(source, row == i + step)
        C = source.xp.exp(spread * source.normal((count, n, 1)))
        total = total + _gram(C**0.5 * source.xp.where(kept, D, 0.0 * D))
    return source.eye(n) + log_uniform(source, (count, 1, 1), 0.1, 300.0) * total


def network(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """I - W of sparse directed weights: input and output of industries, neurons at rest.

    Two to ten links a row, gains with either sign; W's typical gain is uniform in [0.2, 1.5].
    """
    links = source.uniform((count, 1, 1), 2.0, 10.0)
    mask = source.uniform((count, n, n), 0.0, 1.0) * n < links
    weights = source.normal((count, n, n)) + source.uniform((count, 1, 1), 0.0, 1.0)
    gain = source.uniform((count, 1, 1), 0.2, 1.5)
    return source.eye(n) - gain * weights * mask / links**0.5


def equalised(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """Convolutions with short random filters: Toeplitz, up to eight taps that fade.

    The tap on the diagonal, one of the first four, is raised by two.
    """
    i = source.arange(n)
    delay = source.integers((count, 1, 1), 0, min(n, 4))
    fading = source.uniform((count, 1, 1), 0.3, 1.0)
    total = 2.0 * source.eye(n)
    for tap in range(min(n, 8)):
        here = _indicator(source, i[None, :, None] - i[None, None, :] == tap - delay)
        total = total + fading**tap * source.normal((count, 1, 1)) * here
    return total


def impedance(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """Complex matrices in real form, [[Re, -Im], [Im, Re]]: every singular value comes twice.

    Entries are normal, and the diagonal has up to three times their weight. At odd orders a
    log-normal number is left for the corner.
    """
    half, i = n // 2, source.arange(n)
    weight = 3.0 * source.uniform((count, 1, 1), 0.0, 1.0) * max(1, half) ** 0.5
    re = source.normal((count, half, half)) + weight * source.eye(half)
    im = source.normal((count, half, half))
    corner = _indicator(source, (i[:, None] == n - 1) & (i == n - 1))
    A = source.xp.exp(source.normal((count, 1, 1))) * corner
    A[:, :half, :half] = A[:, half : 2 * half, half : 2 * half] = re
    A[:, half : 2 * half, :half], A[:, :half, half : 2 * half] = im, -im
    return A


def replicas(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """The same numbers in every cell, but for tolerances: blocks of order 2 to 6 on the diagonal.

    Pixels with their crosstalk, cells of a battery. Rows of a cell are channels of gains that are
    spread over up to three decades; errors, log-uniform in [1e-3, 0.1], are relative and couple
    the cells. Singular values come in as many clusters as a cell has rows.
    """
    i = source.arange(n)
    size = source.integers((count, 1, 1), 2, 7)
    row, column = i[None, :, None], i[None, None, :]
    spread = source.uniform((count, 1, 1), 0.0, 7.0)
    A: Any = 0.0
    for r in range(6):
        gain = source.xp.exp(-spread * source.uniform((count, 1, 1), 0.0, 1.0))
        for c in range(6):
            here = _indicator(source, (row % size == r) & (column % size == c))
            A = A + gain * source.normal((count, 1, 1)) * here
    A = A * _indicator(source, row // size == column // size)
    error = log_uniform(source, (count, 1, 1), 1e-3, 0.1) / n**0.5
    return A + error * A @ source.normal((count, n, n))


def updates(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """Low-rank updates of the identity, I + U Vᵀ of rank 1 to n/4, and errors.

    U and V are normal, the update is of size log-uniform in [0.3, 10], errors of [1e-4, 0.1].
    """
    held = source.arange(n) < source.integers((count, 1, 1), 1, max(2, n // 4 + 1))
    U, V = source.normal((count, n, n)), source.normal((count, n, n)) * held
    size = log_uniform(source, (count, 1, 1), 0.3, 10.0) / n**0.5
    noise = log_uniform(source, (count, 1, 1), 1e-4, 0.1) / n**0.5
    return (
        source.eye(n)
        + size * (U * held) @ V.swapaxes(-1, -2)
        + noise * (source.normal((count, n, n)))
    )


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


ORIGINS = {
    f.__name__: f
    for f in (
        kernel,
        hessian,
        stiffness,
        received,
        autocovariance,
        discounted,
        transport,
        factors,
        effects,
        samples,
        diffusion,
        network,
        equalised,
        impedance,
        replicas,
        updates,
    )
}
