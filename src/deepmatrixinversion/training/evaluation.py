"""What a finished model can do, measured on matrices that training never saw."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.matrices.distributions import NumpySource, sample
from deepmatrixinversion.models.config import TrainingData
from deepmatrixinversion.reporting.metrics import (
    EntrySample,
    ErrorAccumulator,
    ErrorStatistics,
    ResidualAccumulator,
    ResidualStatistics,
    frobenius_residuals,
)
from deepmatrixinversion.training.dataset import DataSet
from deepmatrixinversion.training.streams import EVALUATION, stream_seed

BLOCK = 10_000


class Evaluation(NamedTuple):
    """Raw answers of a model on one kind of matrices.

    ``errors`` compares with the float64 inverses of LAPACK; ``residual_values`` and ``entries``
    are what plots draw.
    """

    order: int
    distribution: str
    det_min: float
    rmin: float
    rmax: float
    matrices: int
    residual: ResidualStatistics
    errors: ErrorStatistics
    residual_values: np.ndarray
    entries: EntrySample


def evaluate(
    inverter: Inverter,
    order: int,
    distribution: str,
    *,
    det_min: float,
    rmin: float = -1.0,
    rmax: float = 1.0,
    matrices: int = 100_000,
    seed: int = 0,
    max_products: int | None = None,
) -> Evaluation:
    """Measure the raw answers of ``inverter`` on ``matrices`` fresh float64 matrices.

    ``max_products`` is for networks of any order: see ``Inverter.guess``.
    """
    rng = np.random.default_rng(stream_seed(EVALUATION, seed, order))
    source = NumpySource(rng)
    blocks = (
        DataSet(sample(source, distribution, count, order, rmin, rmax, det_min=det_min), None)
        for count in (min(BLOCK, matrices - start) for start in range(0, matrices, BLOCK))
    )
    data = TrainingData(distribution, rmin, rmax, det_min)
    return measured(inverter, order, data, blocks, max_products)


def measured(
    inverter: Inverter,
    order: int,
    data: TrainingData,
    blocks: Iterable[DataSet],
    max_products: int | None = None,
) -> Evaluation:
    """Measure the raw answers of ``inverter`` on blocks of matrices, which ``data`` describes."""
    residuals, errors, entries = ResidualAccumulator(), ErrorAccumulator(), EntrySample()
    matrices = 0
    for A, target in blocks:
        X = inverter.guess(A, max_products=max_products)
        matrices += len(A)
        residuals.add(frobenius_residuals(A, X))
        if target is None:
            # A matrix that is singular to LAPACK has no target; it counts through its residual.
            determinant = np.linalg.det(A)
            regular = np.isfinite(determinant) & (determinant != 0)
            X, target = X[regular], np.linalg.inv(A[regular])
        errors.add(X, target)
        entries.add(X, target)
    return Evaluation(
        order,
        data.distribution,
        data.det_min,
        data.rmin,
        data.rmax,
        matrices,
        residuals.statistics(),
        errors.statistics(),
        residuals.values(),
        entries,
    )
