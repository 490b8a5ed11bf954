"""inv_ex and its proofs over the menagerie, held against exact arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from deepmatrixinversion import (
    SingularMatrixError,
    inv,
    inv_ex,
    pinv_ex,
    solve_ex,
)
from menagerie import INVERTIBLE, SINGULAR
from truth import DTYPES, EPS, kappa, norm, sample, violated

EXACT_ORDER = 33


@pytest.mark.parametrize("name", INVERTIBLE)
def test_every_invertible_matrix_is_certified_and_the_proof_holds(name):
    A = INVERTIBLE[name]
    n = len(A)
    before = A.copy()
    result = inv_ex(A)
    certificate = result.certificate
    assert certificate.certified
    np.testing.assert_array_equal(A, before)
    assert result.inverse.dtype == np.float64
    k = kappa(A, result.inverse)
    # |R - I| has n + 1 roundings of |X||A| and of X itself, gamma_n |X||A| is added: (2 n + 1) u.
    # At 1e+-300 the floor of underflow is added: about 3 n eta ‖X‖, or ‖A‖.
    floor = 4 * n * 2.0**-1022 * (n * norm(result.inverse) + n * norm(A))
    # Above order 64 it is |X| times (n + 17) u |A||X| times |A|, and once more for corrections.
    limit = 2 * (n + 1) * k if n <= 64 else 2 * (n + 17) * k**2
    assert certificate.residual_bound <= limit * EPS + floor
    proven = certificate.residual_bound * norm(result.inverse)
    assert certificate.error_bound <= 1.1 * proven + 8 * 2.0**-1022
    if n <= EXACT_ORDER:
        assert violated(A, result) is None
    np.testing.assert_array_equal(inv(A), result.inverse)


@pytest.mark.parametrize("name", SINGULAR)
def test_no_singular_matrix_is_certified(name):
    A = SINGULAR[name]
    for dtype in DTYPES:
        with np.errstate(over="ignore"):
            B = A.astype(dtype)
        if not np.isfinite(B).all():
            continue
        result = inv_ex(B)
        assert not result.certificate.certified
        assert result.certificate.error_bound == np.inf
        assert np.isfinite(result.inverse).all()
    with pytest.raises(SingularMatrixError):
        inv(A)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 12])
def test_bounds_hold_in_every_dtype(dtype, n):
    rng = np.random.default_rng([n, 1])
    A = sample(dtype, (4, 3, n, n), rng)
    if n > 1:  # bad ones among them
        A[0, :, -1] = A[0, :, 0] * (1 + rng.uniform(0, 1e-6, 3)[:, None])
        A[1, 0, -1] = A[1, 0, 0]
    A[2] *= np.array([1e-15, 1e15, 1], dtype=dtype)[:, None, None]
    result = inv_ex(A)
    assert result.inverse.dtype == dtype
    assert violated(A, result) is None
    assert result.certificate.certified[3].all()
    assert result.certificate.certified[2].all()
    assert result.certificate.certified.shape == (4, 3)
    if n > 1:
        assert not result.certificate.certified[1, 0]


@pytest.mark.parametrize("factor", [5e-324, 1e-310, 1e-300, 1e300, 1.7e308])
def test_complex_matrices_at_the_ends_of_the_range(factor):
    A = factor * (np.eye(3) + 1j * np.diag([0, 1, 0]))
    result = inv_ex(A)
    assert violated(A, result) is None
    if 1e-305 < factor < 1e305:
        assert result.certificate.certified
    solution = solve_ex(A, np.ones(3))
    assert solution.error_bound >= 0
    pinv_ex(A)


@pytest.mark.parametrize("spread", [20, 60, 200])
def test_rows_and_columns_of_very_different_scale(spread):
    rng = np.random.default_rng(spread)
    for n in (2, 3, 4, 6):
        B = rng.standard_normal((30, n, n))
        powers = np.exp2(rng.integers(-spread, spread, (30, n)))
        for A in (B * powers[:, None], B * powers[..., None]):
            result = inv_ex(A)
            assert violated(A, result) is None
            # Scaling lines is exact: what is certified does not depend on it, up to spread 2^60.
            if spread <= 60:
                assert result.certificate.certified.all()
        both = inv_ex(B * powers[:, None] * powers[:, ::-1, None])
        assert violated(B * powers[:, None] * powers[:, ::-1, None], both) is None
