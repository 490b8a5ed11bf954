"""A family of matrices at an order, measured: what a prior, a tracker and the others cost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np

from deepmatrixinversion import Inverter, Tracker
from deepmatrixinversion.inference.leaf import PriorLeaf
from deepmatrixinversion.linalg.greedy import EARLY_EXIT, Array, improved, norm
from deepmatrixinversion.linalg.scaling import Scaled, normalise
from deepmatrixinversion.linalg.stack import Stack
from deepmatrixinversion.prior.costs import MEAN, NEAREST, charged
from deepmatrixinversion.prior.driver import from_nothing, prior_guess
from deepmatrixinversion.prior.sequence import ENOUGH, Start
from deepmatrixinversion.prior.store import Prior
from deepmatrixinversion.training.dataset import data_set
from deepmatrixinversion.training.directory import new_directory
from deepmatrixinversion.training.fit import recipe_for
from deepmatrixinversion.training.prior import fit_and_finish
from timing import smallest_times
from your_baselines import chebyshev, low_rank
from your_families import SEQUENCE, Family


class Case(NamedTuple):
    """A family at an order: mean and 99 % of products to 1e-3 by method, and the rest."""

    family: Family
    n: int
    chosen: str
    costs: dict[str, tuple[float, float]]
    total: float
    certified: float
    seconds: float
    lapack_us: float
    ours_us: float
    breaks_even: float
    inverter: Inverter
    test: np.ndarray

    @property
    def own(self) -> float:
        """The prior's mean, or the tracker's on sequences where that is less."""
        return min(self.costs[name][0] for name in ("prior", "tracker") if name in self.costs)

    @property
    def classical(self) -> float:
        """The cheaper of greedy and Chebyshev."""
        return min(self.costs["greedy"][0], self.costs["Chebyshev"][0])

    @property
    def simple(self) -> float:
        """The cheapest of mean inverse, nearest and previous one."""
        return min(self.costs[name][0] for name in ("mean", "nearest", "previous"))


def measure(family: Family, n: int, count: int, folder: Path) -> Case:
    """Fit to the first 80 %, choose by the next 10, measure on the last."""
    A = family.draw(np.random.default_rng([1, n]), count, n)
    data = data_set(A)
    recipe = recipe_for(data, {"net": "prior", "data": family.name}, has_targets=False)
    directory = new_directory(folder / "m", recipe, data)
    start = time.process_time()
    fitted = fit_and_finish(directory, recipe, command="benchmarks/your_matrices.py")
    seconds = time.process_time() - start
    inverter = Inverter.from_pretrained(directory)
    train, _, test = (part.A for part in data.blocks())
    S, T = (Scaled.of(np.ascontiguousarray(M)).S.matrices() for M in (train, test))
    S, T = S / norm(S)[:, None, None], T / norm(T)[:, None, None]
    names = {
        "generic": "greedy",
        MEAN: "mean",
        NEAREST: "nearest",
        "inverse of the matrix before": "previous",
    }
    costs = {names[row.name]: (row.mean, row.most) for row in fitted.rows if row.name in names}
    costs["Chebyshev"] = _figures(chebyshev(S, T))
    costs["low rank"] = _figures(low_rank(T))
    prior = prior_of(inverter)
    guess = prior_guess(prior, T)
    costs["prior"] = _figures(charged(T, guess) + guess.overhead)
    if family.kind == SEQUENCE:
        costs["tracker"] = _figures(tracked(test))
    polish, certified = polished(inverter, test)
    lapack, ours = smallest_times([lambda: np.linalg.inv(test), lambda: inverter.inv_ex(test)], 3)
    saved = costs["greedy"][0] - costs["prior"][0]
    product = smallest_times([lambda: np.matmul(T, T)], 3)[0] / len(T)
    return Case(
        family,
        n,
        fitted.chosen,
        costs,
        costs["prior"][0] + polish,
        certified,
        seconds,
        1e6 * lapack / len(test),
        1e6 * ours / len(test),
        seconds / (saved * product) if saved > 0 else np.inf,
        inverter,
        T,
    )


def prior_of(inverter: Inverter) -> Prior:
    """What an inverter has learned."""
    assert isinstance(inverter.leaf, PriorLeaf)
    return inverter.leaf.prior


def _figures(costs: np.ndarray) -> tuple[float, float]:
    return float(np.mean(costs)), float(np.quantile(costs, 0.99, method="higher"))


def tracked(test: np.ndarray) -> np.ndarray:
    """Products of each matrix of a sequence but the first, from the tracker's start."""
    tracker, costs = Tracker(), []
    for A in test:
        S, _ = normalise(A[None])
        costs.append(_started(S, tracker.propose(S)))
        tracker(A)
    return np.array(costs[1:], dtype=float)


def _started(S: Array, start: Start | None) -> float:
    """From a tracker's start, where there is one that is any use, to 1e-3."""
    if start is None:
        return float(charged(S, from_nothing(S / norm(S)[0]))[0])
    guess = improved(S, start.X)
    if start.residual[0] <= ENOUGH:
        # Taken to be there; what it is in truth is charged.
        guess = guess._replace(X=start.X, residual=start.residual, products=0 * guess.products)
    if not guess.residual[0] <= EARLY_EXIT:
        guess = from_nothing(S / norm(S)[0])
        return float(guess.products[0] + start.cost[0])
    return float(charged(S, guess)[0] + start.cost[0])


def polished(inverter: Inverter, test: np.ndarray) -> tuple[float, float]:
    """Products from a residual of 1e-3 to the certificate, and the share certified."""
    A = test[:50]
    guess, counted = inverter.guess(A), [0]
    plain = Stack.__matmul__

    def counting(self: Stack, other: Stack) -> Stack:
        counted[0] += len(self)
        return plain(self, other)

    with mock.patch.object(Stack, "__matmul__", counting):
        inverter.inv_ex(A, start=guess)
    found = inverter.inv_ex(test)
    return counted[0] / len(A), float(found.certificate.certified.mean())
