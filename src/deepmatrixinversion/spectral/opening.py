r"""The open-ended step: minimal residuals by a three-term recurrence, a product a degree.

R is symmetric, so the images (I - R) M of polynomials M of R are made orthonormal like Lanczos
vectors: with q = (I - R) m, the next direction is R q but for its parts along q and the one before,
and as R m = m - q, its m combines I and the directions so far. The powers of R span the same space,
but lose digits with every degree, and need as many inner products as there are directions.

NumPy arrays and torch tensors, matrices and spectra alike.

References
----------
Lanczos 1952, J. Res. Nat. Bur. Standards 49 (minimised iterations); Paige & Saunders 1975, SIAM J.
Numer. Anal. 12 (minimal residuals).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from deepmatrixinversion.linalg.polynomial import NOISE, Space

Row = list[Any]


class Opening(NamedTuple):
    """How far a step is.

    Attributes
    ----------
    R, noise : arrays
        What is to be made small, and its error.
    ahead : array
        The next direction, orthogonal to the others, of any norm.
    directions : list of arrays
        Those so far, of norm one, or zero.
    row, before : lists
        Of the direction ahead and the last: (I - R)(row[0] I + sum_i row[i + 1] directions[i]).
    p : list
        Coefficients of p, with X p(R) the candidate, in I and the directions.
    remainder : array
        What is left of R.
    """

    R: Any
    noise: Any
    ahead: Any
    directions: list[Any]
    row: Row
    before: Row
    p: Row
    remainder: Any

    def polynomial(self, one: Any) -> Any:
        """p(R) itself."""
        p = self.p[0] * one
        for c, q in zip(self.p[1:], self.directions, strict=False):
            p = p + c * q
        return p


def begin(R: Any, one: Any, noise: Any = 0.0) -> Opening:
    """The step of degree zero."""
    return Opening(R, noise, one - R, [], [1.0], [], [1.0], R)


def taken(o: Opening, space: Space, eps: float, root: float) -> tuple[Opening, Any]:
    """The step along the direction ahead, and the norm that it had; ``root`` is the identity's.

    It counts while the error of (I - R) m, for an R that is off by ``noise``, stays below one:
    where that is all there is (a singular matrix, its range inverted), nothing moves.
    """
    length = space.norm(o.ahead)
    size = root * abs(o.row[0]) + sum(abs(c) for c in o.row[1:])
    scale = (NOISE * (o.noise + eps) * size < length) / length
    q, row = scale * o.ahead, [scale * c for c in o.row]
    t = space.inner(o.remainder, q)
    return o._replace(
        directions=[*o.directions, q],
        row=row,
        p=_summed(o.p, t, row),
        remainder=o.remainder - t * q,
    ), length


def turned(o: Opening, length: Any, space: Space, image: Any = None) -> Opening:
    """The next direction. Cost: R q for the last q, unless ``image`` is that."""
    q = o.directions[-1]
    image = space.product(o.R, q) if image is None else image
    a = space.inner(image, q)
    ahead = image - a * q
    row = [*((1 - a) * c for c in o.row), -1.0]
    if len(o.directions) > 1:
        ahead = ahead - length * o.directions[-2]
        row = _summed(row, -length, o.before)
    return o._replace(ahead=ahead, row=row, before=o.row)


def steps(R: Any, one: Any, space: Space, eps: float, degree: int) -> Iterator[Opening]:
    """The best polynomials for one direction, two, ...: a product each."""
    o, root = begin(R, one), space.norm(one)
    for d in range(degree):
        o, length = taken(o, space, eps, root)
        yield o
        if d < degree - 1:
            o = turned(o, length, space)


def _summed(a: Row, t: Any, b: Row) -> Row:
    """a + t b; what is missing is zero."""
    both = [x + t * y for x, y in zip(a, b, strict=False)]
    return [*both, *a[len(b) :], *(t * y for y in b[len(a) :])]
