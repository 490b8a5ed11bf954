r"""Classical iterations for the inverse, as functions of the residual's spectrum.

Every method here starts from X = A^T/‖A‖F² and multiplies X by polynomials in R = I - A X, so that
its residual is a function of the eigenvalues 1 - sigma_i²/‖A‖F² of the first R alone. Each takes
those eigenvalues, (k, n), and yields after every step the matrix products that its X has cost, the
residuals that led to it included, and the new eigenvalues: what a method can do in exact
arithmetic, at any order, without a matrix. They are the baselines of the accuracy report.

References
----------
Schulz 1933 (Newton-Schulz); Pan & Schreiber 1991, SIAM J. Sci. Stat. Comput. 12 (scaled Newton);
Altman 1960, Pacific J. Math. 10 (third order, hyperpower); Chow & Saad 1998 (minimal residual).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray

from deepmatrixinversion.linalg.polynomial import SPECTRA, greedy

Array = NDArray[np.float64]


class State(NamedTuple):
    """Products that X has cost, and the eigenvalues (k, n) of I - A X."""

    products: int
    eigenvalues: Array


def first_residual(sigma: Array) -> Array:
    """Eigenvalues of I - A X for X = A^T/‖A‖F², from singular values (k, n)."""
    square = sigma**2
    return 1.0 - square / square.sum(axis=1, keepdims=True)


def hyperpower(r: Array, order: int = 2) -> Iterator[State]:
    """X <- X (I + R + ... + R^(order-1)), R <- R^order, in ``order`` products.

    Order 2 is Newton-Schulz; order 3 Altman's third-order method.
    """
    spent = 0
    yield State(spent, r)
    while True:
        r, spent = r**order, spent + order
        yield State(spent, r)


# Chebyshev polynomials that compose to one of the product degree: degree -> products.
CHEBYSHEV_PRODUCTS = {2: 2, 3: 3, 5: 4}


def chebyshev(r: Array, degrees: Iterable[int]) -> Iterator[State]:
    """Composed Chebyshev steps on the exact interval of each matrix's eigenvalues of A X.

    The residual after steps of degrees d_1, ..., d_k is T_D(z)/T_D(z_0), D = d_1 ... d_k: no
    polynomial of that degree is smaller on the whole interval [sigma_n², sigma_1²]. It knows both
    ends, which a practical method does not: the oracle.
    """
    eigenvalues = 1.0 - r
    low = eigenvalues.min(axis=1, keepdims=True)
    high = eigenvalues.max(axis=1, keepdims=True)
    width = np.maximum(high - low, 1e-300)
    z, z0 = (high + low - 2 * eigenvalues) / width, (high + low) / width
    spent, degree = 0, 1
    yield State(spent, r)
    for d in degrees:
        spent += CHEBYSHEV_PRODUCTS[d]
        degree *= d
        with np.errstate(over="ignore"):
            peak = np.cosh(degree * np.arccosh(z0))
        yield State(spent, np.cos(degree * np.arccos(np.clip(z, -1, 1))) / peak)


def fixed(r: Any, steps: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """X <- X (c_0 + c_1 R + ... + c_(d-1) R^(d-1)) with the same coefficients for every matrix.

    ``steps`` holds the c of each step, d of them being 2, 3 or 5; each costs what the Chebyshev
    polynomial of degree d does. NumPy or torch, for the coefficients can be learned: then this is
    the learned iteration that adapts to its training set and not to the matrix.
    """
    spent = 0
    yield spent, r
    for c in steps:
        p = c[-1]
        for k in range(len(c) - 2, -1, -1):
            p = c[k] + p * r
        r, spent = 1.0 - (1.0 - r) * p, spent + CHEBYSHEV_PRODUCTS[len(c)]
        yield spent, r


def chebyshev_steps(low: float, degrees: Iterable[int]) -> list[Array]:
    """The coefficients for `fixed` that are best on eigenvalues of A X in [low, 1]."""
    steps, high = [], 1.0
    for d in degrees:
        # x = 1 - r runs over [low, high] as z does over [-1, 1].
        z = Polynomial([high + low, -2.0]) / max(high - low, 1e-6)  # rounding ends it there
        q = Chebyshev.basis(d).convert(kind=Polynomial)(z)
        peak = float(q(0.0))
        p = (1.0 - q / peak) // Polynomial([0.0, 1.0])
        steps.append(p(Polynomial([1.0, -1.0])).coef)
        low, high = 1.0 - 1.0 / peak, 1.0 + 1.0 / peak
    return steps


def scaled_newton(r: Array) -> Iterator[State]:
    """Newton-Schulz, each step scaled for the exact interval (Pan & Schreiber 1991): T2 each."""
    yield from chebyshev(r, (2 for _ in iter(int, 1)))


def best_compositions(most: int) -> dict[int, tuple[int, ...]]:
    """The composition of T2, T3, T5 of highest degree within each number of products."""
    best: dict[int, tuple[int, ...]] = {0: ()}
    for products in range(1, most + 1):
        options = [best[products - 1]]
        for degree, cost in CHEBYSHEV_PRODUCTS.items():
            if products >= cost:
                options.append((*best[products - cost], degree))
        best[products] = max(options, key=math.prod)
    return best


def minimal_residual(r: Array, degrees: Iterable[int]) -> Iterator[State]:
    """Steps of the given degrees, each of the smallest next residual: see ``polynomial``."""
    one = np.ones_like(r)
    yield State(0, r)
    spent = 1  # the first residual; later ones come for nothing
    for degree in degrees:
        *_, (_, fit) = greedy(r, one, SPECTRA, degree, float(np.finfo(float).eps))
        r, spent = fit.remainder, spent + degree
        yield State(spent, r)
