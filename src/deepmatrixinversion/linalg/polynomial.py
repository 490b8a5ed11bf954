r"""Minimal residual polynomials: X <- X p(R) with the p that makes the next residual smallest.

With R = I - A X and p(R) = I + sum_{j<d} c_j R^j, the next residual is

.. math:: R' = R - \sum_{j<d} c_j (R^j - R^{j+1}),

since A X R^j = (I - R) R^j: a combination of *known* matrices once R, ..., R^d are there. So the
c_j that minimise ‖R'‖F solve a least-squares problem with d unknowns, R' needs no further product,
and a step costs d products in all: d - 1 for the powers and one for X p(R).

From X = alpha A^T, R is symmetric with eigenvalues in [0, 1), and all of this happens in its
eigenvalues alone: the same code runs on matrices and on vectors of eigenvalues (`MATRICES`,
`SPECTRA`), of NumPy or of torch. Fitting the polynomial of each step to the matrix at hand, where
Chebyshev's fits the interval [sigma_n^2, sigma_1^2] whatever lies in it, is what makes these
iterations superlinear: an outlier, once it is all that is left, is removed in one step.

Nothing hinges on the powers: every polynomial M of R has the image A X M = (I - R) M, known as soon
as R M is.

References
----------
Chow & Saad 1998, SIAM J. Sci. Comput. 19 (minimal residual iterations for approximate inverses);
Björck 1996, "Numerical Methods for Least Squares Problems", section 2.4 (modified Gram-Schmidt).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

NOISE = 10.0
"""How many roundoffs of its powers an image may consist of before it counts."""

TINY = 1e-36
"""Least square of a norm that is divided by; float32 holds it."""


class Inner(Protocol):
    """What least squares need to know of residuals."""

    def inner(self, a: Any, b: Any) -> Any:
        """<a, b> of each pair, its axes kept with length one."""
        ...


class Space(Inner, Protocol):
    """What residuals are: matrices, the vectors of their eigenvalues, or coefficients of them."""

    @property
    def product(self) -> Callable[[Any, Any], Any]:
        """The product of two."""
        ...

    def norm(self, a: Any) -> Any:
        """The norm of each, above zero."""
        ...


@dataclass(frozen=True)
class Arrays:
    """A `Space` of arrays, summed over some axes."""

    product: Callable[[Any, Any], Any]
    axes: tuple[int, ...]

    def inner(self, a: Any, b: Any) -> Any:
        """<a, b> of each pair, reduced axes kept with length one."""
        return (a * b).sum(axis=self.axes, keepdims=True)

    def norm(self, a: Any) -> Any:
        """‖a‖F of each, at least 1e-18, with a finite gradient at zero."""
        return self.inner(a, a).clip(TINY) ** 0.5


MATRICES = Arrays(lambda a, b: a @ b, (-2, -1))
SPECTRA = Arrays(lambda a, b: a * b, (-1,))


class Fit(NamedTuple):
    """A least-squares fit of R by images M_j - R M_j, such as R^j - R^{j+1}, j = 0, ..., d - 1.

    Attributes
    ----------
    basis : list
        The images, orthonormalised.
    rows : list of list
        ``basis[i] = sum_j rows[i][j] (M_j - R M_j)``, j <= i.
    coefficients : list
        <R, basis[i]>.
    remainder : array
        R minus its projection: the smallest residual that a step of this degree can reach.
    """

    basis: list[Any]
    rows: list[list[Any]]
    coefficients: list[Any]
    remainder: Any


def scaled(one: Any, R: Any, space: Space) -> tuple[Any, Any]:
    """The factor that X gains most by, and the residual then: a step of degree one, for nothing."""
    image = one - R
    factor = space.inner(one, image) / space.inner(image, image).clip(TINY)
    return factor, one - factor * image


def begin(R: Any) -> Fit:
    """The fit of degree zero."""
    return Fit([], [], [], R)


def extend(fit: Fit, R: Any, powers: list[Any], space: Inner, eps: float, noise: Any = 0.0) -> Fit:
    """Add the image of the last two of ``powers`` to a fit: R^j and R^(j+1), or some M and R M.

    Two kinds of image are left out, since the true A X R^j knows nothing of rounding: one that is
    nothing but the rounding of the two powers (all eigenvalues 0 or 1: a singular matrix, its range
    inverted), and one that the earlier images span down to rounding. Near that, eps, relative to
    the image's square, is added to the square that normalises it, so that its coefficient stays
    moderate. ``noise`` is an estimate of the error of R itself, where it is larger than eps.
    """
    image = powers[-2] - powers[-1]
    square = space.inner(image, image)
    w, row = image, [0.0] * len(fit.basis) + [1.0]
    for _ in range(2):  # once more, against what the first pass's rounding left (Björck 1996)
        for q, known in zip(fit.basis, fit.rows, strict=True):
            b = space.inner(q, w)
            w = w - b * q
            row = [r - b * k for r, k in zip(row, known, strict=False)] + row[len(known) :]
    left = space.inner(w, w)
    floor = (NOISE * (noise + eps)) ** 2 * (square + space.inner(powers[-2], powers[-2]))
    scale = (left > floor) / (left + eps * square).clip(TINY) ** 0.5
    q = scale * w
    t = space.inner(R, q)
    return Fit(
        [*fit.basis, q],
        [*fit.rows, [scale * r for r in row]],
        [*fit.coefficients, t],
        fit.remainder - t * q,
    )


def greedy(
    R: Any, one: Any, space: Space, degree: int, eps: float
) -> Iterator[tuple[list[Any], Fit]]:
    """Powers I, R, ..., R^d and the fit by their images, for d = 1, ..., ``degree``.

    Cost: a product for each power from R^2 on.
    """
    powers, fit = [one, R], begin(R)
    for d in range(1, degree + 1):
        fit = extend(fit, R, powers, space, eps)
        yield powers, fit
        if d < degree:
            powers.append(space.product(powers[-1], R))


def polynomial(fit: Fit, steps: list[Any]) -> list[Any]:
    """Coefficients of p in the M_j, of which M_0 is I, for a step along the basis.

    sum_i steps[i] basis[i] = sum_j c_j (M_j - R M_j), and p = 1 + c_0, c_1, c_2, ...
    """
    degree = len(fit.basis)
    c = [sum(steps[i] * fit.rows[i][j] for i in range(j, degree)) for j in range(degree)]
    return [1.0 + c[0], *c[1:]]


def corrected(fit: Fit, corrections: list[Any], space: Space) -> tuple[list[Any], Any]:
    """Steps along the basis moved off the greedy ones, and the residual that they lead to.

    ``corrections`` are in units of ‖remainder‖F, one for each direction of the basis.
    """
    left = space.norm(fit.remainder)
    moves = [left * d for d in corrections]
    steps = [t - m for t, m in zip(fit.coefficients, moves, strict=True)]
    residual = fit.remainder
    for move, q in zip(moves, fit.basis, strict=True):
        residual = residual + move * q
    return steps, residual
