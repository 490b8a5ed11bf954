"""Is one stack of matrices the inverses, or the Moore-Penrose inverses, of another?

Every check compares a residual with a tolerance in such a way that NaN, wherever it stands, fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np


class Checks(NamedTuple):
    """What a check found for each of b pairs.

    ``residual`` (b,) float64, NaN where it cannot be computed; ``tolerance`` (b,) float64;
    ``valid`` (b,) bool; ``rank`` (b,) float64, the trace of X Y rounded: the rank of Y where the
    pair is valid.
    """

    residual: np.ndarray
    tolerance: np.ndarray
    valid: np.ndarray
    rank: np.ndarray


class Summary(NamedTuple):
    """What a check found for a whole data set, with the pair that fails worst (or passes worst)."""

    total: int
    invalid: int
    worst: int
    residual: float
    tolerance: float
    rank: float
    matrix: np.ndarray
    partner: np.ndarray


def check_invertible(x: np.ndarray, y: np.ndarray, tol: float | None = None) -> Checks:
    """Is Y the inverse of X: ‖I - X Y‖F against a tolerance derived from the condition.

    Parameters
    ----------
    x, y : array (b, n, n)
        Floating arrays; the coarser precision of the two decides eps.
    tol : float, optional
        Largest residual to accept. By default 16 n eps ‖X‖F ‖Y‖F, and never more than 1/2.

    Returns
    -------
    Checks

    Notes
    -----
    The correctly rounded inverse Y = X^-1 + E has |E| <= u |X^-1| (u = eps / 2), so that
    ‖I - X Y‖F = ‖X E‖F <= u ‖X‖F ‖X^-1‖F; LU with partial pivoting leaves at most
    3 n u ‖|L| |U|‖ ‖Y‖ (Higham 2002, section 14.3), where the first factor is a small multiple of
    ‖X‖ in practice; computing X Y here adds n u ‖X‖F ‖Y‖F. A residual below 1 proves X and Y
    nonsingular, which is why the default stays below it: numerically singular X never pass.
    """
    x, y, eps = _scaled(x, y)
    n = x.shape[-1]
    with np.errstate(all="ignore"):
        xy = x @ y
        residual = _frobenius(np.eye(n) - xy)
        rank = np.rint(np.trace(xy, axis1=-2, axis2=-1))
        tolerance = _tolerance(x, y, 16 * n * eps, tol)
    return Checks(residual, tolerance, residual <= tolerance, rank)


def check_singular(x: np.ndarray, y: np.ndarray, tol: float | None = None) -> Checks:
    """Is X singular and Y its Moore-Penrose inverse: the four Penrose conditions, and the rank.

    The residual is the largest of ‖X Y X - X‖F / ‖X‖F, ‖Y X Y - Y‖F / ‖Y‖F,
    ‖X Y - (X Y)^T‖F and ‖Y X - (Y X)^T‖F, and infinite where the rank is full.

    Parameters
    ----------
    x, y : array (b, n, n)
        Floating arrays; the coarser precision of the two decides eps.
    tol : float, optional
        Largest residual to accept. By default 32 n eps ‖X‖F ‖Y‖F, and never more than 1/2.

    Returns
    -------
    Checks

    Notes
    -----
    Where the conditions hold, X Y projects onto the range of X, and its trace is the rank
    (Penrose 1955): no decomposition is needed to tell a singular matrix, nor a choice of which
    singular values count as zero. Each product costs relative rounding of n u ‖X‖F ‖Y‖F; three
    of them meet in a condition, and a rounded Y brings one more.
    """
    x, y, eps = _scaled(x, y)
    n = x.shape[-1]
    with np.errstate(all="ignore"):
        xy, yx = x @ y, y @ x
        residual = np.max(
            [
                _relative(xy @ x - x, x),
                _relative(y @ xy - y, y),
                _frobenius(xy - xy.swapaxes(-1, -2)),
                _frobenius(yx - yx.swapaxes(-1, -2)),
            ],
            axis=0,  # np.max keeps NaN
        )
        rank = np.rint(np.trace(xy, axis1=-2, axis2=-1))
        residual = np.where(rank >= n, np.inf, residual)
        tolerance = _tolerance(x, y, 32 * n * eps, tol)
    return Checks(residual, tolerance, (residual <= tolerance) & (rank < n), rank)


CHECKS: dict[str, Callable[[np.ndarray, np.ndarray, float | None], Checks]] = {
    "invertible": check_invertible,
    "singular": check_singular,
}


def verify_blocks(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]], kind: str, tol: float | None = None
) -> Summary:
    """Check a data set that comes as pairs of blocks (b, n, n), in the memory of one block.

    Parameters
    ----------
    blocks : iterable of (x, y)
        Matrices and what should be their inverses.
    kind : str
        A key of `CHECKS`: ``invertible`` or ``singular``.
    tol : float, optional
        Largest residual to accept, instead of the derived tolerance.

    Returns
    -------
    Summary
        ``worst`` is the index of the invalid pair with the largest residual (of all pairs if none
        is invalid), the first NaN counting as largest; ``residual``, ``tolerance``, ``rank``,
        ``matrix`` and ``partner`` are that pair's.

    Raises
    ------
    ValueError
        If ``kind`` is unknown, a block's shapes are not equal and square, or there are no pairs.
    """
    if kind not in CHECKS:
        raise ValueError(f"unknown kind '{kind}': choose from {', '.join(CHECKS)}")
    count = invalid = 0
    worst, worst_key = None, (False, -np.inf)
    for x, y in blocks:
        if x.shape != y.shape or x.ndim != 3 or x.shape[-1] != x.shape[-2]:
            raise ValueError(
                f"from matrix {count + 1} on, matrices and partners must be square and alike in "
                f"number and order, but they come as {x.shape} and {y.shape}"
            )
        if not len(x):
            continue
        checks = CHECKS[kind](x, y, tol)
        rankable = np.where(np.isnan(checks.residual), np.inf, checks.residual)
        # Invalid pairs first, then by residual; argmax of the masked residuals is the worst.
        failing = ~checks.valid
        i = int(np.argmax(np.where(failing, rankable, -1.0) if failing.any() else rankable))
        key = (bool(failing[i]), float(rankable[i]))
        if key > worst_key:
            values = float(checks.residual[i]), float(checks.tolerance[i]), float(checks.rank[i])
            worst, worst_key = (count + i, *values, x[i].copy(), y[i].copy()), key
        count, invalid = count + len(x), invalid + int(failing.sum())
    if worst is None:
        raise ValueError("there are no matrices to verify")
    return Summary(count, invalid, *worst)


def _scaled(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """X / 2^k and Y 2^k in float64, with max |X| / 2^k in [1/2, 1), and the coarser eps.

    Powers of two leave X Y as it is, and the norms can no longer overflow.
    """
    eps = max(float(np.finfo(x.dtype).eps), float(np.finfo(y.dtype).eps))
    x, y = x.astype(np.float64), y.astype(np.float64)
    largest = np.abs(x).max(axis=(-2, -1), keepdims=True, initial=0.0)
    _, exponent = np.frexp(np.where(np.isfinite(largest), largest, 1.0))
    with np.errstate(all="ignore"):
        return np.ldexp(x, -exponent), np.ldexp(y, exponent), eps


def _frobenius(a: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(a).sum((-2, -1)))


def _relative(error: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """‖error‖F / ‖scale‖F, where 0 / 0 is 0: the zero matrix and its zero pseudo-inverse."""
    top, bottom = _frobenius(error), _frobenius(scale)
    return np.where((top == 0) & (bottom == 0), 0.0, top / bottom)


def _tolerance(x: np.ndarray, y: np.ndarray, factor: float, tol: float | None) -> np.ndarray:
    if tol is not None:
        return np.full(len(x), float(tol))
    return np.minimum(factor * _frobenius(x) * _frobenius(y), 0.5)
