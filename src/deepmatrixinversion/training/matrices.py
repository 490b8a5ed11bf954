"""What a training learns from: matrices made fresh for every step, or a stack of the user's own.

Either way the matrices of a step are a function of the seed and of where they are used, so that a
resumed run equals an uninterrupted one.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from deepmatrixinversion.matrices.distributions import sample
from deepmatrixinversion.training.dataset import DataSet, load_data
from deepmatrixinversion.training.recipe import Recipe
from deepmatrixinversion.training.source import TorchSource
from deepmatrixinversion.training.streams import SELECTION, stream_seed

SELECTION_MATRICES = 10_000


class Batch(NamedTuple):
    """Matrices (k, n, n), and what their inverses are to be, where that is known."""

    A: Tensor
    target: Tensor | None = None


class Fresh:
    """Random matrices that are never seen twice."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.recipe = recipe
        self.device = device

    def draw(self, purpose: int, order: int, count: int, *position: int) -> Batch:
        """New matrices of the recipe's distribution."""
        r = self.recipe
        seed = stream_seed(purpose, r.seed, *position)
        source = TorchSource(seed, self.device, precision(r))
        return Batch(
            sample(source, r.distribution, count, order, r.rmin, r.rmax, det_min=r.det_min)
        )

    def selection(self, member: int) -> list[Batch]:
        """Fresh matrices of each order."""
        orders = sorted(set(self.recipe.order_cycle()))
        count = SELECTION_MATRICES // len(orders) ** 2
        return [self.draw(SELECTION, n, count, member) for n in orders]


class Static:
    """A stack of the user's own: steps draw from its training block, with replacement."""

    def __init__(self, recipe: Recipe, device: torch.device, data: DataSet) -> None:
        self.recipe = recipe
        self.device = device
        self.train, self.validation, _ = (self._on_device(part) for part in data.blocks())

    def _on_device(self, part: DataSet) -> Batch:
        def tensor(M):
            return torch.from_numpy(M).to(self.device, precision(self.recipe))

        return Batch(tensor(part.A), None if part.targets is None else tensor(part.targets))

    def draw(self, purpose: int, order: int, count: int, *position: int) -> Batch:
        """Some of the training block."""
        seed = stream_seed(purpose, self.recipe.seed, *position)
        drawn = TorchSource(seed, self.device).integers((count,), 0, len(self.train.A))
        target = self.train.target
        return Batch(self.train.A[drawn], None if target is None else target[drawn])

    def selection(self, member: int) -> list[Batch]:
        """The validation block, or the first of a long one."""
        A, target = self.validation
        some = slice(0, SELECTION_MATRICES)
        return [Batch(A[some], None if target is None else target[some])]


Supply = Fresh | Static
"""Where a training's matrices come from: to ``draw`` for a purpose and a position of the run,
always the same, and a ``selection`` of those that the best weights are chosen by."""


def supply(recipe: Recipe, device: torch.device, directory: Path) -> Supply:
    """Where the matrices of a recipe come from."""
    if not recipe.data:
        return Fresh(recipe, device)
    return Static(recipe, device, load_data(directory))


def precision(recipe: Recipe) -> torch.dtype:
    """The dtype of a training's matrices."""
    return torch.float64 if recipe.precision == "64" else torch.float32
