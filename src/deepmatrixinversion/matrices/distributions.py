"""Distributions of random square matrices, written once for NumPy and for torch.

A distribution draws from a `Source`, which is all it knows of the library underneath: the functions
here use only what NumPy and torch spell alike, and this module never imports torch. Every
distribution takes a range ``[low, high]``; its docstring says what the range means for it. Two
numbers stand for the range: the middle ``(low + high) / 2`` and the spread
``s = (high - low) / 2``. Distributions with a structure that adding a constant would destroy use
``s`` alone, so that at the customary range [-1, 1] all of them have entries of order one.

>>> import numpy as np
>>> source = NumpySource(np.random.default_rng(0))
>>> sample(source, "uniform+orthogonal", 5, 3, -1.0, 1.0).shape
(5, 3, 3)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from deepmatrixinversion.matrices import origins
from deepmatrixinversion.matrices.haar import haar
from deepmatrixinversion.matrices.levels import levels
from deepmatrixinversion.matrices.sources import NumpySource, Source, log_uniform
from deepmatrixinversion.matrices.spectra import symmetric, with_singular_values

__all__ = ["DISTRIBUTIONS", "Distribution", "NumpySource", "Source", "haar", "mixture", "sample"]

Distribution = Callable[[Source, int, int, float, float], Any]

CONDITION_MAX = 1e4  # largest condition number of `spectrum` and `spd`
DELTA_MIN, DELTA_MAX = 1e-8, 1e-1  # by how much `nearly_singular` shortens one direction
NOISE_MIN, NOISE_MAX = 1e-3, 1e-1  # noise of `low_rank_plus_noise`, in units of s
RANGE_MAX = 1e100  # products of three entries must not overflow in float64
DOMINANCE_MIN = 1e-2  # smallest excess of the diagonal in `diagonally_dominant`, in units of s


def uniform(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """Independent entries from U[low, high]: the reference system's training data.

    Edelman (1988) for normal entries: P(kappa > n x) ~ 2 / x; the tail is as heavy here.
    """
    return source.uniform((count, n, n), low, high)


def normal(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """Independent normal entries, mean (low + high)/2 and standard deviation s = (high - low)/2.

    The range is one standard deviation either side of the mean, not a bound.
    """
    return (low + high) / 2 + (high - low) / 2 * source.normal((count, n, n))


def orthogonal(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """s Q with Q uniform (Haar) on the orthogonal group; kappa = 1, entries within [-s, s]."""
    return (high - low) / 2 * haar(source, count, n)


def spectrum(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """U diag(sigma) V^T with U, V Haar and a condition number log-uniform in [1, 1e4].

    sigma_1 = s, sigma_n = s / kappa and, between them, sigma_i = s kappa^-t, t ~ U[0, 1]. Entries
    lie within [-s, s] (Higham 2002, section 28.3: ``randsvd``).
    """
    return with_singular_values(source, _singular_values(source, count, n, low, high))


def spd(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """Symmetric positive definite Q diag(lambda) Q^T, lambda as the sigma of `spectrum`.

    Exactly symmetric; positive definite after rounding, too, as kappa <= 1e4 is far below 1/eps.
    """
    Q = haar(source, count, n)
    return symmetric(Q, _singular_values(source, count, n, low, high))


def correlation(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """Correlation matrices: `spd` scaled on both sides to a unit diagonal; the range is not used.

    Symmetric, exactly 1 on the diagonal, kappa <= n 1e4 (van der Sluis 1969, Theorem 4.1).
    """
    covariance = spd(source, count, n, -1.0, 1.0)
    deviation = source.xp.diagonal(covariance, 0, -2, -1) ** 0.5
    identity = source.eye(n)
    scaled = covariance / (deviation[:, :, None] * deviation[:, None, :])
    return scaled * (1 - identity) + identity


def toeplitz(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """Toeplitz matrices A_ij = c_(i-j) with 2n - 1 independent c from U[low, high]."""
    diagonals = source.uniform((count, 2 * n - 1), low, high)
    index = source.arange(n)
    return diagonals[:, index[:, None] - index[None, :] + (n - 1)]


def diagonally_dominant(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """Strictly dominant rows: off the diagonal U[low, high], A_ii = +-(sum_j |A_ij| + s delta).

    delta is log-uniform in [0.01, 1], one a matrix, and the signs are random. Nonsingular, and
    ‖A^-1‖inf <= 1 / (s delta) (Varah 1975).
    """
    xp, identity = source.xp, source.eye(n)
    rest = source.uniform((count, n, n), low, high) * (1 - identity)
    excess = (high - low) / 2 * log_uniform(source, (count, 1), DOMINANCE_MIN, 1.0)
    diagonal = xp.copysign(xp.abs(rest).sum(-1) + excess, source.normal((count, n)))
    return rest + diagonal[:, :, None] * identity


def low_rank(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """L R with L (n, r) and R (r, n) from U[low, high], r uniform on 1, ..., n - 1: singular.

    The reference system's singular matrices. The range is that of the factors: an entry of the
    product may reach r max(low^2, high^2). Order one gives zero. Rounding may lift the n - r zero
    singular values to about n eps ‖L‖F ‖R‖F.
    """
    left = source.uniform((count, n, n - 1), low, high)
    right = source.uniform((count, n - 1, n), low, high)
    if n == 1:
        return left @ right  # an empty sum
    rank = source.integers((count, 1), 1, n)
    return (left * (source.arange(n - 1) < rank)[:, None, :]) @ right


def low_rank_plus_noise(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """`low_rank` plus s delta N, N standard normal, delta log-uniform in [1e-3, 1e-1].

    A low-rank signal as it is measured: r singular values of order s n, and n - r of order
    s delta sqrt(n) and less. One delta a matrix; nonsingular with probability one.
    """
    delta = log_uniform(source, (count, 1, 1), NOISE_MIN, NOISE_MAX)
    noise = (high - low) / 2 * delta * source.normal((count, n, n))
    return low_rank(source, count, n, low, high) + noise


def nearly_singular(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """A (I - (1 - delta) v v^T): U[low, high] entries, one random direction shortened by delta.

    v is uniform on the sphere and delta log-uniform in [1e-8, 1e-1]. As A' v = delta A v,
    sigma_min(A') <= delta ‖A‖, so kappa(A') >= sigma_max(A') / (delta ‖A‖), and
    det A' = delta det A. No row grows in norm, but an entry can leave the range. In float32 a delta
    below 6e-8 drowns in rounding.
    """
    a = source.uniform((count, n, n), low, high)
    v = source.normal((count, n, 1))
    v = v / (v * v).sum(-2)[:, :, None] ** 0.5
    delta = log_uniform(source, (count, 1, 1), DELTA_MIN, DELTA_MAX)
    return a - ((1 - delta) * (a @ v)) @ v.swapaxes(-1, -2)


DISTRIBUTIONS: dict[str, Distribution] = {
    "uniform": uniform,
    "normal": normal,
    "spectrum": spectrum,
    "orthogonal": orthogonal,
    "spd": spd,
    "correlation": correlation,
    "toeplitz": toeplitz,
    "diagonally_dominant": diagonally_dominant,
    "low_rank": low_rank,
    "low_rank_plus_noise": low_rank_plus_noise,
    "nearly_singular": nearly_singular,
    "levels": levels,
    **origins.ORIGINS,
}


def mixture(name: str) -> list[str]:
    """The parts of a mixture such as ``"uniform+normal"``, each a key of `DISTRIBUTIONS`.

    Raises
    ------
    ValueError
        If a part is unknown; the message lists the known ones.
    """
    parts = [part.strip() for part in name.split("+")]
    for part in parts:
        if part not in DISTRIBUTIONS:
            known = ", ".join(DISTRIBUTIONS)
            raise ValueError(
                f"unknown distribution '{part}': choose from {known}, or join several with '+'"
            )
    return parts


def sample(
    source: Source,
    name: str,
    count: int,
    n: int,
    low: float,
    high: float,
    det_min: float = 0.0,
) -> Any:
    """Exactly ``count`` matrices of a distribution or mixture, all with abs(det) > ``det_min``.

    A mixture gives its parts equal shares, in order, the first ones one more where ``count`` does
    not divide. ``det_min=0`` filters nothing.

    Parameters
    ----------
    source : Source
        Where the random numbers come from; the result is a function of its state.
    name : str
        A key of `DISTRIBUTIONS`, or several joined by ``+``.
    count, n : int
        Number of matrices (may be 0) and their order (at least 1).
    low, high : float
        The range; see the distribution.
    det_min : float
        Matrices whose absolute determinant is not above are drawn again.

    Returns
    -------
    array (count, n, n)
        In the dtype and on the device of the source.

    Raises
    ------
    ValueError
        If an argument is out of range, or hardly any matrix passes the determinant filter.
    """
    parts = mixture(name)
    if count < 0 or n < 1:
        raise ValueError(f"cannot draw {count} matrices of order {n}: need count >= 0, order >= 1")
    if not -RANGE_MAX <= low < high <= RANGE_MAX:
        raise ValueError(
            f"the range needs min < max, both finite and within +-{RANGE_MAX:g}, not min {low:g} "
            f"and max {high:g}"
        )
    if not (math.isfinite(det_min) and det_min >= 0):
        raise ValueError(f"det_min must be finite and at least 0, not {det_min:g}")
    share, extra = divmod(count, len(parts))
    drawn = [
        _filtered(source, part, share + (i < extra), n, low, high, det_min)
        for i, part in enumerate(parts)
    ]
    return drawn[0] if len(drawn) == 1 else source.xp.concatenate(drawn)


def _filtered(
    source: Source, name: str, count: int, n: int, low: float, high: float, det_min: float
) -> Any:
    draw = DISTRIBUTIONS[name]
    if det_min == 0:
        return draw(source, count, n, low, high)
    kept, have, drawn, rounds = [draw(source, 0, n, low, high)], 0, 0, 0
    least = max(1, 65536 // (n * n))  # so that rare matrices do not take a round each
    while have < count:
        # As many as should do at the rate seen so far; never more at once than a few times count.
        rate = (have + 1) / (drawn + 1)
        batch = min(max(least, int(1.05 * (count - have) / rate)), max(least, 2 * count))
        a = draw(source, batch, n, low, high)
        passed = a[_det_above(source.xp, a, det_min)][: count - have]
        kept.append(passed)
        have, drawn, rounds = have + len(passed), drawn + batch, rounds + 1
        if (rounds >= 1000 or drawn >= 1_000_000) and have < min(count, 1e-5 * drawn):
            raise ValueError(
                f"det_min {det_min:g} is out of reach: of {drawn} '{name}' matrices of order {n} "
                f"in the range [{low:g}, {high:g}] {have} had a larger abs(det); lower det_min "
                "(0 keeps every matrix), widen the range, or choose another distribution"
            )
    return source.xp.concatenate(kept)


def _det_above(xp: Any, a: Any, least: float) -> Any:
    """Where abs(det) > least: by expansion at small orders, an order of magnitude faster than LU.

    Beyond them in logarithms: with 400 uniform entries a row the determinant overflows.
    """
    n = a.shape[-1]
    if n > 3:
        return xp.linalg.slogdet(a)[1] > math.log(least)
    u, v, w = a[:, 0], a[:, max(n - 2, 0)], a[:, n - 1]  # the three rows
    if n == 1:
        det = u[:, 0]
    elif n == 2:
        det = v[:, 0] * w[:, 1] - v[:, 1] * w[:, 0]
    else:
        det = sum(
            u[:, i] * (v[:, j] * w[:, k] - v[:, k] * w[:, j])
            for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1))
        )
    return abs(det) > least


def _singular_values(source: Source, count: int, n: int, low: float, high: float) -> Any:
    """Columns s kappa^-t with t = 0 first, 1 last and U[0, 1] between, as (count, n)."""
    t = source.uniform((count, n), 0.0, 1.0)
    t[:, n - 1 :] = 1.0
    t[:, :1] = 0.0
    log_kappa = source.uniform((count, 1), 0.0, math.log(CONDITION_MAX))
    return (high - low) / 2 * source.xp.exp(-t * log_kappa)
