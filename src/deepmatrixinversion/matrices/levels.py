"""Random matrices whose singular values crowd at a few levels."""

from __future__ import annotations

import math
from typing import Any

from deepmatrixinversion.matrices.haar import haar
from deepmatrixinversion.matrices.sources import Source, log_uniform

MOST_LEVELS = 6


def levels(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """U diag(sigma) Vᵀ with U Haar, and V = U for every other matrix, so that it is definite.

    Each sigma is near one of 2 to 6 levels log-uniform in [1e-3, 1] s, where s = (high - low)/2:
    off by shares of a standard deviation log-uniform in [1e-4, 0.3]. How crowded the first levels
    are differs by matrix: the level of each is floor(m uᵖ), u ~ U[0, 1], p log-uniform in [1, 8].
    """
    many = 1.0 * source.integers((count, 1), 2, MOST_LEVELS + 1)
    u = source.uniform((count, n), 0.0, 1.0) ** log_uniform(source, (count, 1), 1.0, 8.0)
    level = (many * u)[:, :, None]
    floors = source.xp.cumsum(source.eye(MOST_LEVELS).sum(-1), 0) - 1.0
    here = (floors <= level) & (level < floors + 1.0)
    height = source.uniform((count, 1, MOST_LEVELS), math.log(1e-3), 0.0)
    spread = log_uniform(source, (count, 1), 1e-4, 0.3)
    log_sigma = source.xp.where(here, height, 0.0 * height).sum(-1)
    sigma = (high - low) / 2 * source.xp.exp(log_sigma + spread * source.normal((count, n)))
    U, V = haar(source, count, n), haar(source, count, n)
    V[::2] = U[::2]
    half = (U * sigma[:, None, :]) @ V.swapaxes(-1, -2)
    half[::2] = (half[::2] + half[::2].swapaxes(-1, -2)) / 2  # symmetric to the bit
    return half
