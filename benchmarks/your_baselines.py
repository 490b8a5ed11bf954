"""What a sceptic would name instead of a prior: products to a residual of 1e-3, overheads counted.

All start somewhere and, but for Chebyshev's, go on by minimal residual steps of the best of a few
schedules.
"""

from __future__ import annotations

import numpy as np

import schedules
from deepmatrixinversion.linalg.greedy import EARLY_EXIT, EPS, improved
from deepmatrixinversion.prior.costs import SCHEDULES, charged
from deepmatrixinversion.spectral.start import symmetric

NEVER = 60


def definite(S: np.ndarray) -> bool:
    """Whether all matrices are symmetric positive definite, but for rounding."""
    alike = symmetric(S, np.eye(S.shape[-1]), EPS, np).all()
    return bool(alike) and bool((np.linalg.eigvalsh(S)[:, 0] > 0).all())


def spectrum(S: np.ndarray, positive: bool) -> np.ndarray:
    """Eigenvalues of S X at X = I or S^T: what polynomials act on."""
    if positive:
        return np.linalg.eigvalsh(S)
    return np.linalg.svd(S, compute_uv=False) ** 2


def chebyshev(train: np.ndarray, test: np.ndarray, most: int = 40) -> np.ndarray:
    """Chebyshev steps on the interval that the training set's spectra fill.

    From the identity, where all are definite, the first residual and the first step's last product
    are none.
    """
    positive = definite(train) and definite(test)
    known = spectrum(train, positive)
    low, high = known.min(), known.max()
    r = 1.0 - spectrum(test, positive) / high
    costs = np.full(len(test), float(NEVER))
    for products, degrees in schedules.best_compositions(most).items():
        steps = schedules.chebyshev_steps(max(low / high, 1e-12), degrees)
        with np.errstate(all="ignore"):
            *_, (_, end) = schedules.fixed(r, steps)
            there = np.linalg.norm(end, axis=1) <= EARLY_EXIT
        spent = max(0, products - 2) if positive else products
        costs = np.where((costs == NEVER) & there, spent, costs)
    return costs


def low_rank(test: np.ndarray) -> np.ndarray:
    """Each matrix's own randomised approximation of rank n/8, inverted, and a multiple beside."""
    n = test.shape[-1]
    r = max(1, n // 8)
    omega = np.random.default_rng(0).standard_normal((n, r))
    Q = np.linalg.qr(test @ (test.swapaxes(1, 2) @ omega))[0]
    B = Q.swapaxes(1, 2) @ test
    pinv = B.swapaxes(1, 2) @ np.linalg.inv(B @ B.swapaxes(1, 2)) @ Q.swapaxes(1, 2)
    rest = np.eye(n) - Q @ Q.swapaxes(1, 2)
    if not definite(test):
        rest = test.swapaxes(1, 2) @ rest
    # The multiple that makes the residual smallest: R = rest part - t S rest.
    image = test @ rest
    target = np.eye(n) - test @ pinv
    t = (target * image).sum((1, 2)) / (image * image).sum((1, 2))
    X = pinv + t[:, None, None] * rest
    overhead = (3 * r * n**2 + 3 * r**2 * n + 2 * r * n**2) / n**3
    return cheapest(test, X) + overhead


def cheapest(S: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Products from given starts, by the schedule that is best on average."""
    found = [improved(S, X, degrees=degrees) for degrees in SCHEDULES]
    costs = [np.where(g.residual <= EARLY_EXIT, charged(S, g), NEVER) for g in found]
    return min(costs, key=np.mean).astype(float)
