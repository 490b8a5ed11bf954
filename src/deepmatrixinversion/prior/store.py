r"""A store of inverses, and the start that it proposes for a matrix of the same origin.

Of a matrix S of norm 1 a few random combinations of rows are taken, the *sketch* Y = V S, V being
(s, n). It serves three times:

* its principal components are the keys by which the nearest stored matrices are found (attention
  with all its weight on the J nearest);
* the mean inverse E_0 and the J nearest stored ones are combined by least squares on it,

  .. math:: X_0 = \sum_j c_j E_j, \qquad \|V - \sum_j c_j\, Y E_j\|_F \to \min,

  a reduced basis of a neighbourhood;
* what is left estimates the residual, :math:`E \|V R\|_F^2 = \|R\|_F^2` for random signs
  over :math:`\sqrt s`: a start that is no use is known before a product is spent on it. The mean
  inverse alone leaves much even of its own family, and there it also counts how far the sketch
  is from the mean one (Mahalanobis).

References
----------
Zahm & Nouy 2016, "Interpolation of inverse operators for preconditioning parameter-dependent
equations", SIAM J. Sci. Comput. 38 (projections onto stored inverses, sketched).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.algebra import Algebra
from deepmatrixinversion.linalg.minimal_residual import STEADY_NOISE, least_squares

KEYS = 8
"""Keys at most."""

SKETCHES = 2
"""Rows of a sketch at most."""

STEPS = 8
"""Steps whose degrees a file holds."""

Array = NDArray[np.float64]


class Prior(NamedTuple):
    """K stored inverses of matrices of order n and norm 1, and how they are used.

    Attributes
    ----------
    sketch : (s, n)
        V, signs over sqrt(s)
    centre : (s n,)
        the mean sketch
    keys : (p, s n)
        from a sketch less the mean to p coordinates
    places : (K, p)
        the stored matrices' coordinates
    inverses : (K, n, n)
    mean : (n, n)
        the mean inverse
    precision : (s n, s n)
        of a sketch less the mean, where the mean inverse is the start
    guard : float
        ‖V R‖F of a start beyond which the generic one is taken; with 0 it always is
    closest, farthest : float
        the same for the distance of a sketch from the mean, (y - c)ᵀ P (y - c): one that is too
        near it is as untypical as one that is too far
    degrees : tuple of int
        of the steps that follow
    nearest : int
        J; with 0 the mean inverse is the start
    blocks : int
        minimal residual steps in an exported graph
    """

    sketch: Array
    centre: Array
    keys: Array
    places: Array
    inverses: Array
    mean: Array
    precision: Array
    guard: float
    closest: float
    farthest: float
    degrees: tuple[int, ...]
    nearest: int
    blocks: int = 1

    @property
    def order(self) -> int:
        """n."""
        return self.mean.shape[-1]

    def overhead(self) -> float:
        """What a start costs, in matrix products of order n, beside the first residual."""
        if not self.guard:
            return 0.0
        n, s, kept = self.order, len(self.sketch), self.nearest + 1
        cost = s * n**2 + kept * (s + 1) * n**2 + s * n * kept**2
        if self.nearest:
            cost += len(self.keys) * (s * n + len(self.places))
        else:
            cost += (s * n) ** 2
        return cost / n**3


def tensors(prior: Prior) -> dict[str, NDArray[np.float32]]:
    """What a file holds: everything in float32, missing keys, sketches and steps as zeros."""
    n, s = prior.order, len(prior.sketch)
    p = len(prior.keys)
    shapes = tensor_shapes(n, len(prior.inverses))
    found = {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()}
    found["sketch"][:s] = prior.sketch
    found["centre"][: s * n] = prior.centre
    found["keys"][:p, : s * n] = prior.keys
    found["places"][:, :p] = prior.places
    found["inverses"][...] = prior.inverses
    found["mean"][...] = prior.mean
    found["precision"][: s * n, : s * n] = prior.precision
    found["guard"][:] = prior.guard, prior.closest, prior.farthest
    found["degrees"][: len(prior.degrees)] = prior.degrees
    found["blocks"][0] = prior.blocks
    return found


def tensor_shapes(n: int, stored: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a file's tensors."""
    return {
        "sketch": (SKETCHES, n),
        "centre": (SKETCHES * n,),
        "keys": (KEYS, SKETCHES * n),
        "places": (stored, KEYS),
        "inverses": (stored, n, n),
        "mean": (n, n),
        "precision": (SKETCHES * n, SKETCHES * n),
        "guard": (3,),
        "degrees": (STEPS,),
        "blocks": (1,),
    }


