"""Accumulated figures equal those of the whole; what is not finite never looks good."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deepmatrixinversion.reporting.metrics import (
    EntrySample,
    ErrorAccumulator,
    ErrorStatistics,
    ResidualAccumulator,
    ResidualStatistics,
    frobenius_residuals,
)

EPS = np.finfo(np.float64).eps


def accumulated(prediction, target, cuts):
    errors = ErrorAccumulator()
    for p, t in zip(np.split(prediction, cuts), np.split(target, cuts), strict=True):
        errors.add(p, t)
    return errors.statistics()


# --- residuals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_residuals_are_the_definition(shape, dtype):
    rng = np.random.default_rng(0)
    A, X = rng.standard_normal((2, *shape, 4, 4)).astype(dtype)
    got = frobenius_residuals(A, X)
    R = np.eye(4) - A.astype(np.float64) @ X.astype(np.float64)
    assert got.shape == shape
    assert np.asarray(got).dtype == np.float64
    np.testing.assert_allclose(got, np.linalg.norm(R, axis=(-2, -1)), rtol=32 * EPS)


def test_residuals_of_known_value():
    assert frobenius_residuals(np.eye(3), np.eye(3)) == 0
    assert frobenius_residuals(2 * np.eye(2), np.eye(2)) == pytest.approx(math.sqrt(2), rel=EPS)
    A = np.array([[1.0, 3.0], [0.0, 1.0]])
    assert frobenius_residuals(A, np.eye(2)) == pytest.approx(3, rel=2 * EPS)


@pytest.mark.parametrize("size", [1e-200, 1e-320, 1e160, 1e300])
def test_residuals_whose_squares_leave_float64(size):
    """R has ``size`` as two of its entries, beside zeros."""
    A = np.eye(3)
    X = np.eye(3)
    X[0, 1] = X[2, 1] = size
    assert frobenius_residuals(A, X) == pytest.approx(math.sqrt(2) * size, rel=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e308])
def test_residuals_that_are_not_finite_are_infinite(value):
    A = 10 * np.ones((3, 2, 2))
    X = np.zeros((3, 2, 2))
    X[1, 0, 0] = value
    got = frobenius_residuals(A, X)
    np.testing.assert_array_equal(np.isinf(got), [False, True, False])
    assert (got > 0).all()


def test_residual_statistics_do_not_depend_on_blocks():
    values = np.random.default_rng(0).lognormal(0, 3, 1000)
    whole, parts = ResidualAccumulator(), ResidualAccumulator()
    whole.add(values.reshape(10, 100))
    for part in np.split(values, [1, 1, 17, 900]):
        parts.add(part)
    assert whole.statistics() == parts.statistics()
    np.testing.assert_array_equal(parts.values(), values)
    got = parts.statistics()
    assert got.max == values.max()
    assert got.below_one == np.mean(values < 1)
    ordered = np.sort(values)
    assert got.median == ordered[500]  # 0.5 * 999 = 499.5: the one above
    assert got.p99 == ordered[990]  # 0.99 * 999 = 989.01


def test_residual_statistics_by_hand():
    residuals = ResidualAccumulator()
    residuals.add(np.array([3.0, 1.0, 2.0]))
    assert residuals.statistics() == ResidualStatistics(2, 3, 3, 0)
    one = ResidualAccumulator()
    one.add(np.array(0.5))
    assert one.statistics() == ResidualStatistics(0.5, 0.5, 0.5, 1)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_residuals_that_failed_count_as_infinite(bad):
    residuals = ResidualAccumulator()
    residuals.add(np.array([0.1] * 50 + [bad] * 50))
    got = residuals.statistics()
    assert got.max == np.inf
    assert got.p99 == np.inf
    assert got.below_one == 0.5
    assert not math.isnan(got.median)
    few = ResidualAccumulator()
    few.add(np.array([0.1] * 999 + [bad]))
    assert few.statistics() == ResidualStatistics(0.1, 0.1, np.inf, 0.999)


def test_nothing_to_describe():
    with pytest.raises(ValueError, match="matrices"):
        ResidualAccumulator().statistics()
    with pytest.raises(ValueError, match="entries"):
        ErrorAccumulator().statistics()
    errors = ErrorAccumulator()
    errors.add(np.empty((0, 3, 3)), np.empty((0, 3, 3)))
    with pytest.raises(ValueError, match="entries"):
        errors.statistics()


# --- errors --------------------------------------------------------------------------------------


def test_errors_by_hand():
    """Targets 1, 2, 3, 4 (mean 2.5, squared deviations 5); errors 1, 0, -1, 2 (squares 6)."""
    target = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    prediction = np.array([[[2.0, 2.0], [2.0, 6.0]]])
    errors = ErrorAccumulator()
    errors.add(prediction, target)
    assert errors.statistics() == ErrorStatistics(r2=1 - 6 / 5, mse=1.5, mae=1.0, max_abs_error=2.0)
    perfect = ErrorAccumulator()
    perfect.add(target, target)
    assert perfect.statistics() == ErrorStatistics(1, 0, 0, 0)


@pytest.mark.parametrize("cuts", [[], [1], [500], [1, 2, 3, 999], [0, 0, 10, 10]])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_errors_do_not_depend_on_blocks(cuts, offset):
    """The offset would cancel 12 digits if squares were summed before subtracting the mean."""
    rng = np.random.default_rng(1)
    target = offset + rng.standard_normal((1000, 3, 3))
    prediction = target + 0.1 * rng.standard_normal((1000, 3, 3))
    got = accumulated(prediction, target, cuts)
    error = prediction - target
    spread = ((target - target.mean()) ** 2).sum()
    count = target.size
    tolerance = count * EPS * (1 + offset)
    assert got.r2 == pytest.approx(1 - (error**2).sum() / spread, abs=tolerance)
    assert got.mse == pytest.approx((error**2).mean(), rel=count * EPS)
    assert got.mae == pytest.approx(np.abs(error).mean(), rel=count * EPS)
    assert got.max_abs_error == np.abs(error).max()


def test_errors_of_float32_are_computed_in_float64():
    target = np.full((2, 2), 1 / 3)
    target[0, 0] = 1
    got = accumulated(target.astype(np.float32), target, [])
    assert got.max_abs_error == abs(float(np.float32(1 / 3)) - 1 / 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 5, 9])
def test_a_prediction_that_is_not_finite_spoils_every_figure(bad, at):
    target = np.arange(10.0)
    prediction = target.copy()
    prediction[at] = bad
    got = accumulated(prediction, target, [3, 6])
    assert not got.r2 > -math.inf  # NaN or -inf
    for value in got[1:]:
        assert not math.isfinite(value)


def test_targets_that_do_not_vary_have_no_r2():
    got = accumulated(np.array([1.0, 2.0]), np.array([1.0, 1.0]), [1])
    assert math.isnan(got.r2)
    assert got.mse == 0.5


# --- the sample ----------------------------------------------------------------------------------


def test_a_small_sample_is_everything_in_pairs():
    sample = EntrySample(size=100)
    target = np.arange(50.0).reshape(2, 5, 5)
    sample.add(target + 0.5, target)
    np.testing.assert_array_equal(np.sort(sample.targets), np.arange(50.0))
    np.testing.assert_array_equal(sample.predictions, sample.targets + 0.5)


def test_the_sample_is_bounded_and_its_pairs_stay_together():
    sample = EntrySample(size=1000)
    for block in range(30):
        target = np.arange(1000.0) + 1000 * block
        sample.add(-target, target)
        assert len(sample.targets) == len(sample.predictions) == 1000
    np.testing.assert_array_equal(sample.predictions, -sample.targets)
    assert len(np.unique(sample.targets)) == 1000


@pytest.mark.parametrize("sizes", [[20_000], [100] * 200, [19_000] + [10] * 100])
def test_the_sample_is_uniform(sizes):
    """Every entry has the same chance, wherever its block came: a chi-square of 20 classes.

    With 19 degrees of freedom it exceeds 43.8 with probability 1e-3; the seeds are fixed.
    """
    sample = EntrySample(size=4000, seed=5)
    start = 0
    for size in sizes:
        values = np.arange(start, start + size, dtype=float)
        sample.add(values, values)
        start += size
    assert start == 20_000
    observed = np.histogram(sample.targets, bins=20, range=(0, 20_000))[0]
    assert ((observed - 200) ** 2 / 200).sum() < 43.8


def test_the_sample_is_reproducible_and_depends_on_the_seed():
    def drawn(seed):
        sample = EntrySample(size=10, seed=seed)
        sample.add(np.arange(1000.0), np.arange(1000.0))
        return sorted(sample.targets)

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)
