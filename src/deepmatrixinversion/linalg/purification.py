"""Moore-Penrose inverses from matrix products alone, for torch tensors and values of ONNX graphs.

From X0 = A^T, with ‖A‖2 scaled to 1/2, whose eigenvalues of A X lie in [0, 1/4], scaled steps
X <- X (a I - b A X) bring all that start above rtol²/4 towards 1: composed Chebyshev polynomials,
the best for that interval, each four times as far from 0. Then X <- X (3 P - 2 P²), P = A X, sends
what lies above 1/2 to 1 and what lies below to 0.

References
----------
Ben-Israel & Cohen 1966, SIAM J. Numer. Anal. 3 (the iteration); Chen & Chow 2014, "A stable scaling
of Newton-Schulz for improving the sign function computation of a Hermitian matrix", ANL/MCS-P5059
(scaling); McWeeny 1960, "Some recent advances in density matrix theory", Rev. Mod. Phys. 32
(3P² - 2P³).
"""

from __future__ import annotations

import math
from typing import Any

from deepmatrixinversion.linalg.algebra import Algebra

PROJECTION = 3
"""The purification before which rounding errors of X outside A's row and column space go: products
with A X do not remove them. Nearly there, for X = X A X to hold; not at the end, for what the
projection itself leaves. Earlier, or twice, it diverged where singular values lie near rtol."""


MARGIN = 2.0
"""How far below 1 singular values are scaled: where some are near 1 as well as near rtol, the steps
are at their hardest. Largest ‖A X A - A‖F of 400 float64 matrices of order 16, singular values even
in their logarithms over 8 decades: 0.12 with √2, 3.6e-8 with 2 and with 4."""


def smallest_rtol(eps: float) -> float:
    """The smallest ``rtol`` that rounding allows: 8 √(2 eps), 1.7e-7 in float64.

    A A^T is what the iteration sees, and rounding hides its smaller eigenvalues.
    """
    return 8 * math.sqrt(2 * eps)


def default_rtol(rows: int, columns: int, eps: float, inside: float) -> float:
    """max(m, n) eps of the input's dtype, but not below what the arithmetic ``inside`` allows.

    The rule of this package's other pseudo-inverses and of NumPy.
    """
    return max(max(rows, columns) * eps, smallest_rtol(inside))


def scaled_steps(rtol: float) -> list[tuple[float, float]]:
    """(a, b) of the steps X <- X (a I - b A X) that take [rtol², 1] to within 0.1 of 1, or nearer.

    Each is the Chebyshev polynomial of degree 2 on the interval that the steps before have left,
    scaled to 0 at 0 and to deviate least from 1.
    """
    rtol = float(rtol)  # numpy.float32 would lose high - low, and never end
    low, high, rest, steps = rtol * rtol, 1.0, 1.0, []
    while rest > 0.1:
        # 1 - T2((high + low - 2 t)/(high - low)) / T2((high + low)/(high - low)), T2 = 2 x² - 1
        rest = 1 / (2 * ((high + low) / (high - low)) ** 2 - 1)
        factor = 8 * rest / (high - low) ** 2
        steps.append((factor * (high + low), factor))
        low, high = 1 - rest, 1 + rest
    return steps


def purifications(eps: float) -> int:
    """Steps X <- X (3 P - 2 P²) after `scaled_steps`, from 0.1 to rounding level."""
    return 6 if eps < 1e-10 else 5


def largest_eigenvalue(a: Algebra, G: Any) -> Any:
    """Of positive semidefinite G, from above: ‖G‖2 <= ‖G^8‖F^(1/8) <= n^(1/16) ‖G‖2; not 0."""
    norm = a.space.norm(G)
    root = norm
    for exponent in (1 / 2, 1 / 4, 1 / 8):
        G = G / norm
        G = G @ G
        norm = a.space.norm(G)
        root = root * norm**exponent
    return root


def pseudo_inverse(a: Algebra, A: Any, rtol: float) -> Any:
    """The pseudo-inverse of A (..., m, n), m <= n, m the algebra's order, of entries up to 1.

    Singular values of at least ``rtol`` times the largest, for which an upper bound within
    n^(1/16) stands, are inverted, those below 0.4 rtol times it dropped. In between an answer may
    be partly one and partly the other: a gap is needed.

    Notes
    -----
    Cost: 2 log2(1/rtol) + 25 products or so in float32, 28 in float64, each of m² n
    multiplications. The number of steps depends on ``rtol`` only.
    """
    sigma = (MARGIN**2 * largest_eigenvalue(a, A @ A.mT)) ** 0.5
    S = A / sigma
    X = S.mT
    for shift, factor in scaled_steps(rtol / MARGIN):
        X = X @ (shift * a.one - factor * (S @ X))
    for step in range(purifications(a.eps)):
        if step == PROJECTION:
            # X = X A X = (X A)^T X (A X)^T, and A^T has no parts outside those spaces.
            X = S.mT @ (X.mT @ X @ (S @ X).mT)
        P = S @ X
        X = X @ (3 * P - 2 * P @ P)
    return X / sigma
