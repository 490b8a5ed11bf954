"""What a finished model can do, measured on matrices that training never saw."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.matrices.distributions import NumpySource, sample
from deepmatrixinversion.models.config import TrainingData
from deepmatrixinversion.reporting.metrics import (
    EntrySample,
    ErrorAccumulator,
    Evaluation,
    ResidualAccumulator,
    frobenius_residuals,
)
from deepmatrixinversion.training.dataset import DataSet
from deepmatrixinversion.training.streams import EVALUATION, stream_seed

BLOCK = 10_000


def evaluate(
    inverter: Inverter,
    order: int,
    data: TrainingData,
    *,
    matrices: int = 100_000,
    seed: int = 0,
    max_products: int | None = None,
) -> Evaluation:
    """Measure the raw answers of ``inverter`` on ``matrices`` fresh float64 matrices.

    ``max_products`` is for networks of any order: see ``Inverter.guess``.
    """
    rng = np.random.default_rng(stream_seed(EVALUATION, seed, order))
    source = NumpySource(rng)
    what = order, data.rmin, data.rmax, data.det_min
    blocks = (
        DataSet(sample(source, data.distribution, min(BLOCK, matrices - start), *what), None)
        for start in range(0, matrices, BLOCK)
    )
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
        data,
        matrices,
        residuals.statistics(),
        errors.statistics(),
        residuals.values(),
        entries,
    )
