"""Butterflies are orthogonal, mix everything, and are undone."""

import numpy as np
import pytest

from deepmatrixinversion.linalg.butterfly import (
    apply_butterfly,
    random_butterfly,
    transform,
    undo,
)

U = 2.0**-53


@pytest.mark.parametrize("n", [2, 4, 6, 10, 16, 50])
def test_orthogonal_and_dense(n):
    W = random_butterfly(n, np.random.default_rng(n))
    dense = apply_butterfly(W, np.eye(n))
    layers = len(W.cosine)
    assert np.abs(dense.T @ dense - np.eye(n)).max() <= 4 * (n + layers) * U
    assert (dense != 0).all()
    assert np.abs(apply_butterfly(W, dense, transpose=True) - np.eye(n)).max() <= 8 * layers * U


@pytest.mark.parametrize("n", [2, 8, 30])
def test_transform_is_undone(n):
    rng = np.random.default_rng(n)
    A = rng.standard_normal((3, n, n))
    mixed, left, right = transform(A, seed=7)
    again, _, _ = transform(A, seed=7)
    assert np.array_equal(mixed, again)
    X = undo(np.linalg.inv(mixed).astype(float), left, right)
    error = np.linalg.norm(X @ A - np.eye(n), axis=(1, 2))
    kappa = np.linalg.norm(A, axis=(1, 2)) * np.linalg.norm(X, axis=(1, 2))
    assert (error <= 40 * n * U * kappa).all()


@pytest.mark.parametrize("matrix", ["swap", "reversal", "permutation", "Hadamard"])
@pytest.mark.parametrize("n", [16, 20, 32])
def test_leading_blocks_become_nonsingular(matrix, n):
    i = np.arange(n)
    bits = np.array([[bin(a & b).count("1") for a in range(n)] for b in range(n)])
    A = {
        "swap": np.roll(np.eye(n), n // 2, axis=0),
        "reversal": np.eye(n)[::-1],
        "permutation": np.eye(n)[np.random.default_rng(n).permutation(n)],
        "Hadamard": (-1.0) ** bits if n & (n - 1) == 0 else np.eye(n)[i ^ 1],
    }[matrix]
    mixed, _, _ = transform(A[None], seed=0)
    for size in range(1, n):
        assert np.linalg.matrix_rank(mixed[0, :size, :size]) == size


def test_odd_orders_are_refused():
    with pytest.raises(ValueError, match="even"):
        random_butterfly(5, np.random.default_rng(0))
