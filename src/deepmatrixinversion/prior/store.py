"""A store of inverses and how it is used: what a file of a prior holds, and what a start costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

KEYS = 8
"""Keys at most."""

SKETCHES = 2
"""Rows of a sketch at most."""

PROBES = 2
"""Rows of a probe. Of a residual of rank one, one row sees a tenth or less in 8 % of all cases, two
in 1 %."""

CELLS, MEMBERS = 48, 48
"""Neighbourhoods that a store is divided into at most, and stored matrices of each at most."""

STEPS = 8
"""Steps whose degrees a file holds."""

Array = NDArray[np.float64]


class Prior(NamedTuple):
    """K stored inverses of matrices of order n and norm 1, and how they are used.

    Attributes
    ----------
    sketch : (s, n)
        V, signs over sqrt(s)
    probe : (2, n)
        W, signs over sqrt(2): rows of the residual that nothing is fitted to
    centre : (s n,)
        the mean sketch
    keys : (p, s n)
        from a sketch less the mean to p coordinates
    places : (K, p)
        the stored matrices' coordinates
    centres : (C, p)
        of neighbourhoods
    cells : (C, M) int
        the stored matrices that are nearest to each centre
    sketches : (K, s n)
        the stored matrices' sketches
    inverses : (K, n, n)
    mean : (n, n)
        the mean inverse
    precision : (s n, s n)
        of a sketch less the mean, where the mean inverse is the start
    guard : float
        ‖V R‖F and ‖W R‖F of a start beyond which the generic one is taken; with 0 it always is
    closest, farthest : float
        the same for the distance of a sketch from the mean, (y - c)ᵀ P (y - c), of which one that
        is too near is as untypical as one that is too far; of a store, from the nearest sketch
    enough : float
        ‖W R‖F up to which a start is taken to be there, and no product spent; 0 where none is
    degrees : tuple of int
        of the steps that follow
    nearest : int
        J; with 0 the mean inverse is the start
    blocks : int
        minimal residual steps in an exported graph
    """

    sketch: Array
    probe: Array
    centre: Array
    keys: Array
    places: Array
    centres: Array
    cells: NDArray[np.intp]
    sketches: Array
    inverses: Array
    mean: Array
    precision: Array
    guard: float
    closest: float
    farthest: float
    enough: float
    degrees: tuple[int, ...]
    nearest: int
    blocks: int = 1

    @property
    def order(self) -> int:
        """n."""
        return self.mean.shape[-1]

    def sight(self) -> float:
        """What a matrix costs that is foreign by its sketch, in matrix products of order n."""
        if not self.guard:
            return 0.0
        n, s = self.order, len(self.sketch)
        search = len(self.keys) * (s * n + sum(self.cells.shape)) + s * n
        return (s * n**2 + (search if self.nearest else (s * n) ** 2)) / n**3

    def overhead(self) -> float:
        """What a start costs, in matrix products of order n, beside the first residual."""
        if not self.guard:
            return 0.0
        n, s, kept = self.order, len(self.sketch), max(1, self.nearest)
        cost = kept * (s + 1) * n**2 + s * n * kept**2
        if self.nearest:
            cost += 2 * len(self.probe) * n**2
        return self.sight() + cost / n**3


def tensors(prior: Prior) -> dict[str, NDArray[np.float32]]:
    """What a file holds: everything in float32, missing keys, sketches and steps as zeros."""
    n, s = prior.order, len(prior.sketch)
    p = len(prior.keys)
    shapes = tensor_shapes(n, len(prior.inverses))
    found = {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()}
    found["sketch"][:s] = prior.sketch
    found["probe"][...] = prior.probe
    found["centre"][: s * n] = prior.centre
    found["keys"][:p, : s * n] = prior.keys
    found["places"][:, :p] = prior.places
    C, M = prior.cells.shape
    found["centres"][:C, :p] = prior.centres
    found["cells"][:C, :M] = prior.cells
    found["sketches"][:, : s * n] = prior.sketches
    found["inverses"][...] = prior.inverses
    found["mean"][...] = prior.mean
    found["precision"][: s * n, : s * n] = prior.precision
    found["guard"][:] = prior.guard, prior.closest, prior.farthest, prior.enough
    found["degrees"][: len(prior.degrees)] = prior.degrees
    found["blocks"][0] = prior.blocks
    return found


def tensor_shapes(n: int, stored: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a file's tensors."""
    return {
        "sketch": (SKETCHES, n),
        "probe": (PROBES, n),
        "centre": (SKETCHES * n,),
        "keys": (KEYS, SKETCHES * n),
        "places": (stored, KEYS),
        "centres": (CELLS, KEYS),
        "cells": (CELLS, min(MEMBERS, stored)),
        "sketches": (stored, SKETCHES * n),
        "inverses": (stored, n, n),
        "mean": (n, n),
        "precision": (SKETCHES * n, SKETCHES * n),
        "guard": (4,),
        "degrees": (STEPS,),
        "blocks": (1,),
    }


def from_tensors(found: Mapping[str, Any], nearest: int) -> Prior:
    """The prior that ``tensors`` wrote."""
    wide = {name: np.asarray(value, dtype=np.float64) for name, value in found.items()}
    n = wide["mean"].shape[-1]
    s = int(wide["sketch"].any(axis=1).sum())
    p = int(wide["keys"].any(axis=1).sum())
    C = int(wide["cells"].any(axis=1).sum())
    return Prior(
        sketch=wide["sketch"][:s],
        probe=wide["probe"],
        centre=wide["centre"][: s * n],
        keys=wide["keys"][:p, : s * n],
        places=np.ascontiguousarray(wide["places"][:, :p]),
        centres=np.ascontiguousarray(wide["centres"][:C, :p]),
        cells=wide["cells"][:C].astype(np.intp),
        sketches=np.ascontiguousarray(wide["sketches"][:, : s * n]),
        inverses=wide["inverses"],
        mean=wide["mean"],
        precision=np.ascontiguousarray(wide["precision"][: s * n, : s * n]),
        guard=float(wide["guard"][0]),
        closest=float(wide["guard"][1]),
        farthest=float(wide["guard"][2]),
        enough=float(wide["guard"][3]),
        degrees=tuple(int(d) for d in wide["degrees"] if d >= 1) or (1,),
        nearest=nearest,
        blocks=max(1, int(wide["blocks"][0])),
    )
