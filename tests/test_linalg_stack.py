"""Both layouts of a stack multiply alike, and no matrix's bits depend on its neighbours."""

import numpy as np
import pytest

from deepmatrixinversion.linalg.residual import residual
from deepmatrixinversion.linalg.stack import I, Stack, chunks

U = 2.0**-53
ORDERS = [1, 2, 3, 4, 5, 9]


def pair(n, k=6):
    return np.random.default_rng(n).standard_normal((2, k, n, n))


@pytest.mark.parametrize("n", ORDERS)
def test_arithmetic_is_that_of_the_matrices(n):
    A, B = pair(n)
    a, b = Stack.of(A), Stack.of(B)
    assert np.array_equal(a.matrices(), A)
    assert (len(a), a.order) == (6, n)
    bound = 2 * n * U * (np.abs(A) @ np.abs(B))
    assert (np.abs((a @ b).matrices() - A @ B) <= bound).all()
    assert np.array_equal((a + b).matrices(), A + B)
    assert np.array_equal((a - b).matrices(), A - B)
    assert np.array_equal(a.T.matrices(), A.swapaxes(1, 2))
    assert np.array_equal(abs(a).matrices(), np.abs(A))
    assert np.array_equal((I - a.copy()).matrices(), np.eye(n) - A)
    values = np.arange(6.0)
    assert np.array_equal(a.scaled(values).matrices(), A * values[:, None, None])
    assert np.allclose(a.norm(), np.linalg.norm(A, axis=(1, 2)), rtol=4 * n * U, atol=0)
    v = a.row_sums()
    assert np.allclose(v.T if a.last else v, np.abs(A).sum(2), rtol=2 * n * U, atol=0)
    (w,) = a.moduli(v)
    expected = np.einsum("kij,kj->ki", np.abs(A), np.abs(A).sum(2))
    assert np.allclose(w.T if a.last else w, expected, rtol=0, atol=n * n * 32 * U)
    assert np.allclose(a.largest(v), np.abs(A).sum(2).max(1), rtol=2 * n * U)


@pytest.mark.parametrize("n", ORDERS)
def test_taking_and_putting(n):
    A, B = pair(n)
    a, index = Stack.of(A), np.array([4, 1])
    assert np.array_equal(a[index].matrices(), A[index])
    a[index] = Stack.of(B)[index]
    A[index] = B[index]
    assert np.array_equal(a.matrices(), A)


@pytest.mark.parametrize("n", [*ORDERS, 33, 64])
def test_a_matrix_s_bits_do_not_depend_on_the_stack(n):
    A, B = pair(n, 37)
    a, b = Stack.of(A), Stack.of(B)
    for function in (
        lambda x, y: x @ y,
        *(lambda x, y, s=s: residual(x, y, s).r for s in (1, 2, 3)),
    ):
        whole = function(a, b)
        for i in (0, 17, 36):
            one = np.array([i])
            assert np.array_equal(function(a[one], b[one]).array, whole[one].array)
    assert np.array_equal(a[np.array([5])].norm(), a.norm()[5:6])


def test_chunks_cover_the_stack():
    covered = [i for part in chunks(1000, 7, doubles=500) for i in range(1000)[part]]
    assert covered == list(range(1000))
    assert list(chunks(2, 10_000)) == [slice(0, 1), slice(1, 2)]
