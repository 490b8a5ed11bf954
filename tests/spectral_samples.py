"""Matrices and an untrained network for the tests of `spectral`."""

from __future__ import annotations

import numpy as np
import torch

from deepmatrixinversion.models.config import NetConfig
from deepmatrixinversion.nets.spectral import Spectral
from deepmatrixinversion.spectral.advice import ANSWERS, BLOCKS


def stack(n, k=20, seed=0):
    return np.random.default_rng([seed, n]).standard_normal((k, n, n))


def unit(A):
    return A / np.linalg.norm(A, axis=(-2, -1), keepdims=True)


def untrained():
    torch.manual_seed(0)
    return Spectral(NetConfig("spectral", 0, 8, BLOCKS))


def always(weights, opens):
    """Weights whose network opens at once (1) or never (-1), and whose plan takes no side."""
    changed = {k: np.zeros_like(w) if k.startswith("plan.") else w for k, w in weights.items()}
    for kind, value in (("weight", 0.0), ("bias", opens)):
        key = f"out.0.{kind}"
        changed[key] = weights[key].copy()
        changed[key][ANSWERS[0] - 1] = value
    return changed
