"""Every digit of the certified inverse, and bounds that are the last rounding."""

import warnings

import numpy as np
import pytest

from deepmatrixinversion.matrices.spectra import with_condition
from engine_guesses import U, inverse

flint = pytest.importorskip("flint")


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


NEAR_SINGULAR = {
    "2x2": [[1, 0.5], [0.5, 0.25000002]],
    "graded 2x2": [[1e-8, 1], [1e-16, 1e-8 + 1e-20]],
    "three nearly equal rows": [[1, 1, 1], [1, 1 + 2**-40, 1], [1, 1, 1 - 2**-41]],
    "reversal": np.eye(9)[::-1],
    "mixed units": np.diag([1e8, 1, 1e-8])
    @ [[2, 1, 0.5], [1, 2, 1], [0.5, 1, 2]]
    @ np.diag([1e8, 1, 1e-8]),
    "similarity": np.diag([2.0**30, 1, 2.0**-30])
    @ [[2, 1, 3], [1, 5, 1], [7, 1, 2]]
    @ np.diag([2.0**-30, 1, 2.0**30]),
}


@pytest.mark.parametrize("name", NEAR_SINGULAR)
@pytest.mark.parametrize("order", [1, 3, 12])
def test_every_digit_is_right(name, order):
    """Each entry is correctly rounded or nearly so, by exact arithmetic.

    What cancels to next to nothing beside its row and column is right to 2^-60 of them.
    """
    A = np.array(NEAR_SINGULAR[name], dtype=float)
    n = len(A)
    result = inverse(A, order=order)
    assert result.certificate.certified
    rational = [flint.fmpq(*map(int, float(x).as_integer_ratio())) for x in A.ravel()]
    truth = flint.fmpq_mat(n, n, rational).inv()
    X = np.abs(result.inverse)
    size = 2.0**-60 * np.sqrt(X.max(axis=1, keepdims=True) * X.max(axis=0))
    for i in range(n):
        for j in range(n):
            x, slack = (
                flint.fmpq(*map(int, float(v).as_integer_ratio()))
                for v in (result.inverse[i, j], size[i, j])
            )
            error = abs(truth[i, j] - x)
            assert error <= abs(truth[i, j]) * flint.fmpq(1, 1 << 52) + slack


@pytest.mark.parametrize("n", [5, 20, 64, 100, 128])
@pytest.mark.parametrize("kappa", [1e2, 1e6, 1e10])
def test_bounds_are_the_last_rounding(n, kappa):
    # Above order 64 that much has to be asked for.
    rtol = 2.0**-50 if n > 64 else None
    proof = inverse(with_condition(np.random.default_rng(n), n, kappa), rtol=rtol).certificate
    assert proof.certified
    assert proof.relative_error_bound <= 1.125 * U


def test_structural_zeros_are_exact():
    rng = np.random.default_rng(0)
    rotation = with_condition(rng, 3, 1.0)
    rigid = np.block([[rotation, rng.standard_normal((3, 1))], [np.zeros((1, 3)), np.eye(1)]])
    blocks = np.zeros((7, 7))
    blocks[:3, :3], blocks[3:, 3:] = rng.standard_normal((3, 3)), rng.standard_normal((4, 4))
    p = rng.permutation(7)
    for A in (rigid, np.triu(rng.standard_normal((6, 6))), blocks, blocks[p][:, p]):
        result = inverse(A)
        assert result.certificate.certified
        truth = np.linalg.inv(A)
        zero = np.abs(truth) < 1e-14
        assert zero.any()
        assert (result.inverse[zero] == 0).all()
        assert not np.signbit(result.inverse[zero]).any()
    assert inverse(rigid).inverse[3].tolist() == [0, 0, 0, 1]
    # A small entry that is there stays.
    tiny = np.array([[1.0, 2.0**-40], [0.0, 1.0]])
    assert inverse(tiny).inverse.tolist() == [[1.0, -(2.0**-40)], [0.0, 1.0]]


def test_the_right_residual_is_as_small_as_the_left():
    A = np.random.default_rng(4).normal(size=(160, 160))
    X, Y = inverse(A, order=8).inverse, np.linalg.inv(A)
    for left in (True, False):
        ours, theirs = (
            np.abs(np.eye(160) - (Z @ A if left else A @ Z)).sum(axis=1).max() for Z in (X, Y)
        )
        assert ours <= 2 * theirs
