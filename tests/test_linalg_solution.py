"""Solutions: true errors in exact arithmetic, beside LAPACK's, and their bounds."""

from __future__ import annotations

import numpy as np
import pytest

import oracle
from deepmatrixinversion import SingularMatrixError, solve, solve_ex
from deepmatrixinversion.linalg.solution import System

flint = pytest.importorskip("flint")


def exact_error(A, B, Y):
    """The largest |A^-1 B - Y| of each column, exact rationals."""
    (M, e), (C, f), (Z, g) = map(oracle.integers, (A, B, Y))
    D = M.inv() * flint.fmpq_mat(C) * oracle.power(f - e)
    D = D - flint.fmpq_mat(Z) * oracle.power(g)
    return [max(abs(D[i, j]) for i in range(D.nrows())) for j in range(D.ncols())]


def integers_of(A):
    return oracle.integers(A)[0]


def near_singular(rng, n):
    """One row close to another: condition up to 1e13."""
    A = rng.standard_normal((n, n))
    A[-1] = A[0] + 10.0 ** rng.uniform(-12, -2) * rng.standard_normal(n)
    return A


def graded(rng, n):
    return rng.standard_normal((n, n)) * 10.0 ** np.linspace(0, -12, n)[:, None]


def mixed_units(rng, n):
    G = rng.standard_normal((2 * n, n))
    d = 10.0 ** rng.uniform(-8, 8, n)
    return (G.T @ G) * d * d[:, None]


def hilbert_like(rng, n):
    i = np.arange(min(n, 9))
    return 1.0 / (i + i[:, None] + rng.uniform(0.5, 1.5))


def columns_apart(rng, n):
    return rng.standard_normal((n, n)) * 10.0 ** rng.uniform(-8, 8, n)


def normal(rng, n):
    return rng.standard_normal((n, n))


FAMILIES = [normal, near_singular, graded, mixed_units, hilbert_like, columns_apart]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("family", FAMILIES)
def test_solutions_are_as_good_as_lapacks_or_as_their_dtype(family, dtype):
    rng = np.random.default_rng(11)
    u = float(np.finfo(dtype).eps) / 2
    ratios, certified = [], 0
    cases = [n for n in (1, 2, 3, 5, 8, 16) for _ in range(4)]
    for n in cases:
        A = family(rng, max(n, 2) if family is near_singular else n).astype(dtype)
        B = rng.standard_normal((len(A), 2)).astype(dtype)
        result = solve_ex(A, B)
        if integers_of(A).rank() < len(A):  # as the rounding to float32 may make it
            assert not result.certified.any()
            continue
        lapack = exact_error(A, B, np.linalg.solve(A, B))
        certified += result.certified.all()
        for j, error in enumerate(exact_error(A, B, result.solution)):
            bound = result.error_bound[j]
            assert bound == np.inf or error <= oracle.rational(bound)
            if result.certified[j]:
                size = oracle.rational(np.abs(result.solution[:, j]).max())
                assert error <= max(4 * lapack[j], oracle.rational(16 * u) * size)
                # The last rounding is the error, and so the bound.
                ratios.append(float(bound) / float(max(error, size * oracle.rational(u / 64))))
    assert np.median(ratios) <= 1.1
    if dtype == np.float64:
        assert certified == len(cases)


def test_the_corner_that_has_gone_wrong():
    A = np.array([[1, 0.5], [0.5, 0.25000002]])
    np.testing.assert_allclose(solve(A, [1.5, 0.75000002]), [1, 1], rtol=2.0**-52 * 8e7, atol=0)


def test_an_infinite_component_is_never_certified():
    result = solve_ex(1e-200 * np.eye(2), [1e200, 1])
    np.testing.assert_array_equal(result.solution, [np.inf, 1e200])
    assert not result.certified
    assert result.error_bound == np.inf
    both = solve_ex(1e-200 * np.eye(2), [[1e200, 1], [1, 1]])
    np.testing.assert_array_equal(both.certified, [False, True])
    with pytest.raises(SingularMatrixError, match="solve_ex"):
        solve(1e-200 * np.eye(2), [1e200, 1])


def test_a_right_hand_side_of_zeros_has_the_solution_zero():
    result = solve_ex(np.array([[3.0, 1], [1, 7]]), np.zeros((2, 2)))
    np.testing.assert_array_equal(result.solution, np.zeros((2, 2)))
    np.testing.assert_array_equal(result.error_bound, [0, 0])
    assert result.certified.all()
    assert not solve_ex(np.ones((2, 2)), np.zeros((2, 1))).certified.any()


@pytest.mark.parametrize("n", [1, 2, 5, 12, 40])
def test_residuals_lie_within_their_bounds(n):
    rng = np.random.default_rng(n)
    S = rng.uniform(-1, 1, (6, n, n)) / n
    h = rng.standard_normal((6, n, 2)) * 10.0 ** rng.uniform(-9, 9, (6, n, 1))
    low = h * rng.uniform(-(2.0**-53), 2.0**-53, h.shape)
    b = S @ h + S @ (h * 2.0**-50)  # a small residual: all that matters cancels
    r, D = System.of(S, np.zeros_like(S), b).residual(h, low)
    used = 0.0
    for M, v, w, c, got, bound in zip(S, h, low, b, r, D, strict=True):
        (P, e), (V, f), (W, g), (C, d), (R, q) = map(oracle.integers, (M, v, w, c, got))
        power, exact = oracle.power, flint.fmpq_mat
        E = exact(C) * power(d) - exact(P * V) * power(e + f) - exact(P * W) * power(e + g)
        E = E - exact(R) * power(q)
        for i, j in np.ndindex(got.shape):
            assert abs(E[i, j]) <= oracle.rational(bound[i, j])
            used = max(used, float(abs(E[i, j])) / bound[i, j])
    assert used > 2.0**-12  # no vacuous bound


@pytest.mark.parametrize("n", [2, 5, 33])
def test_solutions_do_not_depend_on_their_neighbours(n):
    rng = np.random.default_rng(n)
    A, B = rng.standard_normal((7, n, n)), rng.standard_normal((7, n, 3))
    A[3, -1] = A[3, 0] * (1 + 1e-13)
    A[5] *= 10.0 ** rng.uniform(-9, 9, n)
    whole = solve_ex(A, B)
    assert whole.certified[[0, 1, 2, 4, 5, 6]].all()
    for k in range(7):
        alone = solve_ex(A[k], B[k])
        for got, expected in zip(alone[:2], whole[:2], strict=True):
            np.testing.assert_array_equal(got, expected[k])
