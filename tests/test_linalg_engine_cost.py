"""What a certified inverse costs: products, memory, and no LAPACK."""

import warnings

import numpy as np
import pytest

from deepmatrixinversion.linalg.engine import invert
from deepmatrixinversion.linalg.pseudoinverse import pseudo_inverse
from engine_guesses import classical, inverse, sample

LAPACK = (
    *("inv", "solve", "pinv", "svd", "svdvals", "qr", "det", "slogdet", "eig", "eigh"),
    *("eigvals", "eigvalsh", "cholesky", "lstsq", "matrix_rank", "cond", "tensorinv"),
    *("tensorsolve", "norm", "matrix_norm"),
)


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("n", [2, 3, 8, 40, 100])
def test_singular_costs_a_bounded_number_of_products(n, monkeypatch):
    products = []
    multiply = np.matmul

    def counting(a, b, **options):
        if min(*a.shape[-2:], *b.shape[-2:]) == n:
            products.append(len(a))
        return multiply(a, b, **options)

    def free(S):
        return 1.001 * np.linalg.pinv(S)

    A = sample(n, k=1)
    monkeypatch.setattr(np, "matmul", counting)
    assert invert(A, free, 8).certificate.certified.all()
    regular = len(products)
    products.clear()
    A[0, -1] = A[0, 0]
    assert not invert(A, free, 8).certificate.certified.any()
    assert len(products) <= 3 * regular + 8


@pytest.mark.parametrize("n", [3, 40, 300])
def test_a_zero_matrix_does_not_go_the_long_way(n, monkeypatch):
    def refuse(*_arguments):
        raise AssertionError("the iteration from the transpose was asked")

    monkeypatch.setattr("deepmatrixinversion.linalg.attempts.from_transpose", refuse)
    result = inverse(np.zeros((n, n)))
    assert not result.certificate.certified
    assert not result.inverse.any()


def test_no_lapack(monkeypatch):
    def refuse(*_args, **_options):
        raise AssertionError("LAPACK was called")

    A, B = sample(3), sample(20, k=2)
    C = np.ones((2, 4, 4))
    for name in LAPACK:
        if hasattr(np.linalg, name):
            monkeypatch.setattr(np.linalg, name, refuse)
    for stack in (A, B):
        assert inverse(stack).certificate.certified.all()
    assert not inverse(C).certificate.certified.any()
    assert (pseudo_inverse(C).rank == 1).all()


def test_long_stacks_do_not_loop_over_matrices():
    calls = []

    def counting(S):
        calls.append(len(S))
        return classical(S)

    A = np.random.default_rng(4).uniform(-1, 1, (20_000, 3, 3))
    result = invert(A, counting, 3)
    assert sum(calls) == 20_000
    assert len(calls) <= 20
    assert result.certificate.certified.mean() > 0.999
