"""Given inverses certified and systems solved by the compiled kernel, in exact arithmetic."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

import pairs_of_matrices as pairs
from deepmatrixinversion import certify, kernel, solve, solve_ex
from deepmatrixinversion.kernel import certify_stack, invert_stack, solve_stack
from deepmatrixinversion.kernel.pairs import StackProof
from deepmatrixinversion.matrices.spectra import with_condition
from kernel_families import bits, even_lines, near_singular, random

flint = pytest.importorskip("flint")
pytestmark = pytest.mark.skipif(not kernel.available(), reason="there is no kernel")

ORDERS = (1, 2, 3, 5, 8, 16, 17)


@pytest.mark.parametrize("n", ORDERS)
def test_bounds_of_given_inverses_hold(instruction_set, n):
    A, X = pairs.candidates(n, 1)
    found = certify_stack(A, X)
    assert found.settled.mean() > 0.3
    assert pairs.violations_of_pairs(A, X, found) == []


@pytest.mark.parametrize("n", [24, 33, 64])
def test_bounds_of_given_inverses_hold_for_larger_orders(n):
    A = with_condition(np.random.default_rng(n), n, np.array([1e2, 1e9])[: 2 - n // 64])
    X = np.linalg.inv(A)
    found = certify_stack(A, X)
    assert found.settled.all()
    assert pairs.violations_of_pairs(A, X, found) == []


@pytest.mark.parametrize("method", kernel.METHODS)
@pytest.mark.parametrize("n", [17, 24, 33, 64])
def test_bounds_of_the_kernel_s_own_inverses_hold_for_larger_orders(n, method):
    rng = np.random.default_rng(n)
    A = np.stack([random(n, rng), near_singular(n, rng), with_condition(rng, n, 1e7)])
    A = A[2 * (n >= 64) :]  # fewer where exact arithmetic takes long
    found = invert_stack(A, method)
    assert found.finished.any()
    proof = StackProof(*found[1:4], found.finished)
    assert pairs.violations_of_pairs(A, found.inverse, proof) == []


@pytest.mark.parametrize("n", ORDERS)
def test_settled_bounds_are_the_error_itself(n):
    A = np.random.default_rng(n).standard_normal((12, n, n))
    X = np.linalg.inv(A)
    found = certify_stack(A, X)
    assert found.settled.sum() >= 10
    for a, x, bound, settled in zip(A, X, found.error_bound, found.settled, strict=True):
        proof = pairs.exact_errors_of_pair(a, x)
        assert proof is not None
        assert not settled or bound <= 1.08 * float(proof[0]) + 2.0**-57 * proof[1]


@pytest.mark.parametrize("n", ORDERS)
def test_solutions_lie_within_their_bounds(instruction_set, n):
    systems = pairs.systems(n, 2)
    Y, bound = solve_stack(*systems)
    assert np.isfinite(bound).mean() > 0.3
    assert pairs.violations_of_solutions(*systems, Y, bound) == []


@pytest.mark.parametrize("n", [24, 33, 64])
def test_solutions_of_larger_orders_lie_within_their_bounds(n):
    rng = np.random.default_rng(n)
    A, B = with_condition(rng, n, np.array([1e2, 1e9])), rng.standard_normal((2, n, 2))
    found = invert_stack(A)
    Y, bound = solve_stack(A, found.inverse, found.error_bound, B)
    assert np.isfinite(bound).all()
    assert pairs.violations_of_solutions(A, found.inverse, found.error_bound, B, Y, bound) == []


@pytest.mark.parametrize("n", [1, 2, 5, 8, 16, 33])
def test_solutions_are_their_last_rounding(n):
    """So none can be more accurate, and the bound is all but the error."""
    rng = np.random.default_rng(n)
    for condition in (1e1, 1e6, 1e9):
        A = with_condition(rng, n, np.full(6, condition if n > 1 else 1.0))
        B = rng.standard_normal((6, n, 2))
        found = invert_stack(A)
        Y, bound = solve_stack(A, found.inverse, found.error_bound, B)
        top = np.abs(Y).max(axis=1)
        done = found.settled & even_lines(A)
        assert (bound <= 2.0**-53 * (1 + 2.0**-3) * top)[done].all()
        assert done.sum() >= 4


@pytest.mark.parametrize("n", [1, 3, 8, 17])
def test_systems_have_their_own_bits(instruction_set, n):
    """Whatever stands beside them, side by side or alone, however many columns and threads."""
    rng = np.random.default_rng(n)
    A, B = rng.standard_normal((21, n, n)), rng.standard_normal((21, n, 5))
    A[3], B[4, 0], B[5, 0, 1] = np.nan, np.inf, 0.0
    if n > 1:
        A[6, 0] = A[6, 1]
    found = invert_stack(A)
    whole = solve_stack(A, found.inverse, found.error_bound, B)
    many = [np.concatenate([M] * 400) for M in (A, found.inverse, found.error_bound, B)]
    parallel = solve_stack(*many, threads=3)
    assert bits(f[-21:] for f in parallel) == bits(whole)
    proofs = certify_stack(A, found.inverse)
    assert bits(f[-21:] for f in certify_stack(many[0], many[1], threads=3)) == bits(proofs)
    for k in (0, 2, 3, 6, 20):
        one = slice(k, k + 1)
        alone = solve_stack(A[one], found.inverse[one], found.error_bound[one], B[one])
        assert bits(alone) == bits(f[one] for f in whole)
        assert bits(certify_stack(A[one], found.inverse[one])) == bits(f[one] for f in proofs)
        again = solve_stack(A[one], found.inverse[one], found.error_bound[one], B)
        assert bits(f[one] for f in again) == bits(alone)
        for c in range(5):
            column = np.ascontiguousarray(B[:, :, c : c + 1])
            Y, bound = solve_stack(A, found.inverse, found.error_bound, column)
            assert bits((Y[k, :, 0], bound[k, 0])) == bits((whole[0][k, :, c], whole[1][k, c]))
    assert np.isinf(whole[1][[3, 4], 0]).all()


def test_a_column_of_zeros_is_solved_exactly():
    A = np.random.default_rng(0).standard_normal((3, 4, 4))
    B = np.zeros((3, 4, 2))
    B[:, 0, 1] = 1
    found = invert_stack(A)
    Y, bound = solve_stack(A, found.inverse, found.error_bound, B)
    assert (bound[:, 0] == 0).all()
    assert (Y[:, :, 0] == 0).all()
    assert (bound[:, 1] > 0).all()


def test_one_system_is_served_or_declined():
    rng = np.random.default_rng(0)
    A, b, B = rng.standard_normal((8, 8)), rng.standard_normal(8), rng.standard_normal((8, 3))
    for right in (b, B):
        found = kernel.solve_one(A, right)
        assert found is not None
        inverse = invert_stack(A[None])
        Y, bound = solve_stack(A[None], *inverse[:2], right.reshape(1, 8, -1))
        assert bits((found.solution, found.error_bound)) == bits((Y, bound))
        assert bits((found.inverse, found.proof)) == bits((inverse[0], np.ravel(inverse[1:4])))
        np.testing.assert_array_equal(solve(A, right), found.solution)
        whole = solve_ex(A[None], right.reshape(1, 8, -1))
        one = solve_ex(A, right)
        assert bits((one.solution, one.error_bound)) == bits((Y, bound))
        assert one.relative_error_bound.shape == one.certified.shape == right.shape[1:]
        assert (one.relative_error_bound <= whole.relative_error_bound[0] * (1 + 1e-15)).all()
        assert type(one.error_bound) is type(one.certified) is np.ndarray
    declined = [(A.T, b), (A, B[:, ::2]), (A, b[:7]), (A, B[None]), (A, np.empty((8, 0)))]
    declined += [(A, b.astype(int)), (A.astype(np.float32), b), (A + 0j, b), (A[:7], b)]
    declined += [(A, np.full(8, np.nan)), (A, b * 2.0**-900), (np.ones((8, 8)), b)]
    assert [kernel.solve_one(*pair) for pair in declined] == [None] * len(declined)
    assert not solve_ex(A, b, rtol=1e-17).certified


def test_rounding_modes_of_the_caller_certify_nothing_here():
    libm = ctypes.CDLL(None)
    if not hasattr(libm, "fesetround"):
        pytest.skip("no fesetround")
    A = np.random.default_rng(0).standard_normal((4, 3, 3))
    before, expected = libm.fegetround(), bits(certify_stack(A, A))
    upward = 0x800 if pairs.X86 else 0x400000
    libm.fesetround(upward)
    try:
        found = bits(certify_stack(A, A))
        with pytest.warns(RuntimeWarning, match="round to nearest"):
            proof = certify(A, A, rtol=np.inf)
    finally:
        libm.fesetround(before)
    assert found == expected
    assert not proof.certified.any()


def test_the_errors_are_what_they_should_be():
    A = np.array([[2.0, 1.0], [1.0, 3.0]])
    assert pairs.exact_errors_of_pair(A, np.eye(2) * 0.5) == (flint.fmpq(3, 10), 0.5, 1)
    assert pairs.exact_errors_of_pair(np.ones((2, 2)), A) is None
