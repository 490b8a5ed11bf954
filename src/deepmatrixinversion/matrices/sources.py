"""Where random arrays come from: one protocol, so that distributions are written once.

`NumpySource` is the implementation for NumPy; training has one for torch.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np


class Source(Protocol):
    """Where random arrays come from; all of them have the source's floating dtype and device.

    ``xp`` is the module (`numpy` or `torch`) whose functions act on those arrays.
    """

    xp: Any

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> Any:
        """Independent draws from U[low, high]."""
        ...

    def normal(self, shape: tuple[int, ...]) -> Any:
        """Independent standard normal draws."""
        ...

    def integers(self, shape: tuple[int, ...], low: int, high: int) -> Any:
        """Independent int64 draws from low, ..., high - 1."""
        ...

    def eye(self, n: int) -> Any:
        """The identity of order n, in the source's floating dtype."""
        ...

    def arange(self, n: int) -> Any:
        """The int64 array 0, ..., n - 1."""
        ...


class NumpySource:
    """Arrays of ``dtype`` (float64 or float32) from a NumPy generator."""

    xp: Any = np

    def __init__(self, rng: np.random.Generator, dtype: Any = np.float64) -> None:
        self.rng = rng
        self.dtype = np.dtype(dtype)

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
        values = self.rng.random(shape, dtype=self.dtype.type)
        values *= high - low
        values += low
        return values

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.standard_normal(shape, dtype=self.dtype.type)

    def integers(self, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
        return self.rng.integers(low, high, shape)

    def eye(self, n: int) -> np.ndarray:
        return np.eye(n, dtype=self.dtype)

    def arange(self, n: int) -> np.ndarray:
        return np.arange(n)


def log_uniform(source: Source, shape: tuple[int, ...], low: float, high: float) -> Any:
    """Independent draws whose logarithms are uniform."""
    return source.xp.exp(source.uniform(shape, math.log(low), math.log(high)))
