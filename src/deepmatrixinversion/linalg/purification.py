"""Moore-Penrose inverses from matrix products alone, for torch tensors and values of ONNX graphs.

From X0 = A^T, ‖A‖ at most 1, whose eigenvalues of A X lie in [0, 1], scaled Newton-Schulz steps
X <- X (a I - b A X) bring all that start above rtol² towards 1: composed Chebyshev polynomials, the
best for that interval, each four times as far from 0. Then X <- X (3 P - 2 P²), P = A X, sends what
lies above 1/2 to 1 and what lies below to 0.

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

PROJECTION = 3
"""The purification before which rounding errors of X outside A's row and column space go: products
with A X do not remove them. Nearly there, for X = X A X to hold; not at the end, for what the
projection itself leaves. Earlier, or twice, it diverged where singular values lie near rtol."""


def smallest_rtol(eps: float) -> float:
    """The smallest ``rtol`` that rounding allows: 8 √eps.

    A A^T is what the iteration sees, and rounding hides its smaller eigenvalues.
    """
    return 8 * math.sqrt(eps)


def scaled_steps(rtol: float) -> list[tuple[float, float]]:
    """(a, b) of the steps X <- X (a I - b A X) that take [rtol², 1] to within 0.1 of 1, or nearer.

    Each is the Chebyshev polynomial of degree 2 on the interval that the steps before have left,
    scaled to 0 at 0 and to deviate least from 1.
    """
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


def pseudo_inverse(A: Any, start: Any, one: Any, rtol: float, eps: float) -> Any:
    """The pseudo-inverse of A (..., m, n), m <= n, without singular values below 0.4 rtol.

    Parameters
    ----------
    A : array
        With the eigenvalues of A ``start`` in [0, 1], those to be inverted in [rtol², 1].
    start : array
        A multiple of A^T.
    one : array
        The identity of order m.

    Notes
    -----
    Cost: 2 log2(1/rtol) + 21 products or so in float32, 24 in float64, each of m² n
    multiplications. The number of steps depends on ``rtol`` only. Singular values between 0.4 rtol
    and rtol are partly inverted: a gap is needed.
    """
    X = start
    for a, b in scaled_steps(rtol):
        X = X @ (a * one - b * (A @ X))
    for step in range(purifications(eps)):
        if step == PROJECTION:
            # X = X A X = (X A)^T X (A X)^T, and A^T has no parts outside those spaces.
            X = A.mT @ (X.mT @ X @ (A @ X).mT)
        P = A @ X
        X = X @ (3 * P - 2 * P @ P)
    return X
