"""The compiled kernel: its bounds held against exact arithmetic, and how tight they are."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from deepmatrixinversion import kernel
from deepmatrixinversion.kernel import invert_stack
from deepmatrixinversion.matrices.spectra import with_condition
from kernel_families import FAMILIES, check_against_fractions, exact_inverse, norm

pytestmark = pytest.mark.skipif(not kernel.available(), reason="there is no kernel")

METHODS = kernel.METHODS
ORDERS = range(1, kernel.LARGEST_ORDER + 1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_bounds_hold_in_exact_arithmetic(family, method):
    rng = np.random.default_rng(1)
    for n in (1, 2, 3, 4, 5, 8, 17):
        A = np.stack([family(n, rng) for _ in range(12 if n < 6 else 2 if n < 17 else 1)])
        check_against_fractions(A, invert_stack(A, method), (family.__name__, n, method))


@pytest.mark.parametrize("method", METHODS)
def test_bounds_hold_for_every_instruction_set(instruction_set, method):
    rng = np.random.default_rng(2)
    for n in (1, 3, 6):
        A = np.stack([family(n, rng) for family in FAMILIES for _ in range(3)])
        check_against_fractions(A, invert_stack(A, method), (instruction_set, n, method))


@pytest.mark.parametrize("method", METHODS)
def test_float32_bounds_hold_in_exact_arithmetic(instruction_set, method):
    rng = np.random.default_rng(3)
    for n in (1, 2, 5, 17):
        A = rng.standard_normal((8 if n < 17 else 1, n, n)) * 2.0 ** rng.integers(-150, 120)
        A = A.astype(np.float32)
        result = invert_stack(A, method)
        assert result.inverse.dtype == np.float32
        check_against_fractions(A, result, (instruction_set, n, method))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_bounds_are_the_error_itself(n, method):
    """What is left of a finished inverse is its last rounding, and the bound is all but equal."""
    A = np.random.default_rng(n).standard_normal((21, n, n))
    result = invert_stack(A, method)
    ratios = []
    for a, x, bound in zip(A, result.inverse, result.error_bound, strict=True):
        true = exact_inverse(a)
        assert true is not None
        error = norm([[true[i][j] - Fraction(float(x[i, j])) for j in range(n)] for i in range(n)])
        ratios.append(Fraction(float(bound)) / error)
    assert min(ratios) >= 1
    assert sorted(ratios)[10] < 1.05


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", ORDERS)
def test_normal_matrices_are_finished(instruction_set, n, method):
    """Errors at most four times LAPACK's, or sixteen roundings; bounds within those."""
    rng = np.random.default_rng(n)
    A = rng.standard_normal((20, n, n))
    result = invert_stack(A, method)
    assert result.finished.all()
    assert (result.relative_error_bound <= 2.0**-50).all()
    assert (result.residual_bound < 1e-9).all()
    scale = np.abs(result.inverse).sum(axis=2).max(axis=1)
    difference = np.abs(result.inverse - np.linalg.inv(A)).sum(axis=2).max(axis=1)
    assert (difference <= 1e-10 * scale).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [2, 8, 16, 32])
def test_a_given_condition_number_is_proven(n, method):
    rng = np.random.default_rng(n)
    for condition in (1e4, 1e8, 1e12):
        result = invert_stack(with_condition(rng, n, np.full(16, condition)), method)
        assert (result.relative_error_bound <= 2.0**-50).all(), condition
        assert result.finished.all() or condition == 1e12


def test_graded_matrices_are_finished():
    rng = np.random.default_rng(0)
    for n in (2, 5, 12, 20):
        A = rng.standard_normal((16, n, n)) * np.exp2(rng.integers(-40, 40, (16, n, 1)))
        A = A * np.exp2(rng.integers(-40, 40, (16, 1, n)))
        assert invert_stack(A).finished.all()


def test_float32_stacks_are_finished():
    A = np.random.default_rng(0).standard_normal((100, 7, 7)).astype(np.float32)
    result = invert_stack(A)
    assert result.finished.all()
    assert (result.relative_error_bound <= 2.0**-21).all()


def test_float32_results_that_overflow_are_not_proven():
    A = np.full((1, 1, 1), 1e-42, dtype=np.float32)
    result = invert_stack(A)
    assert np.isnan(result.inverse).all()
    assert result.error_bound[0] == np.inf
    assert not result.finished[0]
