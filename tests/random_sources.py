"""Sources of random numbers for tests, NumPy and torch."""

from __future__ import annotations

import numpy as np
import pytest

from deepmatrixinversion.matrices.distributions import (
    NumpySource,
    sample,
)

KINDS = ("numpy64", "numpy32", "torch64", "torch32")


class TorchSource:
    """The smallest torch source there can be."""

    def __init__(self, seed, dtype):
        torch = pytest.importorskip("torch")
        self.xp, self.dtype = torch, getattr(torch, dtype)
        self.generator = torch.Generator().manual_seed(seed)

    def uniform(self, shape, low, high):
        unit = self.xp.rand(shape, generator=self.generator, dtype=self.dtype)
        return low + (high - low) * unit

    def normal(self, shape):
        return self.xp.randn(shape, generator=self.generator, dtype=self.dtype)

    def integers(self, shape, low, high):
        return self.xp.randint(low, high, shape, generator=self.generator)

    def eye(self, n):
        return self.xp.eye(n, dtype=self.dtype)

    def arange(self, n):
        return self.xp.arange(n)


def make_source(kind, seed=0):
    dtype = "float64" if kind.endswith("64") else "float32"
    if kind.startswith("torch"):
        return TorchSource(seed, dtype)
    return NumpySource(np.random.default_rng(seed), dtype)


def draw(kind, name, count, n, low=-1.0, high=1.0, **options):
    """A sample as float64, and the eps of the precision it was drawn in."""
    a = np.asarray(sample(make_source(kind), name, count, n, low, high, **options))
    return a.astype(np.float64), float(np.finfo(a.dtype).eps)


def transposed(a):
    return a.swapaxes(-1, -2)
