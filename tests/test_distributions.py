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
    NumpySource,
    _det_above,
    haar,
    mixture,
    sample,
)

KINDS = ("numpy64", "numpy32", "torch64", "torch32")
ORDERS = (1, 2, 3, 8)


class TorchSource:
    """The smallest torch source there can be."""

    def __init__(self, seed, dtype):
        torch = pytest.importorskip("torch")
        self.xp, self.dtype = torch, getattr(torch, dtype)
        self.generator = torch.Generator().manual_seed(seed)

    def uniform(self, shape, low, high):
        unit = self.xp.rand(shape, generator=self.generator, dtype=self.dtype)
        return low + (high - low) * unit

    def normal(self, shape):
        return self.xp.randn(shape, generator=self.generator, dtype=self.dtype)

    def integers(self, shape, low, high):
        return self.xp.randint(low, high, shape, generator=self.generator)

    def eye(self, n):
        return self.xp.eye(n, dtype=self.dtype)

    def arange(self, n):
        return self.xp.arange(n)


def make_source(kind, seed=0):
    dtype = "float64" if kind.endswith("64") else "float32"
    if kind.startswith("torch"):
        return TorchSource(seed, dtype)
    return NumpySource(np.random.default_rng(seed), dtype)


def draw(kind, name, count, n, low=-1.0, high=1.0, **options):
    """A sample as float64, and the eps of the precision it was drawn in."""
    a = np.asarray(sample(make_source(kind), name, count, n, low, high, **options))
    return a.astype(np.float64), float(np.finfo(a.dtype).eps)


def transposed(a):
    return a.swapaxes(-1, -2)


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
@pytest.mark.parametrize("name", ["uniform", "spectrum", "uniform+nearly_singular+toeplitz"])
def test_determinant_filter(kind, name):
    for count in (0, 1, 10, 1001):
        a, eps = draw(kind, name, count, 3, -2.0, 2.0, det_min=0.3)
        assert a.shape == (count, 3, 3)
        # 3 eps ‖A‖^3 bounds how two ways of computing a determinant differ.
        slack = 30 * eps * 6**3
        assert (np.abs(np.linalg.det(a)) > 0.3 - slack).all()


def test_filter_keeps_the_distribution_of_what_passes():
    """The kept matrices are the filtered stream, in order: nothing is skipped or repeated."""
    kept = draw("numpy64", "uniform", 500, 2, det_min=0.5)[0]
    rng = NumpySource(np.random.default_rng(0))
    stream = sample(rng, "uniform", 200_000, 2, -1.0, 1.0)
    passing = stream[np.abs(np.linalg.det(stream)) > 0.5][:500]
    np.testing.assert_array_equal(kept, passing)


@pytest.mark.parametrize(
    "kind, name, n, det_min",
    [
        ("numpy64", "low_rank", 3, 0.1),
        ("numpy64", "uniform+low_rank", 4, 0.1),
        ("numpy32", "uniform", 2, 3.0),
        ("torch64", "uniform", 2, 3.0),
        ("torch32", "uniform+low_rank", 1, 1e-30),
    ],
)
def test_hopeless_filters_say_so(kind, name, n, det_min):
    with pytest.raises(ValueError, match=r"det_min .* is out of reach.*lower det_min") as error:
        sample(make_source(kind), name, 4, n, -1.0, 1.0, det_min)
    assert f"{det_min:g}" in str(error.value)
    assert f"'{name.rpartition('+')[2]}'" in str(error.value)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 8])
def test_determinants_are_compared_rightly(n):
    a, eps = draw("numpy64", "uniform", 500, n)
    det = np.abs(np.linalg.det(a))
    slack = 4 * n * math.factorial(n) * eps  # n! products of n factors, each within 1
    for least in (1e-3, 0.1, 1.0):
        sure = np.abs(det - least) > slack
        assert sure.any()
        np.testing.assert_array_equal(_det_above(np, a, least)[sure], (det > least)[sure])


def test_a_determinant_that_overflows_passes():
    a, _ = draw("numpy64", "orthogonal", 2, 12, -1e100, 1e100, det_min=0.1)  # det = 1e1200
    assert a.shape == (2, 12, 12)


def test_rare_is_not_hopeless():
    # P(|u| > 0.999) = 1e-3 for order one.
    a = draw("numpy64", "uniform", 50, 1, det_min=0.999)[0]
    assert a.shape == (50, 1, 1)
    assert (np.abs(a) > 0.999).all()


@pytest.mark.parametrize("kind", ["numpy64", "torch32"])
def test_mixture_shares(kind):
    a, _ = draw(kind, "spd+low_rank+toeplitz", 11, 4)
    symmetric = (a == transposed(a)).all((-2, -1))
    toeplitz = (a[:, 1:, 1:] == a[:, :-1, :-1]).all((-2, -1))
    np.testing.assert_array_equal(symmetric, [True] * 4 + [False] * 7)
    np.testing.assert_array_equal(toeplitz, [False] * 8 + [True] * 3)
    assert draw(kind, "spd+low_rank+toeplitz", 2, 4)[0].shape == (2, 4, 4)


def test_names():
    assert mixture("uniform + spd") == ["uniform", "spd"]
    for bad in ("cauchy", "uniform+", "", "uniform+cauchy"):
        with pytest.raises(ValueError, match=r"unknown distribution '(cauchy)?'") as error:
            mixture(bad)
        assert all(name in str(error.value) for name in DISTRIBUTIONS)


@pytest.mark.parametrize(
    "count, n, low, high, det_min, word",
    [
        (-1, 3, -1, 1, 0, "count"),
        (1, 0, -1, 1, 0, "order"),
        (1, 3, 1, 1, 0, "min < max"),
        (1, 3, 1, -1, 0, "min < max"),
        (1, 3, -1, math.inf, 0, "finite"),
        (1, 3, math.nan, 1, 0, "finite"),
        (1, 3, -1, 1, -0.1, "det_min"),
        (1, 3, -1, 1, math.nan, "det_min"),
    ],
)
def test_bad_arguments(count, n, low, high, det_min, word):
    with pytest.raises(ValueError, match=word):
        sample(make_source("numpy64"), "uniform", count, n, low, high, det_min)
