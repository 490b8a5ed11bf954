"""Pseudo-inverses of full rank by certified inverses: against exact ones, and only where sure."""

from __future__ import annotations

import numpy as np
import pytest

import oracle
from deepmatrixinversion import kernel, pinv_ex
from deepmatrixinversion.linalg.full_rank import FAR, full_rank_inverses
from deepmatrixinversion.matrices.spectra import even_spectrum
from spectra_of_tests import with_pseudo_inverses

flint = pytest.importorskip("flint")
pytestmark = pytest.mark.skipif(not kernel.available(), reason="there is no kernel")

EPS = 2.0**-52


def exact_error(A, X):
    """‖A^+ - X‖max over ‖A^+‖max, A wide of full rank."""
    (M, e), (Y, f) = oracle.integers(A), oracle.integers(X)
    gram = flint.fmpq_mat((M * M.transpose()).inv())
    true = flint.fmpq_mat(M.transpose()) * gram * oracle.power(-e)
    difference = true - flint.fmpq_mat(Y) * oracle.power(f)
    return float(max(map(abs, difference.entries())) / max(map(abs, true.entries())))


@pytest.mark.parametrize(
    "shape", [(1, 1), (3, 3), (8, 8), (1, 4), (2, 5), (6, 8), (8, 20), (17, 18)]
)
@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4])
def test_they_are_the_pseudo_inverses(shape, condition):
    rng = np.random.default_rng(sum(shape))
    p, q = shape
    A, _ = with_pseudo_inverses(rng, even_spectrum(p, np.full(4, condition)), p, q)
    X, done = full_rank_inverses(A, np.full(4, q * EPS))
    assert done.sum() >= 3  # rows of uneven size are for more careful code
    kappa = condition if p > 1 else 1.0
    for a, x in zip(A[done], X[done], strict=True):
        assert exact_error(a, x) <= 4 * EPS
    result = pinv_ex(A)
    assert (result.rank == p).all()
    assert (result.penrose <= 16 * (p + q) * EPS * kappa).all()


@pytest.mark.parametrize("shape", [(3, 3), (3, 5)])
def test_nothing_is_sure_near_the_tolerance(shape):
    A, _ = with_pseudo_inverses(
        np.random.default_rng(0), even_spectrum(3, np.full(5, 100.0)), *shape
    )
    for rtol, sure in ((0.011, False), (0.009, False), (0.01 / FAR / 8, True)):
        _, done = full_rank_inverses(A, np.full(5, rtol))
        assert done.tolist() == [sure] * 5
        assert (pinv_ex(A, rtol=rtol).rank == (2 if rtol > 0.01 else 3)).all()


def test_what_is_not_of_full_rank_is_left():
    rng = np.random.default_rng(1)
    A = rng.standard_normal((4, 3, 5))
    A[1, 2] = A[1, 0] + A[1, 1]
    A[2] = 0
    A[3, 2] = A[3, 0] + A[3, 1] + 1e-9 * A[3, 2]
    _, done = full_rank_inverses(A, np.full(4, 5 * EPS))
    assert done.tolist() == [True, False, False, False]
    assert pinv_ex(A).rank.tolist() == [3, 2, 0, 3]
