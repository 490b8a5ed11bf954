"""Both layouts multiply alike, and the doubled residual is as accurate as it claims."""

from fractions import Fraction

import numpy as np
import pytest

from deepmatrixinversion.linalg.product import (
    batch_axis,
    chunks,
    doubled_residual,
    frobenius,
    from_layout,
    product,
    residual,
    take,
    to_layout,
)

U = 2.0**-53
ORDERS = [1, 2, 3, 4, 5, 9]


@pytest.mark.parametrize("n", ORDERS)
def test_layouts_round_trip_and_multiply(n):
    rng = np.random.default_rng(n)
    A, B = rng.standard_normal((2, 6, n, n))
    axis = batch_axis(n)
    a, b = to_layout(A, axis), to_layout(B, axis)
    assert np.array_equal(from_layout(a, axis), A)
    bound = 2 * n * U * (np.abs(A) @ np.abs(B))
    assert (np.abs(from_layout(product(a, b, axis), axis) - A @ B) <= bound).all()


@pytest.mark.parametrize("n", ORDERS)
def test_a_matrix_s_bits_do_not_depend_on_the_stack(n):
    rng = np.random.default_rng(n)
    A, B = rng.standard_normal((2, 37, n, n))
    axis = batch_axis(n)
    a, b = to_layout(A, axis), to_layout(B, axis)
    for function in (product, residual, doubled_residual):
        whole = function(a, b, axis)
        for i in (0, 17, 36):
            one = np.array([i])
            assert np.array_equal(
                function(take(a, one, axis), take(b, one, axis), axis), take(whole, one, axis)
            )
    assert np.array_equal(frobenius(take(a, np.array([5]), axis), axis), frobenius(a, axis)[5:6])


@pytest.mark.parametrize("n", [1, 2, 3, 5, 12])
def test_doubled_residual_against_rationals(n):
    rng = np.random.default_rng(n)
    A = rng.uniform(-1, 1, (n, n))
    X = np.linalg.inv(A)
    axis = batch_axis(n)
    R = from_layout(
        doubled_residual(to_layout(A[None], axis), to_layout(X[None], axis), axis), axis
    )
    size = np.linalg.norm(A) * np.linalg.norm(X)
    for i in range(n):
        for j in range(n):
            exact = Fraction(int(i == j)) - sum(
                Fraction(A[i, k]) * Fraction(X[k, j]) for k in range(n)
            )
            # Two tails of n products, each sum below 2^-25 sqrt(n) |A| |X| and rounded, and three
            # roundings of the whole.
            tail = 2.0**-24 * np.sqrt(n) * size
            sums = (n + 2) * U * tail + 3 * U * (abs(float(exact)) + tail)
            assert abs(Fraction(R[0, i, j]) - exact) <= Fraction(sums)


def test_chunks_cover_the_stack():
    covered = [i for part in chunks(1000, 7, doubles=500) for i in range(1000)[part]]
    assert covered == list(range(1000))
    assert list(chunks(2, 10_000)) == [slice(0, 1), slice(1, 2)]