def from_tensors(found: Mapping[str, Any], nearest: int) -> Prior:
    """The prior that ``tensors`` wrote."""
    wide = {name: np.asarray(value, dtype=np.float64) for name, value in found.items()}
    n = wide["mean"].shape[-1]
    s = int(wide["sketch"].any(axis=1).sum())
    p = int(wide["keys"].any(axis=1).sum())
    return Prior(
        sketch=wide["sketch"][:s],
        centre=wide["centre"][: s * n],
        keys=wide["keys"][:p, : s * n],
        places=np.ascontiguousarray(wide["places"][:, :p]),
        inverses=wide["inverses"],
        mean=wide["mean"],
        precision=np.ascontiguousarray(wide["precision"][: s * n, : s * n]),
        guard=float(wide["guard"][0]),
        closest=float(wide["guard"][1]),
        farthest=float(wide["guard"][2]),
        degrees=tuple(int(d) for d in wide["degrees"] if d >= 1) or (1,),
        nearest=nearest,
        blocks=max(1, int(wide["blocks"][0])),
    )


class Proposal(NamedTuple):
    """Starts X (k, n, n), sketched residuals ‖V R‖F (k,), distances from the mean sketch (k,)."""

    X: Array
    left: Array
    distance: Array

    def familiar(self, prior: Prior) -> NDArray[np.bool_]:
        """Which of them the guard lets pass. NaN is foreign."""
        near = (self.distance >= prior.closest) & (self.distance <= prior.farthest)
        return near & (self.left <= prior.guard)


def propose(prior: Prior, S: Array) -> Proposal:
    """The start for each of (k, n, n) matrices of norm 1.

    The bits of a matrix do not depend on its neighbours: products are taken one matrix at a time.
    """
    V = prior.sketch
    Y = V @ S
    terms = [np.broadcast_to(prior.mean, S.shape)]
    if prior.nearest:
        near = nearest(prior, Y)
        terms += [prior.inverses[near[:, j]] for j in range(prior.nearest)]
    algebra = Algebra(prior.order, float(np.finfo(float).eps), np.eye(prior.order), np.where)
    X, left = combine(algebra, V, [Y @ E for E in terms], terms)
    return Proposal(X, left, distance(prior, Y))


def distance(prior: Prior, Y: Array) -> Array:
    """(y - c)ᵀ P (y - c) of each sketch (k,); 0 where a store is used."""
    if prior.nearest:
        return np.zeros(len(Y))
    y = Y.reshape(len(Y), 1, -1) - prior.centre
    return ((y @ prior.precision) @ y.swapaxes(1, 2))[:, 0, 0]


def combine(algebra: Algebra, V: Any, images: list[Any], terms: list[Any]) -> tuple[Any, Any]:
    """The combination X of ``terms`` whose sketch is nearest to V, and ‖V - V A X‖F."""
    inner = algebra.space.inner
    target = V + 0.0 * images[0]
    floor = STEADY_NOISE * algebra.order**2 * algebra.eps**2
    c = least_squares(algebra, target, images, floor)
    X = sum(t * E for t, E in zip(c, terms, strict=True))
    left = target - sum(t * Y for t, Y in zip(c, images, strict=True))
    return X, inner(left, left)[..., 0, 0] ** 0.5


def nearest(prior: Prior, Y: Array) -> NDArray[np.intp]:
    """Places in the store of the J matrices nearest to each sketch, (k, J)."""
    k = len(Y)
    z = (Y.reshape(k, 1, -1) - prior.centre) @ prior.keys.T
    squares = (prior.places * prior.places).sum(axis=1)
    far = squares - 2.0 * (z @ prior.places.T)[:, 0]
    if prior.nearest >= len(prior.places):
        return np.broadcast_to(np.arange(len(prior.places)), (k, len(prior.places)))
    return np.argpartition(far, prior.nearest - 1, axis=1)[:, : prior.nearest]
