"""Pseudo-inverses of every shape and rank."""

import warnings

import numpy as np
import pytest

from deepmatrixinversion.linalg.pseudoinverse import largest_singular_value, pseudo_inverse
from deepmatrixinversion.matrices.spectra import even_spectrum, singular_vectors
from spectra_of_tests import with_pseudo_inverses

U = 2.0**-53


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def of_rank(rng, k, p, q, r, smallest):
    """Stacks (k, p, q) of rank r with sigma from 1 to ``smallest``, and their pseudo-inverses."""
    return with_pseudo_inverses(rng, even_spectrum(r, np.full(k, 1 / smallest)), p, q)


def r2(predicted, true):
    return 1 - ((predicted - true) ** 2).sum() / ((true - true.mean()) ** 2).sum()


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 5), (5, 2), (8, 8), (20, 12), (64, 64)])
@pytest.mark.parametrize("smallest", [1.0, 1e-3, 1e-6])
def test_rank_and_pseudo_inverse(shape, smallest):
    rng = np.random.default_rng(sum(shape))
    p, q = shape
    for r in sorted({0, 1, min(shape) // 2, min(shape) - 1, min(shape)}):
        A, true = of_rank(rng, 6, p, q, r, smallest)
        result = pseudo_inverse(A)
        assert (result.rank == r).all()
        assert result.pseudoinverse.shape == (6, q, p)
        kappa = 1 / smallest if r > 1 else 1.0
        size = np.linalg.norm(true, axis=(1, 2))
        error = np.linalg.norm(result.pseudoinverse - true, axis=(1, 2))
        # A itself was rounded, up to some n u, and pinv changes by 2 kappa times that.
        assert (error <= 8 * (p + q) * U * kappa * size).all()
        assert (result.penrose <= 16 * (p + q) * U * kappa).all()


@pytest.mark.parametrize("r", [1, 2])
def test_the_reference_s_singular_kind(r):
    rng = np.random.default_rng(r)
    A = rng.uniform(-1, 1, (4000, 3, r)) @ rng.uniform(-1, 1, (4000, r, 3))
    result = pseudo_inverse(A)
    true = np.linalg.pinv(A, rcond=3 * 2 * U)
    assert r2(result.pseudoinverse, true) >= 0.99999
    assert np.array_equal(result.rank, np.linalg.matrix_rank(A))
    assert (result.rank == r).all()


def test_exactly_singular_integers():
    rng = np.random.default_rng(0)
    A = (rng.integers(-9, 10, (500, 6, 3)) @ rng.integers(-9, 10, (500, 3, 6))).astype(float)
    assert np.array_equal(pseudo_inverse(A).rank, np.linalg.matrix_rank(A))


def test_tolerance_is_sharp():
    sigma = np.array([1, 0.5, 0.1, 1.2e-3, 0.8e-3, 1e-5, 1e-9, 1e-12, 1e-14])
    (left,), (right,) = singular_vectors(np.random.default_rng(1), 1, 9, 9, 9)
    A = (left * sigma) @ right
    for rtol in (0.3, 1e-2, 1e-3, 1e-4, 1e-7, 1e-10, 1e-13):
        result = pseudo_inverse(A, rtol=rtol)
        kept = sigma > rtol
        assert result.rank == kept.sum()
        true = (right[kept].T / sigma[kept]) @ left[:, kept].T
        error = np.linalg.norm(result.pseudoinverse - true)
        gap = sigma[kept].min()
        assert error <= 64 * 9 * U / gap * np.linalg.norm(true)


def test_inverse_where_there_is_one():
    A = np.random.default_rng(2).standard_normal((50, 4, 4))
    X = pseudo_inverse(A).pseudoinverse
    kappa = np.linalg.norm(A, axis=(1, 2)) * np.linalg.norm(X, axis=(1, 2))
    assert (np.linalg.norm(A @ X - np.eye(4), axis=(1, 2)) <= 16 * U * kappa).all()


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
def test_scale(scale):
    rng = np.random.default_rng(3)
    A, true = of_rank(rng, 4, 5, 5, 3, 1e-2)
    scaled = pseudo_inverse(A * scale)
    assert (scaled.rank == 3).all()
    assert r2(scaled.pseudoinverse * scale, true) >= 0.99999


def test_laws():
    rng = np.random.default_rng(4)
    A, _ = of_rank(rng, 5, 6, 4, 2, 0.1)
    X = pseudo_inverse(A).pseudoinverse
    back = pseudo_inverse(X).pseudoinverse
    assert np.abs(back - A).max() <= 64 * 10 * U * 10
    turned = pseudo_inverse(A.swapaxes(1, 2)).pseudoinverse
    assert np.abs(turned - X.swapaxes(1, 2)).max() <= 64 * 10 * U * 10 * np.abs(X).max()


def test_neighbours_are_undisturbed():
    rng = np.random.default_rng(5)
    A, _ = of_rank(rng, 9, 7, 7, 4, 1e-3)
    clean = pseudo_inverse(A)
    B = A.copy()
    B[::2] = rng.standard_normal((5, 7, 7))
    B[0] = 0.0
    dirty = pseudo_inverse(B)
    for one, two in zip(dirty, clean, strict=True):
        assert np.array_equal(one[1::2], two[1::2])


def test_float32_and_shapes():
    rng = np.random.default_rng(6)
    A, true = of_rank(rng, 6, 5, 3, 2, 0.1)
    result = pseudo_inverse(A.astype(np.float32).reshape(2, 3, 5, 3))
    assert result.pseudoinverse.dtype == np.float32
    assert result.pseudoinverse.shape == (2, 3, 3, 5)
    assert (result.rank == 2).all()
    assert r2(result.pseudoinverse.reshape(6, 3, 5), true) >= 0.99999
    for shape in [(0, 0), (0, 3), (3, 0), (2, 0, 4), (0, 3, 2)]:
        empty = pseudo_inverse(np.empty(shape))
        assert empty.pseudoinverse.shape == (*shape[:-2], shape[-1], shape[-2])
        assert empty.penrose.shape == (*shape[:-2], 4)
        assert not empty.rank.any()


def test_bad_input_is_refused():
    for A, rtol in [
        (np.ones(3), None),
        (np.ones((2, 2), dtype=int), None),
        (np.ones((2, 2)), -1.0),
        (np.ones((2, 2)), [1e-3, 1e-3]),
        (np.ones((2, 2)), np.nan),
    ]:
        with pytest.raises(ValueError):
            pseudo_inverse(A, rtol)


def test_largest_singular_value_is_a_tight_upper_bound():
    rng = np.random.default_rng(7)
    for n in (1, 4, 30):
        A = rng.standard_normal((20, n, n))
        sigma = np.linalg.norm(A, 2, axis=(1, 2))
        bound = largest_singular_value(A)
        assert (bound >= sigma * (1 - 64 * n * U)).all()
        assert (bound <= sigma * n ** (1 / 128) * (1 + 64 * n * U)).all()
