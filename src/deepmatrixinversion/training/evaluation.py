"""What a finished model can do, measured on matrices that training never saw."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.matrices.distributions import NumpySource, sample
from deepmatrixinversion.reporting.metrics import (
    EntrySample,
    ErrorAccumulator,
    ErrorStatistics,
    ResidualAccumulator,
    ResidualStatistics,
    frobenius_residuals,
)
from deepmatrixinversion.training.source import EVALUATION, stream_seed

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
    residuals, errors, entries = ResidualAccumulator(), ErrorAccumulator(), EntrySample()
    for start in range(0, matrices, BLOCK):
        count = min(BLOCK, matrices - start)
        A = sample(source, distribution, count, order, rmin, rmax, det_min=det_min)
        X = inverter.guess(A, max_products=max_products)
        # A matrix that is singular to LAPACK has no target; it counts through its residual.
        determinant = np.linalg.det(A)
        regular = np.isfinite(determinant) & (determinant != 0)
        target = np.linalg.inv(A[regular])
        residuals.add(frobenius_residuals(A, X))
        errors.add(X[regular], target)
        entries.add(X[regular], target)
    return Evaluation(
        order,
        distribution,
        det_min,
        rmin,
        rmax,
        matrices,
        residuals.statistics(),
        errors.statistics(),
        residuals.values(),
        entries,
    )
