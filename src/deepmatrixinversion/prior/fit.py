"""From a stack of matrices and their inverses to a prior, chosen by its cost on validation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from deepmatrixinversion.linalg.algebra import Algebra
from deepmatrixinversion.linalg.elimination import eliminated
from deepmatrixinversion.linalg.greedy import (
    EARLY_EXIT,
    EPS,
    Array,
    norm,
)
from deepmatrixinversion.linalg.minimal_residual import minimal_residual
from deepmatrixinversion.prior.components import principal_components
from deepmatrixinversion.prior.costs import SCHEDULES, Data, Row, row_of, simple_rows, spent
from deepmatrixinversion.prior.driver import generic_start, prior_guess
from deepmatrixinversion.prior.store import (
    KEYS,
    SKETCHES,
    Prior,
    from_tensors,
    propose,
    tensors,
)

STORED = (32, 64, 128, 256, 512)
COMBINED = (1, 2, 4, 8)
KEPT_KEYS = (2, 4, KEYS)

MOST_OVERHEAD = 1.0
"""Products that a start may cost, which is what a foreign matrix loses by it."""

PASSED = 0.99
"""Share of the validation set that the guard lets pass."""

LOOSEST = 0.5
"""Largest guard of a store, whose good starts leave much less: foreign matrices can come near 1."""

TRIED = 4
"""Stores that are tried through the whole iteration, those with the best sketched residuals."""

RANKED = 100
"""Matrices whose sketched residuals rank the stores."""

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
    blanks = [_blank(train.S.shape[-1], s, seed) for s in range(1, SKETCHES + 1)]
    best = {
        "generic": _scheduled([blanks[0]], some),
        "mean": _scheduled([_mean_alone(train, b) for b in blanks], some),
        "local": _scheduled(_promising(train, some, stored, combined, seed), some),
    }
    best = {name: found for name, found in best.items() if found is not None}
    chosen = "generic"
    for name in ("mean", "local"):
        if name in best and best[name][0] * WORTH <= best[chosen][0]:
            chosen = name
    prior = best[chosen][1]
    prior = prior._replace(blocks=_blocks(prior, some))
    rows = [row_of(name, prior_guess(p, test.S), p.overhead()) for name, (_, p) in best.items()]
    return Fitted(prior, chosen, rows + simple_rows(train, test))


def _signs(n: int, s: int, seed: int) -> Array:
    return np.random.default_rng(seed).choice([-1.0, 1.0], (s, n)) / np.sqrt(s)


def _average(X: Array) -> Array:
    """The mean of inverses of norm 1, as large as their median: no few of them outweigh all."""
    size = norm(X)
    return np.median(size) * (X / size[:, None, None]).mean(axis=0)


def _blank(n: int, s: int, seed: int) -> Prior:
    """The prior that knows nothing, with a sketch of s rows."""
    return Prior(
        sketch=_signs(n, s, seed),
        centre=np.zeros(s * n),
        keys=np.zeros((0, s * n)),
        places=np.zeros((0, 0)),
        inverses=np.zeros((0, n, n)),
        mean=np.zeros((n, n)),
        precision=np.zeros((s * n, s * n)),
        guard=0.0,
        closest=0.0,
        farthest=0.0,
        degrees=(1,),
        nearest=0,
    )


def _mean_alone(train: Data, blank: Prior) -> Prior:
    """The prior whose start is the mean inverse."""
    Y = (blank.sketch @ train.S).reshape(len(train.S), -1)
    centre = Y.mean(axis=0)
    covariance = (Y - centre).T @ (Y - centre) / len(Y)
    d = len(centre)
    # Where sketches never vary, a hundred-thousandth of the typical deviation is far.
    covariance += (1e-10 * np.trace(covariance) / d + 1e-30) * np.eye(d)
    precision = eliminated(covariance[None])[0]
    mean = _average(train.X)
    return blank._replace(centre=centre, mean=mean, precision=precision, guard=np.inf)


def _promising(train: Data, some: Data, stored: int, combined: int, seed: int) -> list[Prior]:
    """The stores whose sketched residuals on validation promise the lowest cost."""
    found = []
    for s in range(1, SKETCHES + 1):
        whole = _store(train, s, seed)
        for K in STORED:
            for J in COMBINED:
                for p in KEPT_KEYS:
                    if min(stored, len(whole.places)) < K or min(combined, K) < J:
                        continue
                    prior = whole._replace(
                        keys=whole.keys[:p],
                        places=np.ascontiguousarray(whole.places[:K, :p]),
                        inverses=whole.inverses[:K],
                        nearest=J,
                    )
                    if prior.overhead() > MOST_OVERHEAD:
                        continue
                    left = np.median(propose(prior, some.S[:RANKED]).left)
                    # A residual r takes about as many products as powers of it reach 1e-3.
                    promised = np.log(EARLY_EXIT) / np.log(np.clip(left, 1e-12, 0.7))
                    found.append((prior.overhead() + promised, len(found), prior))
    return [prior for _, _, prior in sorted(found)[:TRIED]]


def _store(train: Data, s: int, seed: int) -> Prior:
    """The largest store with a sketch of s rows, its matrices in random order."""
    rng = np.random.default_rng(seed)
    n = train.S.shape[-1]
    V = _signs(n, s, seed)
    Y = (V @ train.S).reshape(len(train.S), -1)
    centre = Y.mean(axis=0)
    directions, deviations = principal_components(Y - centre, KEYS, rng)
    # Half whitened: between distances of the sketches themselves and those of standard scores.
    keys = directions / np.sqrt(deviations / max(deviations.max(initial=0.0), 1e-300))[:, None]
    index = rng.permutation(len(Y))[: max(STORED)]
    places = (Y[index] - centre) @ keys.T
    mean = _average(train.X)
    blank = _blank(n, s, seed)._replace(centre=centre, mean=mean, guard=np.inf)
    return blank._replace(keys=keys, places=places, inverses=train.X[index], nearest=1)


def _scheduled(priors: Iterable[Prior], some: Data) -> tuple[float, Prior] | None:
    """The cheapest prior with its schedule and guard, as a file holds it, and its mean cost."""
    best: tuple[float, Prior] | None = None
    for prior in priors:
        rounded = from_tensors(tensors(prior), prior.nearest)
        if prior.guard:
            proposal = propose(rounded, some.S)
            rounded = rounded._replace(
                guard=min(_passing(proposal.left), LOOSEST if prior.nearest else np.inf),
                closest=-_passing(-proposal.distance),
                farthest=_passing(proposal.distance),
            )
        for degrees in SCHEDULES:
            tried = rounded._replace(degrees=degrees)
            cost = spent(prior_guess(tried, some.S)).mean() + tried.overhead()
            if best is None or cost < best[0]:
                best = float(cost), tried
    return best


def _passing(values: Array) -> float:
    """The least float32 number that the share ``PASSED`` of the values does not exceed."""
    limit = np.float32(np.quantile(values, PASSED, method="higher"))
    return float(np.nextafter(limit, np.float32(np.inf)))


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
