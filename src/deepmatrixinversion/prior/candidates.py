"""Priors that may be worth a try: the mean inverse, and stores by what their starts promise."""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.linalg.elimination import eliminated
from deepmatrixinversion.linalg.greedy import Array
from deepmatrixinversion.prior.components import principal_components
from deepmatrixinversion.prior.costs import Data, average, promised
from deepmatrixinversion.prior.proposal import coefficients, nearest, order_algebra
from deepmatrixinversion.prior.store import CELLS, KEYS, MEMBERS, PROBES, SKETCHES, Prior

COMBINED = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)
KEPT_KEYS = (2, 4, KEYS)

MOST_OVERHEAD, MOST_ROWS = 1.0, 14
"""Products that a start may cost, which is what a foreign matrix loses by it; or so many rows of
one, where those are more: below order 16 a start costs more than a product, or is not worth it."""

SPARE = 3
"""Equations at least beyond the unknowns of a start."""

LLOYD = 20
"""Steps of the k-means iteration (Lloyd 1982) that finds neighbourhoods."""

TRIED = 6
"""Stores that are tried through the whole iteration, those that promise the lowest cost."""

RANKED = 100
"""Matrices whose probed residuals rank the stores."""


def signs(n: int, s: int, seed: int) -> Array:
    """Random signs over sqrt(s), (s, n)."""
    return np.random.default_rng(seed).choice([-1.0, 1.0], (s, n)) / np.sqrt(s)


def blank(n: int, s: int, seed: int) -> Prior:
    """The prior that knows nothing, with a sketch of s rows."""
    return Prior(
        sketch=signs(n, s, seed),
        probe=np.random.default_rng([seed, 1]).choice([-1.0, 1.0], (PROBES, n)) / np.sqrt(PROBES),
        centre=np.zeros(s * n),
        keys=np.zeros((0, s * n)),
        places=np.zeros((0, 0)),
        centres=np.zeros((0, 0)),
        cells=np.zeros((0, 0), dtype=np.intp),
        sketches=np.zeros((0, s * n)),
        inverses=np.zeros((0, n, n)),
        mean=np.zeros((n, n)),
        precision=np.zeros((s * n, s * n)),
        guard=0.0,
        closest=0.0,
        farthest=0.0,
        enough=0.0,
        degrees=(1,),
        nearest=0,
    )


def mean_alone(train: Data, nothing: Prior) -> Prior:
    """The prior whose start is the mean inverse."""
    Y = (nothing.sketch @ train.S).reshape(len(train.S), -1)
    centre = Y.mean(axis=0)
    covariance = (Y - centre).T @ (Y - centre) / len(Y)
    d = len(centre)
    # Where sketches never vary, a hundred-thousandth of the typical deviation is far.
    covariance += (1e-10 * np.trace(covariance) / d + 1e-30) * np.eye(d)
    precision = eliminated(covariance[None])[0]
    mean = average(train.X)
    return nothing._replace(centre=centre, mean=mean, precision=precision, guard=np.inf)


def promising(
    train: Data, some: Data, stored: int, combined: int, otherwise: float, seed: int
) -> list[Prior]:
    """The stores whose probed residuals on validation promise the lowest mean cost.

    ``otherwise`` is what a matrix costs whose start is no use.
    """
    found: list[tuple[float, int, Prior]] = []
    for s in range(1, SKETCHES + 1):
        whole = _store(train, s, stored, seed)
        for p in KEPT_KEYS:
            prior = _divided(whole._replace(keys=whole.keys[:p], places=whole.places[:, :p]), seed)
            found += _ranked(prior, some, combined, otherwise, len(found))
    found = sorted(row for row in found if row[0] < otherwise)[:TRIED]
    return [prior for _, _, prior in found]


def most_overhead(n: int) -> float:
    """Products of order n that a start may cost."""
    return max(MOST_OVERHEAD, MOST_ROWS / n)


def _ranked(
    prior: Prior, some: Data, combined: int, otherwise: float, count: int
) -> list[tuple[float, int, Prior]]:
    """The same store with one number of inverses combined and another: promised mean costs."""
    most = min(combined, prior.cells.shape[1], prior.sketch.size - SPARE)
    numbers = [J for J in COMBINED if most >= J]
    found = []
    for J, seen in _probed(prior, some.S[:RANKED], numbers).items():
        tried = prior._replace(nearest=J)
        cost = tried.overhead()
        if cost <= most_overhead(prior.order):
            cost += float(np.minimum(promised(seen), otherwise).mean())
            found.append((cost, count + len(found), tried))
    return found


def _probed(prior: Prior, S: Array, numbers: list[int]) -> dict[int, Array]:
    """‖W R‖F of starts from so many inverses combined."""
    if not numbers:
        return {}
    V, W = prior.sketch, prior.probe
    Y, Z = V @ S, W @ S
    near = nearest(prior._replace(nearest=max(numbers)), Y)
    terms = [prior.inverses[near[:, j]] for j in range(max(numbers))]
    images, probes = [Y @ E for E in terms], [Z @ E for E in terms]
    found = {}
    for J in numbers:
        c, _ = coefficients(order_algebra(prior.order), V, images[:J])
        rows = W - sum(t * P for t, P in zip(c, probes, strict=False))
        found[J] = np.sqrt((rows * rows).sum(axis=(1, 2)))
    return found


def _store(train: Data, s: int, stored: int, seed: int) -> Prior:
    """A store with a sketch of s rows, of matrices chosen at random."""
    rng = np.random.default_rng(seed)
    nothing = blank(train.S.shape[-1], s, seed)
    Y = (nothing.sketch @ train.S).reshape(len(train.S), -1)
    centre = Y.mean(axis=0)
    directions, deviations = principal_components(Y - centre, KEYS, rng)
    # Half whitened: between distances of the sketches themselves and those of standard scores.
    keys = directions / np.sqrt(deviations / max(deviations.max(initial=0.0), 1e-300))[:, None]
    index = rng.permutation(len(Y))[:stored]
    return nothing._replace(
        centre=centre,
        keys=keys,
        places=(Y[index] - centre) @ keys.T,
        sketches=Y[index],
        inverses=train.X[index],
        mean=average(train.X),
        guard=np.inf,
        nearest=1,
    )


def _divided(prior: Prior, seed: int) -> Prior:
    """The store in neighbourhoods that overlap: what is nearest to each of a few means."""
    places = prior.places
    K = len(places)
    C = max(1, min(CELLS, K // 8))
    centres = places[np.random.default_rng(seed).permutation(K)[:C]]
    for _ in range(LLOYD):
        home = _far(places, centres).argmin(axis=1)
        counts = np.bincount(home, minlength=C)
        sums = np.zeros_like(centres)
        np.add.at(sums, home, places)
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
    cells = np.argsort(_far(centres, places), axis=1, kind="stable")[:, : min(MEMBERS, K)]
    return prior._replace(places=places, centres=centres, cells=cells)


def _far(a: Array, b: Array) -> Array:
    """Squared distances of each of a (m, p) from each of b (k, p)."""
    return (a * a).sum(axis=1)[:, None] - 2 * a @ b.T + (b * b).sum(axis=1)
