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
    X = undo(np.linalg.inv(mixed), left, right)
    error = np.linalg.norm(X @ A - np.eye(n), axis=(1, 2))
    kappa = np.linalg.norm(A, axis=(1, 2)) * np.linalg.norm(X, axis=(1, 2))
    assert (error <= 40 * n * U * kappa).all()


def test_leading_blocks_become_nonsingular():
    n = 32
    swap = np.roll(np.eye(n), n // 2, axis=0)
    mixed, _, _ = transform(swap[None], seed=0)
    for size in range(1, n):
        assert np.linalg.matrix_rank(swap[:size, :size]) < size or size > n // 2
        assert np.linalg.matrix_rank(mixed[0, :size, :size]) == size


def test_odd_orders_are_refused():
    with pytest.raises(ValueError, match="even"):
        random_butterfly(5, np.random.default_rng(0))
