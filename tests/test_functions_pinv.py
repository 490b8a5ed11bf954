"""pinv and pinv_ex: Penrose, ranks and tolerances."""

from __future__ import annotations

import numpy as np
import pytest

from deepmatrixinversion import (
    inv_ex,
    pinv,
    pinv_ex,
)
from deepmatrixinversion.matrices.spectra import with_singular_values
from menagerie import RNG, SMALL
from truth import DTYPES, EPS, kappa, norm, sample


def factors(dtype, p, q, r, rng):
    """A matrix of exact rank r with small Gaussian integers, and its factors."""
    B, C = (np.rint(3 * sample(dtype, s, rng)).astype(dtype) for s in ((p, r), (r, q)))
    return B @ C


PINV_SHAPES = [(1, 1), (1, 4), (5, 1), (2, 2), (3, 3), (3, 5), (6, 4), (8, 8), (20, 7), (16, 30)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p, q", PINV_SHAPES)
def test_pseudo_inverses(dtype, p, q):
    rng = np.random.default_rng([p, q])
    eps = float(np.finfo(dtype).eps)
    for r in sorted({0, 1, min(p, q) // 2, min(p, q)}):
        A = factors(dtype, p, q, r, rng)
        result = pinv_ex(A)
        X = result.pseudoinverse
        assert X.shape == (q, p)
        assert X.dtype == dtype
        rank = np.linalg.matrix_rank(A.astype(np.complex128))
        assert result.rank == rank
        assert result.rank.shape == ()
        sigma = np.linalg.svd(A.astype(np.complex128), compute_uv=False)
        k = sigma[0] / sigma[rank - 1] if rank else 1.0
        tolerance = 8 * max(p, q) * eps * k
        assert (result.penrose <= tolerance).all()
        AX, XA = A @ X, X @ A
        size = np.linalg.norm
        assert size(AX @ A - A) <= tolerance * size(A)
        assert size(XA @ X - X) <= tolerance * size(X)
        assert size(AX - AX.conj().T) <= tolerance * max(size(AX), 1)
        assert size(XA - XA.conj().T) <= tolerance * max(size(XA), 1)
        # The pseudo-inverse's condition number is k^2 in general, k for kept rank (Wedin 1973).
        again = pinv_ex(X, rtol=max(p, q) * 4 * eps if r else None)
        assert again.rank == rank
        assert size(again.pseudoinverse - A) <= 3 * k * tolerance * max(size(A), eps)


def test_the_tolerance_decides_the_rank():
    A = with_singular_values(RNG, np.array([1.0, 1e-2, 1e-5, 1e-9]))
    for B in (A, A + 0j, np.vstack([A, 0 * A]), A[:, :, None].swapaxes(1, 2).reshape(4, 4).T):
        for rtol, rank in ((None, 4), (1e-12, 4), (1e-7, 3), (1e-3, 2), (0.5, 1), (0, 4)):
            assert pinv_ex(B, rtol=rtol).rank == rank
    for rtol in (1.0, 2.0, np.inf):
        assert pinv_ex(A, rtol=rtol).rank == 0
        assert not pinv(A, rtol=rtol).any()
    both = pinv_ex(np.stack([A, A]), rtol=[1e-7, 1e-3])
    assert both.rank.tolist() == [3, 2]
    np.testing.assert_array_equal(pinv(A, 1e-3), pinv(A, rtol=1e-3))
    with pytest.raises(ValueError, match="does not fit"):
        pinv(np.stack([A, A]), rtol=[0.1, 0.2, 0.3])
    for rtol in (-1e-3, np.nan):
        with pytest.raises(ValueError, match="rtol"):
            pinv(A, rtol=rtol)


def test_the_default_tolerance_is_numpys_for_complex_matrices_too():
    n = 8
    for factor, kept in ((0.4, False), (1.6, True)):  # of max(m, n) eps; 1.6 is below that of 2n
        A = np.eye(n)
        A[-1, -1] = factor * n * EPS
        for B in (A, 1j * A):
            assert pinv_ex(B).rank == n - (not kept)
            assert np.linalg.matrix_rank(B) == n - (not kept)


def test_pseudo_inverses_of_invertible_matrices_are_inverses():
    for name, A in SMALL.items():
        result = inv_ex(A)
        k = kappa(A, result.inverse)
        if k * len(A) * EPS > 1e-3:
            continue
        full = pinv_ex(A)
        assert full.rank == len(A), name
        difference = norm(full.pseudoinverse - result.inverse)
        assert difference <= 32 * len(A) * EPS * k * norm(result.inverse), name


def test_stacks_of_pseudo_inverses():
    A = np.arange(48.0).reshape(2, 2, 3, 4)
    result = pinv_ex(A)
    np.testing.assert_array_equal(result.rank, np.full((2, 2), 2))
    for where in np.ndindex(2, 2):
        np.testing.assert_array_equal(result.pseudoinverse[where], pinv(A[where]))
