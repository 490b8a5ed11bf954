"""From a stack of matrices and their inverses to a prior, chosen by its cost on validation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from deepmatrixinversion.linalg.algebra import Algebra
from deepmatrixinversion.linalg.greedy import EARLY_EXIT, EPS, Array, norm
from deepmatrixinversion.linalg.minimal_residual import minimal_residual
from deepmatrixinversion.prior.candidates import blank, mean_alone, promising
from deepmatrixinversion.prior.costs import SCHEDULES, Data, Row, charged, row_of, simple_rows
from deepmatrixinversion.prior.driver import generic_start, prior_guess
from deepmatrixinversion.prior.proposal import propose
from deepmatrixinversion.prior.store import SKETCHES, Prior, from_tensors, tensors

PASSED = 0.99
"""Share of the validation set that guards are set by."""

GUARDS = (0.125, 0.25, 0.5, 0.7)
"""Residuals up to which starts may be taken, in units of sqrt(n), the residual of nothing at all.
The first is a store's unless a looser one pays, the last a mean inverse's at most."""

LOOSER = 0.99
"""Share of the cost that a looser guard has to come down to."""

ROOM = 2.0
"""How much further than 99 % of the validation sketches one may be from a store's nearest."""

MISJUDGED = 0.01
"""Share of the validation starts taken to be at 1e-3 that may be above."""

VALIDATED = 200
"""Matrices of the validation block that choices are made by."""

WORTH = 1.1
"""By how much something simpler has to be dearer to be given up."""


class Fitted(NamedTuple):
    """A prior with the table of what else was measured; ``chosen`` names the row it is."""

    prior: Prior
    chosen: str
    rows: list[Row]

    @property
    def own(self) -> Row:
        """The row of the prior itself."""
        return next(row for row in self.rows if row.name == self.chosen)

    @property
    def simplest(self) -> Row:
        """The cheapest row of those that need no store."""
        return min((row for row in self.rows if row.name != "local"), key=lambda row: row.mean)


def fit_prior(
    train: Data,
    validation: Data,
    test: Data,
    *,
    stored: int = 512,
    combined: int = 8,
    seed: int = 0,
) -> Fitted:
    """The cheapest of three kinds of start for matrices like these.

    Generic, the mean inverse, or combinations of the nearest of up to ``stored`` inverses, up to
    ``combined`` at a time: whichever takes the fewest products to a residual of 1e-3 on the
    validation block, projections and least squares counted. The test block chooses nothing; its
    costs are the table's.

    Raises
    ------
    ValueError
        When a block is empty.
    """
    if not (len(train.S) and len(validation.S) and len(test.S)):
        raise ValueError(
            "a prior needs matrices to learn from, to choose by and to be tested on: at least ten"
        )
    some = validation.at(slice(0, VALIDATED))
    blanks = [blank(train.S.shape[-1], s, seed) for s in range(1, SKETCHES + 1)]
    nothing = _scheduled([blanks[0]], some)
    otherwise = nothing[0] if nothing else np.inf
    best = {
        "generic": nothing,
        "mean": _scheduled([mean_alone(train, b) for b in blanks], some),
        "local": _scheduled(promising(train, some, stored, combined, otherwise, seed), some),
    }
    best = {name: found for name, found in best.items() if found is not None}
    chosen = "generic"
    for name in ("mean", "local"):
        if name in best and best[name][0] * WORTH <= best[chosen][0]:
            chosen = name
    prior = best[chosen][1]
    prior = prior._replace(blocks=_blocks(prior, some))
    rows = [row_of(name, test.S, prior_guess(p, test.S)) for name, (_, p) in best.items()]
    return Fitted(prior, chosen, rows + simple_rows(train, test))


def _scheduled(priors: Iterable[Prior], some: Data) -> tuple[float, Prior] | None:
    """The cheapest prior with its schedule and guard, as a file holds it, and its mean cost."""
    best: tuple[float, Prior] | None = None
    for prior in priors:
        guarded = _guarded(from_tensors(tensors(prior), prior.nearest), some)
        for degrees in SCHEDULES:
            tried = guarded._replace(degrees=degrees)
            cost = _mean_cost(tried, some)
            if best is None or cost < best[0]:
                best = cost, tried
    return _loosened(*best, some) if best else None


def _mean_cost(prior: Prior, some: Data) -> float:
    guess = prior_guess(prior, some.S)
    return float((charged(some.S, guess) + guess.overhead).mean())


def _loosened(cost: float, prior: Prior, some: Data) -> tuple[float, Prior]:
    """The same with the loosest guard that pays, of a store."""
    if prior.nearest:
        for share in GUARDS[1:]:
            tried = prior._replace(guard=_guard(prior, share))
            found = _mean_cost(tried, some)
            if found <= LOOSER * cost:
                cost, prior = found, tried
    return cost, prior


def _guard(prior: Prior, share: float) -> float:
    return float(np.float32(share * prior.order**0.5))


def _guarded(prior: Prior, some: Data) -> Prior:
    """The prior with bounds on what is familiar, and on what needs no product."""
    if not prior.guard:
        return prior
    found = propose(prior._replace(closest=-np.inf, farthest=np.inf), some.S)
    if not prior.nearest:
        return prior._replace(
            guard=min(_passing(found.left), _guard(prior, GUARDS[-1])),
            closest=-_passing(-found.distance),
            farthest=_passing(found.distance),
        )
    enough = _sure(found.seen, norm(np.eye(prior.order) - some.S @ found.X))
    farthest = float(np.float32(ROOM**2 * _passing(found.distance)))
    return prior._replace(
        guard=_guard(prior, GUARDS[0]), closest=-1.0, farthest=farthest, enough=enough
    )


def _passing(values: Array) -> float:
    """The least float32 number that the share ``PASSED`` of the values does not exceed."""
    limit = np.float32(np.quantile(values, PASSED, method="higher"))
    return float(np.nextafter(limit, np.float32(np.inf)))


def _sure(seen: Array, measured: Array) -> float:
    """The largest probed residual, up to 1e-3, up to which hardly any measured one is above."""
    order = np.argsort(seen, kind="stable")
    wrong = np.cumsum(measured[order] > EARLY_EXIT)
    fine = (wrong <= MISJUDGED * np.arange(1, len(seen) + 1)) & (seen[order] <= EARLY_EXIT)
    last = np.flatnonzero(fine)
    if not len(last):
        return 0.0
    if last[-1] + 1 == len(seen):
        return float(np.float32(EARLY_EXIT))
    return float(np.float32(min(EARLY_EXIT, seen[order][last[-1]])))


def _blocks(prior: Prior, some: Data, most: int = 5) -> int:
    """Steps after which an exported graph has the share ``PASSED`` of the matrices at 1e-3."""
    one = np.eye(prior.order)
    algebra = Algebra(prior.order, EPS, one, np.where)
    X = propose(prior, some.S).X if prior.guard else generic_start(some.S)[0]
    for blocks in range(1, most):
        R = one - some.S @ minimal_residual(algebra, some.S, X, blocks)
        if np.mean(norm(R) <= EARLY_EXIT) >= PASSED:
            return blocks
    return most
