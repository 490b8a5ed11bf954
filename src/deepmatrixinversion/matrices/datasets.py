"""Data sets of matrices with their inverses or pseudo-inverses, made in blocks.

The targets come from LAPACK: this makes the answers that networks are measured against, it is not
inversion by network. Every target belongs to exactly the float64 matrix beside it.

>>> import numpy as np
>>> blocks = invertible_pairs(np.random.default_rng(0), 5, 2, -1.0, 1.0)
>>> [np.allclose(a @ x, np.eye(2)) for a, x in blocks]
[True]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from deepmatrixinversion.matrices.distributions import NumpySource, mixture, sample

DET_MIN = 0.1  # the reference system's filter
BLOCK_ENTRIES = 1 << 19  # float64 entries in a block of matrices: 4 MiB
RANK_GAP = 1e3  # see `singular_pairs`


class Pairs(NamedTuple):
    """Matrices (b, n, n) and the inverse or pseudo-inverse of each (b, n, n), float64."""

    matrices: np.ndarray
    targets: np.ndarray


def block_size(n: int) -> int:
    """How many matrices of order n make a block: all of `BLOCK_ENTRIES`, and at least one."""
    return max(1, BLOCK_ENTRIES // (n * n))


def invertible_pairs(
    rng: np.random.Generator,
    count: int,
    n: int,
    low: float,
    high: float,
    *,
    distribution: str = "uniform",
    det_min: float = DET_MIN,
) -> Iterator[Pairs]:
    """Yield ``count`` random matrices with their inverses, a block at a time.

    The inverses are LAPACK's after one Newton step X + X (I - A X) with the residual in extended
    precision: their relative error falls from about kappa eps to eps + kappa 1e-19 while
    kappa eps << 1. (Where ``numpy.longdouble`` is no finer than float64, as on some ARM systems,
    LAPACK's kappa eps remains.)

    Parameters
    ----------
    rng : numpy.random.Generator
        The data set is a function of its state.
    count, n : int
        Number of matrices and their order, both at least 1.
    low, high : float
        The range of entries, as `distributions` defines it for each distribution.
    distribution : str
        A key of ``DISTRIBUTIONS`` or several joined by ``+`` (equal shares of every block).
    det_min : float
        Only matrices with abs(det) above are kept; 0 keeps all.

    Yields
    ------
    Pairs
        Blocks of at most ``block_size(n)`` pairs.

    Raises
    ------
    ValueError
        If the distribution is unknown or singular, the range empty, ``det_min`` out of reach, or
        LAPACK meets an exactly singular or non-finite matrix.
    """
    if "low_rank" in mixture(distribution):
        raise ValueError("'low_rank' matrices have no inverses; choose another distribution")
    source = NumpySource(rng)
    for size in _block_sizes(count, n):
        a = sample(source, distribution, size, n, low, high, det_min)
        try:
            targets = np.linalg.inv(a)
        except np.linalg.LinAlgError:
            raise ValueError(
                f"a '{distribution}' matrix in the range [{low:g}, {high:g}] came out exactly "
                "singular; ask for a det_min above 0 or another range"
            ) from None
        yield Pairs(a, _polished(a, targets))


def singular_pairs(
    rng: np.random.Generator, count: int, n: int, low: float, high: float
) -> Iterator[Pairs]:
    """Yield ``count`` random singular matrices with their Moore-Penrose inverses, block by block.

    The matrices are ``low_rank``: products of two random factors with entries in [low, high].
    Rounding lifts their zero singular values to a few eps sigma_1, so the rank is counted above a
    cutoff of 8 n eps sigma_1. The few matrices with a singular value between the cutoff and 1000
    times the cutoff are drawn again: of no two readers would they have the same rank.

    Parameters
    ----------
    rng, count, n, low, high
        As for `invertible_pairs`. Order one gives zeros.

    Yields
    ------
    Pairs
        Blocks of at most ``block_size(n)`` pairs.

    Raises
    ------
    ValueError
        If the range is empty, or so narrow beside its middle that no rank stands out.
    """
    source = NumpySource(rng)
    for size in _block_sizes(count, n):
        kept, have, rounds = [], 0, 0
        while have < size:
            a = sample(source, "low_rank", size - have, n, low, high)
            pairs = _with_pseudoinverses(a)
            kept.append(pairs)
            have, rounds = have + len(pairs.matrices), rounds + 1
            if rounds == 100:
                raise ValueError(
                    f"products of factors in the range [{low:g}, {high:g}] have no clear rank in "
                    f"float64 at order {n}; choose a range nearer to zero"
                )
        yield Pairs(*(np.concatenate(parts) for parts in zip(*kept, strict=True)))


def _block_sizes(count: int, n: int) -> Iterator[int]:
    if count < 1 or n < 1:
        raise ValueError(f"a data set needs count >= 1 and order >= 1, not {count} and {n}")
    whole, rest = divmod(count, block_size(n))
    yield from [block_size(n)] * whole + [rest] * (rest > 0)


def _polished(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """X + X (I - A X) with the residual in extended precision, where that converges."""
    residual = np.eye(a.shape[-1]) - a.astype(np.longdouble) @ x
    residual = residual.astype(np.float64)
    # From a residual of 1/2 or more (kappa near 1/eps) a step might lead away.
    small = np.square(residual).sum((-2, -1)) < 0.25
    return np.where(small[:, None, None], x + x @ residual, x)


def _with_pseudoinverses(a: np.ndarray) -> Pairs:
    """Those matrices whose rank is clear, with V diag(1/sigma) U^T over sigma above the cutoff."""
    u, sigma, vt = np.linalg.svd(a)
    cutoff = 8 * a.shape[-1] * np.finfo(np.float64).eps * sigma[:, :1]
    counted = sigma > cutoff
    clear = ~(counted & (sigma < RANK_GAP * cutoff)).any(-1)
    reciprocal = np.divide(1.0, sigma, out=np.zeros_like(sigma), where=counted)
    y = (vt.swapaxes(-1, -2) * reciprocal[:, None, :]) @ u.swapaxes(-1, -2)
    return Pairs(a[clear], y[clear])
