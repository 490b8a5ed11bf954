"""How good candidate inverses are, accumulated block by block."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from deepmatrixinversion.models.config import TrainingData


class ResidualStatistics(NamedTuple):
    """Quantiles of ‖I - A X‖F over matrices; ``below_one`` is the share below 1.

    A matrix whose residual is NaN counts as infinite.
    """

    median: float
    p99: float
    max: float
    below_one: float


class ErrorStatistics(NamedTuple):
    """Entrywise agreement with the true inverses: R², mean square, mean and largest |error|."""

    r2: float
    mse: float
    mae: float
    max_abs_error: float


class Evaluation(NamedTuple):
    """Raw answers of a model on one kind of matrices.

    ``errors`` compares with the float64 inverses of LAPACK; ``residual_values`` and ``entries``
    are what plots draw.
    """

    order: int
    data: TrainingData
    matrices: int
    residual: ResidualStatistics
    errors: ErrorStatistics
    residual_values: np.ndarray
    entries: EntrySample

    @property
    def kind(self) -> str:
        """Which matrices, in words."""
        d = self.data
        filtered = f", |det| > {d.det_min:g}" if d.det_min else ""
        return f"order {self.order}, {d.distribution} [{d.rmin:g}, {d.rmax:g}]{filtered}"


def frobenius_residuals(A: np.ndarray, X: np.ndarray) -> np.ndarray:
    """‖I - A X‖F of each matrix in float64, shape ``A.shape[:-2]``; inf where it is not finite.

    Parameters
    ----------
    A, X : (..., n, n) arrays
    """
    return _norms(_residuals(A, X, np.eye(A.shape[-1])))


def relative_residuals(A: np.ndarray, Y: np.ndarray, B: np.ndarray) -> np.ndarray:
    """‖B - A Y‖F/‖B‖F of each system in float64; inf where it is not finite, 0 for 0 over 0.

    Parameters
    ----------
    A, Y, B : (..., n, n), (..., n, p) and (..., n, p) arrays
    """
    residual, size = _norms(_residuals(A, Y, B)), _norms(np.asarray(B, np.float64))
    with np.errstate(all="ignore"):
        ratio = np.where(residual == 0, 0.0, residual / size)
    return np.where(np.isfinite(ratio), ratio, np.inf)


def _residuals(A: np.ndarray, X: np.ndarray, B: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray(B, np.float64) - np.asarray(A, np.float64) @ np.asarray(X, np.float64)


def _norms(R: np.ndarray) -> np.ndarray:
    """Frobenius norms; inf where they are not finite."""
    with np.errstate(all="ignore"):
        # Scaled by the largest entry, so that squares neither overflow nor vanish.
        largest = np.abs(R).max(axis=(-2, -1), initial=0.0)
        unit = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
        R = R / unit[..., None, None]
        norm = unit * np.sqrt(np.einsum("...ij,...ij->...", R, R))
    return np.where(np.isfinite(norm), norm, np.inf)


class ResidualAccumulator:
    """Collects residuals of successive blocks (8 bytes a matrix)."""

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []

    def add(self, residuals: np.ndarray) -> None:
        """Add the residuals of a block, any shape."""
        values = np.ravel(residuals)
        self._blocks.append(np.where(np.isnan(values), np.inf, values))

    def values(self) -> np.ndarray:
        """All residuals so far, shape (count,)."""
        return np.concatenate(self._blocks) if self._blocks else np.empty(0)

    def statistics(self) -> ResidualStatistics:
        """Quantiles over all matrices (nearest order statistic above, so that inf is no NaN)."""
        values = self.values()
        if not values.size:
            raise ValueError("no matrices, so no residuals to describe")
        median, p99 = np.quantile(values, [0.5, 0.99], method="higher")
        below = float(np.mean(values < 1))
        return ResidualStatistics(float(median), float(p99), float(values.max()), below)


class ErrorAccumulator:
    """Agreement of predictions with targets over successive blocks, in constant memory.

    Non-finite predictions make every figure NaN or infinite rather than vanish.
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean = 0.0
        self._spread = 0.0  # sum of squared deviations of the targets from their mean
        self._square = 0.0
        self._absolute = 0.0
        self._largest = 0.0

    def add(self, prediction: np.ndarray, target: np.ndarray) -> None:
        """Add a block of predictions and targets of equal shape."""
        target = np.asarray(target, np.float64).ravel()
        if not target.size:
            return
        with np.errstate(all="ignore"):
            error = np.asarray(prediction, np.float64).ravel() - target
            self._square += float(error @ error)
            self._absolute += float(np.abs(error).sum())
            self._largest = float(np.maximum(self._largest, np.abs(error).max()))
            # Chan, Golub & LeVeque (1983), eq. 2.1: merging sums of squared deviations.
            count, mean = target.size, float(target.mean())
            total = self._count + count
            shift = mean - self._mean
            self._spread += float(((target - mean) ** 2).sum())
            self._spread += shift * shift * self._count * count / total
            self._mean += shift * count / total
            self._count = total

    @property
    def count(self) -> int:
        """Number of entries so far."""
        return self._count

    def statistics(self) -> ErrorStatistics:
        """The figures over all entries; R² is NaN where the targets do not vary."""
        if not self._count:
            raise ValueError("no entries, so no errors to describe")
        r2 = 1 - self._square / self._spread if self._spread > 0 else math.nan
        n = self._count
        return ErrorStatistics(r2, self._square / n, self._absolute / n, self._largest)


class EntrySample:
    """A uniform sample of (target, prediction) entries for a plot, of bounded size.

    Reservoir sampling with random keys: the ``size`` entries with the smallest keys.
    """

    def __init__(self, size: int = 200_000, seed: int = 0) -> None:
        self._size = size
        self._rng = np.random.default_rng(seed)
        self._keys = np.empty(0)
        self._pairs = np.empty((0, 2))

    def add(self, prediction: np.ndarray, target: np.ndarray) -> None:
        """Offer a block of predictions and targets of equal shape."""
        pairs = np.stack([np.ravel(target), np.ravel(prediction)], axis=1).astype(np.float64)
        keys = np.concatenate([self._keys, self._rng.random(len(pairs))])
        pairs = np.concatenate([self._pairs, pairs])
        if len(keys) > self._size:
            kept = np.argpartition(keys, self._size)[: self._size]
            keys, pairs = keys[kept], pairs[kept]
        self._keys, self._pairs = keys, pairs

    @property
    def targets(self) -> np.ndarray:
        """Sampled true entries."""
        return self._pairs[:, 0]

    @property
    def predictions(self) -> np.ndarray:
        """The predictions of those entries, in the same order."""
        return self._pairs[:, 1]
