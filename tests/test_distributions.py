"""Laws of the random matrices, for NumPy and for torch."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deepmatrixinversion.matrices.distributions import (
    CONDITION_MAX,
    DELTA_MAX,
    DISTRIBUTIONS,
    DOMINANCE_MIN,
    haar,
    sample,
)
from random_sources import KINDS, draw, make_source, transposed

ORDERS = (1, 2, 3, 8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_shape_dtype_finite_and_deterministic(kind, name):
    for n in ORDERS:
        source = make_source(kind)
        first = sample(source, name, 7, n, -1.0, 1.0)
        assert tuple(first.shape) == (7, n, n)
        assert first.dtype == source.dtype
        assert np.isfinite(np.asarray(first)).all()
        again = sample(make_source(kind), name, 7, n, -1.0, 1.0)
        np.testing.assert_array_equal(np.asarray(first), np.asarray(again))
        other = np.asarray(sample(make_source(kind, seed=1), name, 7, n, -1.0, 1.0))
        constant = n == 1 and name in ("low_rank", "correlation", "spd")
        assert constant or not np.array_equal(np.asarray(first), other)


@pytest.mark.parametrize("n", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_haar_is_orthogonal(kind, n):
    a, eps = draw(kind, "orthogonal", 200, n, -2.0, 2.0)  # s = 2
    q = a / 2
    # n reflections, each off by a few (k + 4) eps (Higham 2002, lemma 19.3).
    defect = np.linalg.norm(transposed(q) @ q - np.eye(n), axis=(-2, -1))
    assert defect.max() <= 4 * n * (n + 4) * eps


@pytest.mark.parametrize("kind", ["numpy64", "torch64"])
def test_haar_moments(kind):
    """Haar: E q_ij = 0, E q_ij^2 = 1/n, E q_ij^4 = 3/(n (n+2)), E tr = 0, E tr^2 = 1, E det = 0."""
    n, count = 3, 40_000
    q = np.asarray(haar(make_source(kind), count, n))
    trace = np.trace(q, axis1=1, axis2=2)
    for values, mean in (
        (q, 0.0),
        (q**2, 1 / n),
        (q**4, 3 / (n * (n + 2))),
        (trace, 0.0),
        (trace**2, 1.0),
        (np.linalg.det(q), 0.0),
    ):
        error = np.abs(values.mean(0) - mean)
        # Five standard errors: 6e-7 for each of 30 means to fail by chance.
        assert (error <= 5 * values.std(0) / math.sqrt(count)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_uniform_is_uniform(kind):
    """Kolmogorov-Smirnov with the Dvoretzky-Kiefer-Wolfowitz bound P(D > t) <= 2 exp(-2 N t^2)."""
    a, eps = draw(kind, "uniform", 5000, 3, -3.0, 1.0)
    u = np.sort((a.ravel() + 3) / 4)
    assert u[0] >= -eps
    assert u[-1] <= 1 + eps
    grid = np.arange(u.size + 1) / u.size
    distance = max((grid[1:] - u).max(), (u - grid[:-1]).max())
    assert distance <= math.sqrt(math.log(2 / 1e-6) / (2 * u.size))


@pytest.mark.parametrize("kind", KINDS)
def test_normal_has_the_middle_and_the_spread(kind):
    a, _ = draw(kind, "normal", 5000, 3, 1.0, 5.0)
    z = (a - 3) / 2
    assert abs(z.mean()) <= 5 / math.sqrt(z.size)
    assert abs((z**2).mean() - 1) <= 5 * math.sqrt(2 / z.size)  # Var z^2 = 2
    assert abs((z**4).mean() - 3) <= 5 * math.sqrt(96 / z.size)  # Var z^4 = 105 - 9


@pytest.mark.parametrize("n", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_spectrum_has_the_prescribed_singular_values(kind, n):
    a, eps = draw(kind, "spectrum", 300, n, -2.0, 2.0)
    sigma = np.linalg.svd(a, compute_uv=False) / 2
    slack = 4 * n * (n + 4) * eps  # two orthogonal factors and a product, relative to sigma_1 = 1
    assert np.abs(sigma[:, 0] - 1).max() <= slack
    assert sigma[:, -1].min() >= 1 / CONDITION_MAX - slack
    if n > 1:
        # log kappa is uniform on [0, log 1e4]: its mean has standard error range / sqrt(12 N).
        depth = -np.log(sigma[:, -1]) / math.log(CONDITION_MAX)
        assert abs(depth.mean() - 0.5) <= 5 / math.sqrt(12 * len(a)) + CONDITION_MAX * slack


@pytest.mark.parametrize("n", ORDERS)
@pytest.mark.parametrize("name", ["spd", "correlation"])
@pytest.mark.parametrize("kind", KINDS)
def test_spd_and_correlation(kind, name, n):
    a, eps = draw(kind, name, 300, n)
    np.testing.assert_array_equal(a, transposed(a))
    eigenvalues = np.linalg.eigvalsh(a)
    slack = 4 * n * (n + 4) * eps
    if name == "correlation":
        np.testing.assert_array_equal(np.diagonal(a, axis1=1, axis2=2), 1.0)
        assert (
            np.abs(a).max() <= 1 + CONDITION_MAX * slack
        )  # scaling divides by lambda_min at worst
        # In float32 the scaled matrix may touch singularity; in float64 it must not.
        if eps > 1e-10:
            return
        assert eigenvalues.min() >= 1 / (n * CONDITION_MAX) - slack * CONDITION_MAX
    else:
        assert eigenvalues.min() >= 1 / CONDITION_MAX - slack
    assert eigenvalues.min() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_toeplitz_is_constant_along_diagonals(kind):
    a, _ = draw(kind, "toeplitz", 50, 6)
    np.testing.assert_array_equal(a[:, 1:, 1:], a[:, :-1, :-1])
    # 2n - 1 different constants: first column reversed, then the first row.
    assert len(np.unique(np.concatenate([a[0, ::-1, 0], a[0, 0, 1:]]))) == 11


@pytest.mark.parametrize("n", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_diagonally_dominant_rows(kind, n):
    a, eps = draw(kind, "diagonally_dominant", 200, n, -1.0, 3.0)  # s = 2
    size = np.abs(a)
    diagonal = np.diagonal(size, axis1=1, axis2=2)
    excess = diagonal - (size.sum(-1) - diagonal)
    slack = (n + 2) * eps * size.max(initial=1.0) * n
    assert excess.min() >= 2 * DOMINANCE_MIN - slack
    assert excess.max() <= 2 + slack
    assert excess.min() > 0
    # Varah: ‖A^-1‖inf <= 1 / excess.
    norm = np.abs(np.linalg.inv(a)).sum(-1).max(-1)
    assert (norm <= (1 + 1e3 * slack) / excess.min(-1)).all()
    signs = np.diagonal(a, axis1=1, axis2=2) > 0
    assert abs(signs.mean() - 0.5) <= 5 * 0.5 / math.sqrt(signs.size)


@pytest.mark.parametrize("kind", KINDS)
def test_low_rank_reaches_every_rank_and_never_the_full_one(kind):
    n = 5
    a, eps = draw(kind, "low_rank", 2000, n)
    sigma = np.linalg.svd(a, compute_uv=False)
    # Factors within [-1, 1]: ‖L‖F ‖R‖F <= n (n - 1), and the product rounds by at most n eps of it.
    assert sigma[:, -1].max() <= n * eps * n * (n - 1)
    rank = (sigma > 100 * n * eps * sigma[:, :1]).sum(-1)
    shares = np.bincount(rank, minlength=n + 1) / len(a)
    assert shares[0] == shares[n] == 0
    # A quarter each; a full-looking rank may rarely fall below the threshold in float32.
    assert np.abs(shares[1:n] - 1 / 4).max() <= 5 * math.sqrt(3 / 16 / len(a)) + 1e4 * eps


def test_low_rank_of_order_one_is_zero():
    for kind in KINDS:
        assert not draw(kind, "low_rank", 9, 1)[0].any()


@pytest.mark.parametrize("kind", KINDS)
def test_low_rank_plus_noise_is_regular_down_to_the_noise(kind):
    """sigma_n <= ‖noise‖2, which for n = 5 is below 0.1 (2 sqrt(5) + 3), as rank <= n - 1."""
    n = 5
    a, _ = draw(kind, "low_rank_plus_noise", 2000, n)
    sigma = np.linalg.svd(a, compute_uv=False)
    assert sigma[:, -1].max() <= 0.1 * (2 * math.sqrt(n) + 3)
    assert sigma[:, -1].min() > 0
    # The noise spreads over two decades, and smallest singular values of it over more.
    assert 1e-3 < np.median(sigma[:, -1]) < 1e-2
    assert np.median(sigma[:, 0]) > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_nearly_singular_has_one_short_direction(kind):
    n = 4
    a, eps = draw(kind, "nearly_singular", 2000, n)
    sigma = np.linalg.svd(a, compute_uv=False)
    # sigma_min <= delta ‖A‖ and ‖A‖ <= n.
    assert sigma[:, -1].max() <= DELTA_MAX * n + 10 * n * eps
    assert np.median(sigma[:, -1]) <= 1e-3  # median delta is 3e-5
    assert np.median(sigma[:, -2]) >= 1e-2  # only one direction is short
    if eps < 1e-10:
        assert sigma[:, -1].min() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_levels_are_few_and_every_other_matrix_is_definite(kind):
    a, _ = draw(kind, "levels", 400, 12)
    definite = a[::2]
    assert (definite == definite.swapaxes(1, 2)).all()
    assert (np.linalg.eigvalsh(definite.astype(float)) > 0).all()
    sigma = np.linalg.svd(a.astype(float), compute_uv=False)
    # Gaps of more than a fifth tell levels apart, where they are no wider themselves.
    apart = (sigma[:, :-1] > 1.2 * sigma[:, 1:]).sum(axis=1) + 1
    assert np.mean(apart <= 6) > 0.85
    assert set(range(1, 6)) <= set(apart)
