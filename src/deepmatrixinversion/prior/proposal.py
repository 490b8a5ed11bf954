r"""The start that a prior proposes for a matrix of the same origin.

Of a matrix S of norm 1 a few random combinations of rows are taken, the *sketch* Y = V S, V being
(s, n). It serves three times:

* its principal components are the keys by which the nearest stored matrices are found (attention
  with all its weight on the J nearest);
* a sketch far from all stored ones, or from the typical distance to the mean one (Mahalanobis), is
  that of a foreign matrix, on which nothing more is spent;
* the J nearest inverses E_j are combined by least squares on it,

  .. math:: X_0 = \sum_j c_j E_j, \qquad \|V - \sum_j c_j\, Y E_j\|_F \to \min,

  a reduced basis of a neighbourhood.

A *probe* W, further rows that nothing is fitted to, says what that is worth:
:math:`E \|W R\|_F^2 = \|R\|_F^2` for random signs over :math:`\sqrt 2`. A start that is no use is
known before a product is spent on it, and so is one that needs none.

References
----------
Zahm & Nouy 2016, "Interpolation of inverse operators for preconditioning parameter-dependent
equations", SIAM J. Sci. Comput. 38 (projections onto stored inverses, sketched).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.algebra import Algebra
from deepmatrixinversion.linalg.minimal_residual import STEADY_NOISE, least_squares
from deepmatrixinversion.prior.store import Array, Prior


class Proposal(NamedTuple):
    """Starts of (k, n, n) matrices, and what is seen of them.

    Attributes
    ----------
    X : (k, n, n)
        0 where the sketch is foreign
    left, seen : (k,)
        ‖V R‖F and ‖W R‖F, infinite there
    distance : (k,)
        of the sketch, from the mean one or from the nearest
    """

    X: Array
    left: Array
    seen: Array
    distance: Array

    def familiar(self, prior: Prior) -> NDArray[np.bool_]:
        """Which of them the guard lets pass. NaN is foreign."""
        return (self.left <= prior.guard) & (self.seen <= prior.guard)


def propose(prior: Prior, S: Array) -> Proposal:
    """The start for each of (k, n, n) matrices of norm 1.

    The bits of a matrix do not depend on its neighbours: products are taken one matrix at a time.
    """
    Y = prior.sketch @ S
    near = nearest(prior, Y)
    away = distance(prior, Y, near)
    X, nothing = np.zeros_like(S), np.full(len(S), np.inf)
    found = Proposal(X, nothing, nothing.copy(), away)
    look = np.flatnonzero((away >= prior.closest) & (away <= prior.farthest))
    terms = [prior.inverses[near[look, j]] for j in range(prior.nearest)]
    terms = terms or [np.broadcast_to(prior.mean, S[look].shape)]
    images = [Y[look] @ E for E in terms]
    X[look], found.left[look] = combine(order_algebra(prior.order), prior.sketch, images, terms)
    found.seen[look] = probed(prior.probe, S[look], X[look]) if prior.nearest else found.left[look]
    return found


def order_algebra(n: int) -> Algebra:
    """NumPy's float64 matrices of order n."""
    return Algebra(n, float(np.finfo(float).eps), np.eye(n), np.where)


def probed(W: Array, S: Array, X: Array) -> Array:
    """‖W (I - S X)‖F of each, (k,)."""
    rows = W - (W @ S) @ X
    return np.sqrt((rows * rows).sum(axis=(1, 2)))


def combine(algebra: Algebra, V: Any, images: list[Any], terms: list[Any]) -> tuple[Any, Any]:
    """The combination X of ``terms`` whose sketch is nearest to V, and ‖V - V A X‖F."""
    c, left = coefficients(algebra, V, images)
    return sum(t * E for t, E in zip(c, terms, strict=True)), left


def coefficients(algebra: Algebra, V: Any, images: list[Any]) -> tuple[list[Any], Any]:
    """The c of the combination of ``images`` that is nearest to V, and how near it is."""
    target = V + 0.0 * images[0]
    floor = STEADY_NOISE * algebra.order**2 * algebra.eps**2
    c = least_squares(algebra, target, images, floor)
    left = target - sum(t * Y for t, Y in zip(c, images, strict=True))
    return c, algebra.space.inner(left, left)[..., 0, 0] ** 0.5


def nearest(prior: Prior, Y: Array) -> NDArray[np.intp]:
    """Places in the store of the J matrices nearest to each sketch, (k, J), the nearest first.

    They are looked for in one neighbourhood, that of the nearest centre.
    """
    k, J = len(Y), prior.nearest
    if not J:
        return np.zeros((k, 0), dtype=np.intp)
    z = (Y.reshape(k, 1, -1) - prior.centre) @ prior.keys.T
    cell = prior.cells[_squares(prior.centres, z).argmin(axis=1)]
    near = np.argsort(_squares(prior.places[cell], z), axis=1, kind="stable")[:, :J]
    return np.take_along_axis(cell, near, axis=1)


def _squares(places: Array, z: Array) -> Array:
    """Squared distances of (..., m, p) places from z (k, 1, p)."""
    gap = places - z
    return np.einsum("kmp,kmp->km", gap, gap)


def distance(prior: Prior, Y: Array, near: NDArray[np.intp]) -> Array:
    """From the mean sketch, (y - c)ᵀ P (y - c), or of a store from the nearest, squared: (k,)."""
    y = Y.reshape(len(Y), -1)
    if prior.nearest:
        gap = y - prior.sketches[near[:, 0]]
        return (gap * gap).sum(axis=1)
    gap = (y - prior.centre)[:, None]
    return ((gap @ prior.precision) @ gap.swapaxes(1, 2))[:, 0, 0]
