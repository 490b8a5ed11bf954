"""Fitting the plan of `spectral`: which way a matrix goes, by what all ways have cost.

Matrices of every origin are sent all ways, by the trained network and the driver that users have.
A small network is fitted to the products that each took more than the best of them, in least
squares first. That tells how much there is to lose; what is lost is what the choice by it loses,
and that is made small afterwards, softly: each way chosen in proportion to exp(-loss / softness).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deepmatrixinversion.linalg.greedy import EARLY_EXIT, EPS
from deepmatrixinversion.matrices.distributions import DISTRIBUTIONS, NumpySource, sample
from deepmatrixinversion.spectral import compiled
from deepmatrixinversion.spectral.advice import features, look, table
from deepmatrixinversion.spectral.driver import SMALL_ORDER, definite_of
from deepmatrixinversion.spectral.moments import UNSEEN, Squared
from deepmatrixinversion.spectral.plan import LAYERS, WAYS, decided
from deepmatrixinversion.spectral.start import start
from deepmatrixinversion.training.matrices import supply
from deepmatrixinversion.training.recipe import Recipe
from deepmatrixinversion.training.streams import PLANNING, stream_seed

KINDS = [name for name in DISTRIBUTIONS if name not in ("low_rank", "orthogonal")]

MOST_MATRICES = 1_000
"""Of each kind and order; fewer where the training itself is small."""

BETWEEN = (10, 12, 14, 20, 28, 40)
"""Orders to plan for beside those of the training, where these are smaller and larger."""

NEVER = 40
"""Products after which the ways are not told apart any more."""

LARGEST_LOSS = 3.0
"""Products lost beyond which a way is as bad as can be."""

SOFTNESS = 0.3

STEPS, SOFT_STEPS, BATCH, RATE, DECAY = 3000, 6000, 2048, 5e-3, 0.1

Array = NDArray[np.float64]


def planned(
    weights: dict[str, Tensor], recipe: Recipe, member: int, directory: Path
) -> dict[str, Tensor]:
    """The weights of a trained ``spectral`` with its plan: about a minute at its bundled size."""
    plain = {name: tensor.numpy() for name, tensor in weights.items()}
    seen, lost = [], []
    for S in _matrices(recipe, member, directory):
        found = _costs(plain, S)
        more = np.minimum(found - found.min(axis=0), LARGEST_LOSS)
        seen.append(_features(S))
        lost.append(more.T)
    if not seen:
        return weights
    seed = stream_seed(PLANNING, recipe.seed, member)
    return weights | _fitted(np.concatenate(seen), np.concatenate(lost), seed)


def _matrices(recipe: Recipe, member: int, directory: Path) -> Iterator[Array]:
    """Stacks of norm one: of the user's data, or of every kind and order."""
    matrices = supply(recipe, torch.device("cpu"), directory)
    count = min(MOST_MATRICES, 2 + recipe.nmx_samples * recipe.epochs // 5_000)
    for order in _orders(set(recipe.order_cycle())):
        if recipe.data:
            yield _unit(matrices.draw(PLANNING, order, 5 * count, member).A.double().numpy())
            continue
        for index, kind in enumerate(KINDS):
            seed = stream_seed(PLANNING, recipe.seed, member, order, index)
            source = NumpySource(np.random.default_rng(seed))
            yield _unit(sample(source, kind, count, order, recipe.rmin, recipe.rmax))


def _orders(trained: set[int]) -> list[int]:
    """Those that have a choice of ways."""
    between = {n for n in BETWEEN if min(trained) < n < max(trained)}
    return sorted(n for n in trained | between if n > SMALL_ORDER)


def _unit(A: Array) -> Array:
    norm = np.linalg.norm(A, axis=(1, 2))
    good = np.isfinite(norm) & (norm > 0)
    return A[good] / norm[good, None, None]


def _costs(weights: dict[str, NDArray], S: Array) -> Array:
    """Products of each way, (ways, k): the plan is made to choose it."""
    costs = np.empty((WAYS, len(S)))
    for way in range(WAYS):
        found = compiled.guess(decided(weights, way), S, max_products=NEVER)
        costs[way] = np.where(found.residual <= EARLY_EXIT, found.products, NEVER)
    return costs


def _features(S: Array) -> Array:
    """What the plan is made by, (k, features)."""
    k, n = S.shape[:2]
    one = np.eye(n)
    _, R = start(S, definite_of(S, one)[:, None, None], one, np)
    M = np.stack([np.broadcast_to(one, R.shape), R, R @ R], axis=1).reshape(k, 3, -1)
    space = Squared(np.ascontiguousarray((M @ M.swapaxes(1, 2)).transpose(1, 2, 0)))
    return table(features(look(space.one, space.R, space, EPS, EPS + UNSEEN / 10), space, np), np)


def _fitted(seen: Array, lost: Array, seed: int) -> dict[str, Tensor]:
    """The plan's weights."""
    middle, spread = seen.mean(axis=0), seen.std(axis=0) + 1e-3
    Z, Y = torch.from_numpy((seen - middle) / spread).float(), torch.from_numpy(lost).float()
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Linear(*widths) for widths in LAYERS.values()]
    net = nn.Sequential(layers[0], nn.SiLU(), layers[1], nn.SiLU(), layers[2])
    for loss, steps, rate in ((_squared, STEPS, RATE), (_lost, SOFT_STEPS, RATE / 2)):
        optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=DECAY)
        steps = min(steps, len(Z))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            some = torch.randint(len(Z), (min(BATCH, len(Z)),), generator=generator)
            optimizer.zero_grad()
            loss(net(Z[some]), Y[some]).backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        layers[0].weight.div_(torch.from_numpy(spread).float())
        layers[0].bias.sub_(layers[0].weight @ torch.from_numpy(middle).float())
    return {
        f"{name}.{part}": getattr(layer, part).detach().clone()
        for name, layer in zip(LAYERS, layers, strict=True)
        for part in ("weight", "bias")
    }


def _squared(said: Tensor, lost: Tensor) -> Tensor:
    return ((said - lost) ** 2).sum(1).mean()


def _lost(said: Tensor, lost: Tensor) -> Tensor:
    """What a choice by what is said loses."""
    return (torch.softmax(-said / SOFTNESS, 1) * lost).sum(1).mean()
