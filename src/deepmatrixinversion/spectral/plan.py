"""Which way a matrix goes from its start, by how many products each of six is expected to take.

Blocks of the network reach degree nine in five products, steps of degree three are fitted to the
matrix in all of their coefficients, one open-ended step is over after as many directions as there
are distinct eigenvalues, and up to order 28 traces tell the inverse itself: at once, after a greedy
step that squeezes the spectrum, or after one that folds it. Each is the best for some matrices.
What R and R² show, which takes one product that every way goes on with, tells them apart well
enough that whoever is sent one way seldom needs more products there than on the others. A small
network of its own says what the ways cost. It is fitted, when the other is trained, to what they
did cost (training.plan).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.polynomial import Space
from deepmatrixinversion.spectral.advice import SEEN, Look, features, table

WAYS = 6
NETWORK, GREEDY, OPEN, TRACES, SQUEEZED, FOLDED = range(WAYS)

UNITS = 32

LARGEST_ORDER = 64
"""What plans are fitted to; beyond, nothing that was tried comes near the network's own way."""

LAYERS = {"plan.0": (SEEN[0], UNITS), "plan.1": (UNITS, UNITS), "plan.2": (UNITS, WAYS)}
"""Widths of the layers, in and out."""


def way(weights: Mapping[str, Any], seen: Look, space: Space) -> NDArray[np.intp]:
    """The way of the least products, of each matrix of a stack."""
    z = table(features(seen, space, np), np).astype(np.float32)
    for layer in LAYERS:
        z = z @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"]
        if layer != "plan.2":
            z = z * (0.5 + 0.5 * np.tanh(0.5 * z))  # SiLU
    n = space.inner(seen.known[0], seen.known[0]).reshape(-1)
    return np.where(n > LARGEST_ORDER, NETWORK, z.argmin(axis=1))


def decided(weights: Mapping[str, Any], which: int) -> dict[str, Any]:
    """The weights with a plan that sends every matrix one way."""
    plan = {f"{name}.weight": np.zeros(widths[::-1]) for name, widths in LAYERS.items()}
    plan |= {f"{name}.bias": np.zeros(widths[1]) for name, widths in LAYERS.items()}
    return dict(weights) | plan | {"plan.2.bias": -np.eye(WAYS)[which]}
