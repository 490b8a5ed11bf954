"""The determinant filter, mixtures, and what sampling refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deepmatrixinversion.matrices.distributions import (
    DISTRIBUTIONS,
    NumpySource,
    _det_above,
    mixture,
    sample,
)
from random_sources import KINDS, draw, make_source, transposed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["uniform", "spectrum", "uniform+nearly_singular+toeplitz"])
def test_determinant_filter(kind, name):
    for count in (0, 1, 10, 1001):
        a, eps = draw(kind, name, count, 3, -2.0, 2.0, det_min=0.3)
        assert a.shape == (count, 3, 3)
        # 3 eps ‖A‖^3 bounds how two ways of computing a determinant differ.
        slack = 30 * eps * 6**3
        assert (np.abs(np.linalg.det(a)) > 0.3 - slack).all()


def test_filter_keeps_the_distribution_of_what_passes():
    """The kept matrices are the filtered stream, in order: nothing is skipped or repeated."""
    kept = draw("numpy64", "uniform", 500, 2, det_min=0.5)[0]
    rng = NumpySource(np.random.default_rng(0))
    stream = sample(rng, "uniform", 200_000, 2, -1.0, 1.0)
    passing = stream[np.abs(np.linalg.det(stream)) > 0.5][:500]
    np.testing.assert_array_equal(kept, passing)


@pytest.mark.parametrize(
    "kind, name, n, det_min",
    [
        ("numpy64", "low_rank", 3, 0.1),
        ("numpy64", "uniform+low_rank", 4, 0.1),
        ("numpy32", "uniform", 2, 3.0),
        ("torch64", "uniform", 2, 3.0),
        ("torch32", "uniform+low_rank", 1, 1e-30),
    ],
)
def test_hopeless_filters_say_so(kind, name, n, det_min):
    with pytest.raises(ValueError, match="det_min") as error:
        sample(make_source(kind), name, 4, n, -1.0, 1.0, det_min)
    assert f"{det_min:g}" in str(error.value)
    assert f"'{name.rpartition('+')[2]}'" in str(error.value)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 8])
def test_determinants_are_compared_rightly(n):
    a, eps = draw("numpy64", "uniform", 500, n)
    det = np.abs(np.linalg.det(a))
    slack = 4 * n * math.factorial(n) * eps  # n! products of n factors, each within 1
    for least in (1e-3, 0.1, 1.0):
        sure = np.abs(det - least) > slack
        assert sure.any()
        np.testing.assert_array_equal(_det_above(np, a, least)[sure], (det > least)[sure])


def test_a_determinant_that_overflows_passes():
    a, _ = draw("numpy64", "orthogonal", 2, 12, -1e100, 1e100, det_min=0.1)  # det = 1e1200
    assert a.shape == (2, 12, 12)


def test_rare_is_not_hopeless():
    # P(|u| > 0.999) = 1e-3 for order one.
    a = draw("numpy64", "uniform", 50, 1, det_min=0.999)[0]
    assert a.shape == (50, 1, 1)
    assert (np.abs(a) > 0.999).all()


@pytest.mark.parametrize("kind", ["numpy64", "torch32"])
def test_mixture_shares(kind):
    a, _ = draw(kind, "spd+low_rank+toeplitz", 11, 4)
    symmetric = (a == transposed(a)).all((-2, -1))
    toeplitz = (a[:, 1:, 1:] == a[:, :-1, :-1]).all((-2, -1))
    np.testing.assert_array_equal(symmetric, [True] * 4 + [False] * 7)
    np.testing.assert_array_equal(toeplitz, [False] * 8 + [True] * 3)
    assert draw(kind, "spd+low_rank+toeplitz", 2, 4)[0].shape == (2, 4, 4)


def test_names():
    assert mixture("uniform + spd") == ["uniform", "spd"]
    for bad in ("cauchy", "uniform+", "", "uniform+cauchy"):
        with pytest.raises(ValueError, match=r"'(cauchy)?'") as error:
            mixture(bad)
        assert all(name in str(error.value) for name in DISTRIBUTIONS)


@pytest.mark.parametrize(
    "count, n, low, high, det_min, word",
    [
        (-1, 3, -1, 1, 0, "count"),
        (1, 0, -1, 1, 0, "order"),
        (1, 3, 1, 1, 0, "min < max"),
        (1, 3, 1, -1, 0, "min < max"),
        (1, 3, -1, math.inf, 0, "finite"),
        (1, 3, math.nan, 1, 0, "finite"),
        (1, 3, -1, 1, -0.1, "det_min"),
        (1, 3, -1, 1, math.nan, "det_min"),
    ],
)
def test_bad_arguments(count, n, low, high, det_min, word):
    with pytest.raises(ValueError, match=word):
        sample(make_source("numpy64"), "uniform", count, n, low, high, det_min)
