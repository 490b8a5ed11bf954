"""Matrices and an untrained network for the tests of `spectral`."""

from __future__ import annotations

import numpy as np
import torch

from deepmatrixinversion.models.config import NetConfig
from deepmatrixinversion.nets.spectral import Spectral
from deepmatrixinversion.spectral.advice import BLOCKS


def stack(n, k=20, seed=0):
    return np.random.default_rng([seed, n]).standard_normal((k, n, n))


def unit(A):
    return A / np.linalg.norm(A, axis=(-2, -1), keepdims=True)


def untrained():
    torch.manual_seed(0)
    return Spectral(NetConfig("spectral", 0, 8, BLOCKS))
