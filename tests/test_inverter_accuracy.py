"""Inverter: accuracy and scale, singular matrices, networks that fail."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from onnx import helper

from deepmatrixinversion import Inverter
from deepmatrixinversion.errors import SingularMatrixError
from models_for_tests import (
    graph,
    replace,
    residual_bound,
    well_conditioned,
)
from truth import residuals

EPS = np.finfo(np.float64).eps


def test_the_refined_residual_is_what_rounding_explains(invert):
    A = well_conditioned(2000)
    X = invert(A)
    assert (residuals(A, X) <= residual_bound(A, X)).all()
    # A^-1 - X = A^-1 (I - A X), and LAPACK's own error is of the same kind.
    truth = np.linalg.inv(A)
    error = np.linalg.norm(X - truth, axis=(1, 2))
    assert (error <= 2 * residual_bound(A, X) * np.linalg.norm(truth, axis=(1, 2))).all()


def test_refined_is_never_worse_than_raw(invert):
    rng = np.random.default_rng(1)
    A = np.concatenate(
        [
            rng.uniform(-1, 1, (2000, 3, 3)),
            # Of even rows and columns: what cannot be certified is compared as it is scaled.
            rng.uniform(0.5, 1, (500, 3, 1)) @ rng.uniform(-1, -0.5, (500, 1, 3)),
            1e-200 * rng.standard_normal((50, 3, 3)),
        ]
    )
    raw, refined = invert.guess(A), invert.inv_ex(A).inverse
    before, after = residuals(A, raw), residuals(A, refined)
    # The residuals compared inside are those of the scaled matrix: equal up to their rounding.
    assert (after <= before + residual_bound(A, raw) + residual_bound(A, refined)).all()


@pytest.mark.parametrize("exponent", [-1000, -500, -1, 1, 33, 1000])
def test_powers_of_two_change_no_bit(method, exponent):
    A = well_conditioned(50)
    with np.errstate(all="raise"):
        expected = np.ldexp(method(A), -exponent)
    np.testing.assert_array_equal(method(np.ldexp(A, exponent)), expected)


def test_matrices_of_all_scales_side_by_side(invert):
    A = well_conditioned(7)
    exponents = np.array([-1000, -300, 0, 1, 20, 500, 1000])
    X = invert(np.ldexp(A, exponents[:, None, None]))
    np.testing.assert_array_equal(X, np.ldexp(invert(A), -exponents[:, None, None]))


@pytest.mark.parametrize("factor", [1e-300, 1e-30, 7.0, 1e30, 1e300])
def test_scales_that_are_no_powers_of_two(invert, factor):
    A = factor * well_conditioned(50)
    X = invert(A)
    bound = residual_bound(A / factor, X * factor)
    assert (residuals(A, X) <= bound).all()


@pytest.mark.parametrize("value", [5e-324, 1e-310, 1e-308])
def test_an_inverse_beyond_float64_overflows_quietly(invert, value):
    """1/5e-324 is no float64; no warning, no NaN on the diagonal."""
    X = invert.inv_ex(value * np.eye(3)).inverse
    with np.errstate(over="ignore"):
        expected = 1 / np.float64(value)
    np.testing.assert_allclose(np.diagonal(X), expected, rtol=4 * EPS)


def test_an_inverse_beyond_float32_overflows_quietly(invert):
    X = invert.inv_ex(np.eye(3, dtype=np.float32) * np.float32(1e-44)).inverse
    assert X.dtype == np.float32
    assert np.isposinf(np.diagonal(X)).all()


@pytest.mark.parametrize(
    "A",
    [
        np.ones((3, 3)),
        np.diag([1.0, 1.0, 0.0]),
        np.arange(9.0).reshape(3, 3),
        np.arange(9.0).reshape(3, 3) * 2.0**900,
        np.arange(9.0).reshape(3, 3) * 2.0**-900,
        np.outer([1, 2, 3], [3, 0, 1]).astype(float),
        np.diag([1e-300, 0.0, 0.0]),
        np.eye(3, k=1),
    ],
    ids=lambda A: f"{A.ravel()[:4]}",
)
def test_a_singular_matrix_never_looks_good(method, A):
    r"""For singular A, \|I - A X\|F >= 1 whatever X: a left null vector of A is not moved."""
    X = method(A)
    assert np.isfinite(X).all()
    with np.errstate(over="ignore"):
        assert residuals(A, X) >= 1 - residual_bound(A, X)


def test_the_zero_matrix(invert):
    assert np.isfinite(invert.guess(np.zeros((3, 3)))).all()
    assert not invert.inv_ex(np.zeros((3, 3))).certificate.certified


def test_the_zero_matrix_has_a_finite_candidate(invert):
    assert np.isfinite(invert.inv_ex(np.zeros((3, 3))).inverse).all()


def test_singular_matrices_do_not_disturb_their_neighbours(invert):
    A = well_conditioned(9)
    mixed = A.copy()
    mixed[::2] = np.outer([1, 2, 3], [3, 0, 1])
    got = invert.inv_ex(mixed)
    np.testing.assert_array_equal(got.inverse[1::2], invert(A[1::2]))
    np.testing.assert_array_equal(got.certificate.certified, np.arange(9) % 2 == 1)
    with pytest.raises(SingularMatrixError, match=r"\[0, 2, 4, 6, 8\] of 9"):
        invert(mixed)


def test_a_network_that_gives_nan_fails_loudly(small, tmp_path):
    """Its matrices are inverted some other way or not certified: never a plausible answer."""
    broken = shutil.copytree(small, tmp_path / "broken")
    nan = helper.make_node("Log", ["minus"], ["nan"])
    minus = helper.make_tensor("minus", 1, [], [-1.0])
    nodes = [nan, helper.make_node("Mul", ["A", "nan"], ["X"])]
    replace(broken, "model.onnx", graph(nodes, initializers=[minus]))
    invert = Inverter.from_pretrained(broken)
    A = well_conditioned(4)
    assert not (residuals(A, invert.guess(A)) < 1).any()
    got = invert.inv_ex(A)
    X, certified = got.inverse, got.certificate.certified
    assert (residuals(A, X)[certified] <= residual_bound(A, X)[certified]).all()
