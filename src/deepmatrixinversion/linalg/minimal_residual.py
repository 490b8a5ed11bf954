r"""Minimal residual steps of fixed degree, and Newton-Schulz steps, for every kind of array.

With R = I - A X, a block takes

.. math:: X \leftarrow X (c_0 I + c_1 R + c_2 R^2 + c_3 R^3)

with the coefficients that make the next residual smallest in the Frobenius norm. The images of
X R^k under A, which are R^k - R^{k+1}, and that of X, I - R, are known without a product. What
the Newton-Schulz step of order 4 would leave, R^4, is what is to be minimised: directions in which
only rounding noise is left are damped, and where all are, that step, X (I + R + R² + R³), remains.
A step that would not shrink the residual is dropped.

Nothing branches on data: torch.compile, torch.export and torch.vmap trace these functions.

References
----------
Ben-Israel & Cohen 1966, "On iterative computation of generalized inverses and associated
projections", SIAM J. Numer. Anal. 3 (the start A^T); Chow & Saad 1998, "Approximate inverse
preconditioners via sparse-sparse iterations", SIAM J. Sci. Comput. 19, section 2.1 (minimal
residual steps); Schulz 1933, "Iterative Berechnung der reziproken Matrix", ZAMM 13.
"""

from __future__ import annotations

import math
from typing import Any

from deepmatrixinversion.linalg.algebra import Algebra, Candidate, better, candidate

DEGREE = 3
"""Powers of R that a block combines. Normal entries, n = 32, share with a residual of 1 or more
after 21 products: 1.5 % with 2 powers, 0.3 % with 2 and X itself, 0.05 % with 3 and X. More
directions (R, A^T R, the step before) measured no gain."""

NOISE = (1.0, 1000.0)
"""Squares of images, in units of n eps², below which they are damped, in even and odd blocks: a
matrix on which one kind of block fails would stall if all were of that kind. Residuals left at 1 of
100,000 (n = 2) and 50,000 (n = 4) normal float32 matrices: 6 and 14 with 1 alone, 4 and 12 with 16,
1 and 2 with both; of the other orders, no more than a few either way."""

STEADY_NOISE = 16.0
"""The one for blocks that must all be of one kind, as in a loop."""


def least_squares(a: Algebra, target: Any, images: list[Any], floor: Any) -> list[Any]:
    """The c that minimise ‖target - Σ c[i] images[i]‖F, by modified Gram-Schmidt.

    Images are of Frobenius norm up to about 1. What of one the others do not span counts for
    little where it is as small as its rounding errors, ``floor`` in the square: its coefficient
    shrinks by signal over signal and noise (Wiener 1949). A maximum in place of that sum left 5 of
    100,000 normal matrices of order 4 with a residual of 1 or more, where the sum left none.
    """
    inner = a.space.inner
    basis: list[tuple[Any, Any]] = []
    overlaps: list[list[Any]] = []
    c: list[Any] = []
    for W in images:
        overlap = []
        for V, size in basis:
            b = inner(V, W) / size
            W = W - b * V
            overlap.append(b)
        size = a.plus(inner(W, W), floor)
        t = inner(target, W) / size
        target = target - t * W
        basis.append((W, size))
        overlaps.append(overlap)
        c.append(t)
    for i in reversed(range(len(c))):
        for j in range(i + 1, len(c)):
            c[i] = c[i] - overlaps[j][i] * c[j]
    return c


def step(a: Algebra, A: Any, old: Candidate, noise: float = STEADY_NOISE) -> Candidate:
    """One block: 5 products, and about 40 passes over n² entries."""
    X, R, norm = old
    # Powers of R/‖R‖F, so that nothing underflows as R vanishes.
    U = [R / norm]
    for k in range(2, DEGREE + 2):
        U.append(a.space.product(U[k // 2 - 1], U[k - k // 2 - 1]))
    products = [norm * U[k + 1] for k in range(DEGREE)]
    images = [U[k] - products[k] for k in range(DEGREE)] + [a.one - R]
    scales = [1.0, norm, norm * norm]
    # ‖R‖F is stationary in the coefficients: they do not contribute to its derivative.
    floor = noise * a.order * a.eps**2
    c = [a.constant(t) for t in least_squares(a, scales[-1] * products[-1], images, floor)]
    p = c[DEGREE] * a.one
    for k in range(DEGREE):
        p = p + (scales[k] + c[k]) * U[k]
    return better(a, A, old, X + a.space.product(X, norm * p))


def minimal_residual(a: Algebra, A: Any, start: Any, blocks: int) -> Any:
    """Inverses by ``blocks`` steps from ``start``, of A with ‖A‖F up to 1: 1 + 5 blocks products.

    On entries of no structure the last small singular values fall one a block, however small they
    are, where Newton-Schulz needs 2 log2 kappa steps.
    """
    found = candidate(a, A, start)
    for block in range(blocks):
        found = step(a, A, found, NOISE[block % len(NOISE)])
    return found.X


def newton_schulz(a: Algebra, A: Any, X: Any, steps: int) -> Any:
    """X <- X + X R, ``steps`` times, where that shrinks the residual: 1 + 2 ``steps`` products.

    Squares a residual below 1.
    """
    found = candidate(a, A, X)
    for _ in range(steps):
        found = better(a, A, found, found.X + a.space.product(found.X, found.R))
    return found.X


def solution(A: Any, X: Any, B: Any) -> Any:
    """The Y with A Y = B, from an inverse X, with one step of iterative refinement.

    The step makes the residual B - A Y that of a solver: the inverse's own error costs the product
    with it up to kappa eps.
    """
    Y = X @ B
    return Y + X @ (B - A @ Y)


def blocks_for(order: int, double: bool) -> int:
    """How many blocks take entries uniform in [-1, 1] or normal to rounding level: 2 + log2 n.

    And one more in float64. Measured on 200,000 (n = 2) to 120 (n = 128) of them, kappa unbounded:
    every residual of 566,000 is below 1 in float64, and all but 8 in float32, whose kappa is 1e4
    to 4e6; LAPACK's residuals of those are below 1. The median is 0.15 to 1 times LAPACK's, and a
    further block changes none of this. Spectra spread over many decades need more: see
    ``docs/pytorch.md``.
    """
    return 2 + math.ceil(math.log2(max(order, 1))) + double


def default_blocks(order: int, double: bool) -> int:
    """Blocks that `inv` of tensors and of JAX arrays takes: `blocks_for`, and 2 more, 6 in float64.

    With those, singular values spread evenly over 4 decades converge in float32, over 6 in float64,
    at every order up to 64 that was measured. Unstructured matrices do not need them.
    """
    return blocks_for(order, double) + (6 if double else 2)
