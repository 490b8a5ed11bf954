"""The compiled kernel on candidates that are given: proven, and their quality a matter of speed."""

from __future__ import annotations

import numpy as np
import pytest

from deepmatrixinversion import kernel
from deepmatrixinversion.kernel import complete_stack, invert_stack
from kernel_families import FAMILIES, bits, check_against_fractions

pytestmark = pytest.mark.skipif(not kernel.available(), reason="there is no kernel")


def near(A, residual, seed=0):
    """Candidates with I - A X of about such a Frobenius norm, by LAPACK."""
    E = np.random.default_rng(seed).standard_normal(A.shape)
    E *= residual / np.linalg.norm(E, axis=(1, 2), keepdims=True)
    return np.linalg.inv(A.astype(np.float64)) @ (np.eye(A.shape[-1]) - E)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9, 16, 17, 33, 64])
def test_candidates_with_two_digits_are_finished(instruction_set, n):
    A = np.random.default_rng(n).standard_normal((21, n, n))
    found = complete_stack(A, near(A, 1e-2))
    assert found.finished.all()
    exact = invert_stack(A).inverse
    scale = np.abs(exact).max(axis=(1, 2), keepdims=True)
    # Both are the inverse but for at most 2^-50 of its norm.
    assert (np.abs(found.inverse - exact) <= 2.0**-49 * n * scale).all()


@pytest.mark.parametrize("residual", [1e-3, 0.5, 1e3])
def test_bounds_hold_in_exact_arithmetic(instruction_set, residual):
    """Good candidates, poor ones and useless ones, of matrices of every kind."""
    rng = np.random.default_rng(1)
    for n in (1, 2, 4, 17):
        A = np.stack([family(n, rng) for family in FAMILIES[: None if n < 17 else 1]])
        with np.errstate(all="ignore"):
            X = near(np.where(np.isfinite(A), A, 0) + 1e-30 * rng.random(A.shape), residual)
        check_against_fractions(A, complete_stack(A, X), (instruction_set, n, residual))


@pytest.mark.parametrize("n", [3, 20])
def test_float32_matrices_and_candidates(n):
    A = np.random.default_rng(n).standard_normal((9, n, n)).astype(np.float32)
    found = complete_stack(A, near(A, 1e-3).astype(np.float32))
    assert found.inverse.dtype == np.float32
    assert found.finished.all()
    check_against_fractions(A[:2], complete_stack(A[:2], near(A[:2], 1e-3).astype(np.float32)), n)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, 1e300])
@pytest.mark.parametrize("n", [4, 16, 17])
def test_a_useless_candidate_harms_no_neighbour_and_no_proof(n, bad):
    """It is eliminated instead."""
    A = np.random.default_rng(n).standard_normal((11, n, n))
    X = near(A, 1e-3)
    X[5] = bad
    expected = complete_stack(A, near(A, 1e-3))
    found = complete_stack(A, X)
    assert found.finished.all()
    others = np.arange(11) != 5
    assert bits([f[others] for f in found]) == bits([f[others] for f in expected])
    np.testing.assert_allclose(found.inverse[5], expected.inverse[5], rtol=1e-9)


@pytest.mark.parametrize("n", [2, 16, 24])
def test_every_matrix_has_its_own_bits(instruction_set, n):
    A = np.random.default_rng(n).standard_normal((37, n, n))
    X = near(A, 1e-3)
    whole = complete_stack(A, X.copy(), threads=1)
    threaded = complete_stack(A, X.copy(), threads=3)
    backwards = complete_stack(A[::-1].copy(), X[::-1].copy(), threads=1)
    assert bits(threaded) == bits(whole) == bits([f[::-1] for f in backwards])
    for k in (0, 20, 36):
        alone = complete_stack(A[k : k + 1], X[k : k + 1].copy())
        assert bits(alone) == bits([f[k : k + 1] for f in whole])
