"""Generated pairs are right to the last places, and the checks tell right from wrong."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from deepmatrixinversion.matrices import datasets
from deepmatrixinversion.matrices.datasets import (
    block_size,
    invertible_pairs,
    singular_pairs,
)
from deepmatrixinversion.matrices.verification import (
    CHECKS,
    check_invertible,
    check_singular,
    verify_blocks,
)

EPS = np.finfo(np.float64).eps
ORDERS = (1, 2, 3, 6, 20)
MAKERS = {"invertible": invertible_pairs, "singular": singular_pairs}


def one_block(kind, count=40, n=3, low=-1.0, high=1.0, seed=0, **options):
    (pairs,) = MAKERS[kind](np.random.default_rng(seed), count, n, low, high, **options)
    return pairs


@pytest.mark.parametrize("n", ORDERS)
@pytest.mark.parametrize("kind", MAKERS)
def test_generated_pairs_are_valid(kind, n):
    pairs = one_block(kind, n=n)
    assert pairs.matrices.shape == pairs.targets.shape == (40, n, n)
    assert pairs.matrices.dtype == pairs.targets.dtype == np.float64
    checks = CHECKS[kind](pairs.matrices, pairs.targets, None)
    assert checks.valid.all()
    if kind == "singular":
        assert (checks.rank == np.linalg.matrix_rank(pairs.matrices)).all()
        assert (checks.rank < n).all()
        assert n == 1 or checks.rank.min() >= 1


@pytest.mark.parametrize("kind", MAKERS)
def test_count_blocks_and_determinism(kind, monkeypatch):
    monkeypatch.setattr(datasets, "BLOCK_ENTRIES", 100)
    n = 5
    count = 2 * block_size(n) + 1
    blocks = list(MAKERS[kind](np.random.default_rng(3), count, n, -1.0, 1.0))
    assert [len(b.matrices) for b in blocks] == [block_size(n)] * 2 + [1]
    assert block_size(n) == 4
    (again, *_) = MAKERS[kind](np.random.default_rng(3), count, n, -1.0, 1.0)
    np.testing.assert_array_equal(again.matrices, blocks[0].matrices)
    assert block_size(10**6) == 1


def exact_inverse_2x2(a):
    """The exact inverse of a float64 matrix, each entry rounded once."""
    (p, q), (r, s) = ([Fraction(v) for v in row] for row in a.tolist())
    det = p * s - q * r
    return np.array([[float(s / det), float(-q / det)], [float(-r / det), float(p / det)]])


@pytest.mark.parametrize("distribution", ["uniform", "nearly_singular"])
def test_targets_are_the_inverses_of_exactly_these_matrices(distribution):
    pairs = one_block("invertible", 200, 2, det_min=1e-7, distribution=distribution)
    extended = float(np.finfo(np.longdouble).eps)
    for a, x in zip(*pairs, strict=True):
        exact = exact_inverse_2x2(a)
        kappa = np.linalg.cond(a)
        # A Newton step squares LAPACK's error of n kappa eps; what stays is the last rounding, and
        # the rounding of the residual in extended precision, amplified by kappa.
        error = np.linalg.norm(x - exact) / np.linalg.norm(exact)
        bound = 4 * EPS + 8 * kappa * extended + (8 * kappa * EPS) ** 2
        assert error <= bound


def test_pseudoinverses_agree_with_an_independent_formula():
    """Rank one: A = u v^T has A+ = A^T / ‖A‖F^2."""
    pairs = one_block("singular", 300, 2)
    a, y = pairs
    direct = a.swapaxes(-1, -2) / np.square(a).sum((-2, -1), keepdims=True)
    error = np.linalg.norm(y - direct, axis=(-2, -1)) / np.linalg.norm(direct, axis=(-2, -1))
    assert error.max() <= 40 * EPS  # n = 2, one nonzero singular value: no condition enters


def test_order_one():
    singular = one_block("singular", n=1)
    assert not singular.matrices.any()
    assert not singular.targets.any()
    a, x = one_block("invertible", n=1)
    assert (np.abs(a * x - 1) <= EPS).all()
    assert (np.abs(a) > 0.1).all()


def test_sets_without_inverses_are_refused(monkeypatch):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="low_rank"):
        next(invertible_pairs(rng, 4, 3, -1, 1, distribution="uniform+low_rank"))
    with pytest.raises(ValueError, match="det_min"):
        next(invertible_pairs(rng, 4, 3, -0.01, 0.01))
    with pytest.raises(ValueError, match="min"):
        next(singular_pairs(rng, 4, 3, 1, 1))
    with pytest.raises(ValueError, match="count"):
        next(singular_pairs(rng, 0, 3, -1, 1))
    monkeypatch.setattr(datasets, "RANK_GAP", 1e30)  # no singular value is clear of that
    with pytest.raises(ValueError, match="no clear rank"):
        next(singular_pairs(rng, 4, 3, -1, 1))


@pytest.mark.parametrize("distribution", ["uniform", "nearly_singular", "spd+toeplitz+normal"])
@pytest.mark.parametrize("n", [2, 5, 30])
def test_lapack_inverses_pass(distribution, n):
    """The default tolerance accepts what a good library gives, however ill conditioned."""
    a, _ = one_block("invertible", 100, n, det_min=0, distribution=distribution)
    assert check_invertible(a, np.linalg.inv(a)).valid.all()
    single = a.astype(np.float32)
    well = np.linalg.cond(a) < 1e4
    assert check_invertible(single, np.linalg.inv(single)).valid[well].all()


@pytest.mark.parametrize("scale", [1e-300, 1e-5, 1.0, 1e200])
@pytest.mark.parametrize("kind", MAKERS)
def test_scale_does_not_matter(kind, scale):
    a, x = one_block(kind)
    power = 2.0 ** np.round(np.log2(scale))
    scaled, plain = CHECKS[kind](a * power, x / power, None), CHECKS[kind](a, x, None)
    assert scaled.valid.all()
    if scale > 1e-200:  # below, the inverse of the scale leaves the normal numbers
        np.testing.assert_allclose(scaled.residual, plain.residual, rtol=1e-12)


@pytest.mark.parametrize("kind", MAKERS)
def test_wrong_partners_fail(kind):
    a, x = one_block(kind)
    check = CHECKS[kind]
    for wrong in (np.zeros_like(x), -x, 2 * x, x[::-1], x.swapaxes(-1, -2), x * (1 + 1e-6), a):
        assert not check(a, wrong, None).valid.any()
    # Rounding to four decimals is no longer an inverse, unless it is asked for.
    rounded = np.round(x, 4)
    assert not check(a, rounded, None).valid.any()
    assert check(a, rounded, 0.5).valid.all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("kind", MAKERS)
def test_nonfinite_entries_never_pass(kind, side, value):
    pairs = one_block(kind, 6)
    pairs[side][4, 1, 2] = value
    for tol in (None, 1e300):
        valid = CHECKS[kind](pairs.matrices, pairs.targets, tol).valid
        np.testing.assert_array_equal(valid, [True] * 4 + [False] + [True])
    summary = verify_blocks([pairs], kind)
    assert (summary.invalid, summary.worst) == (1, 4)


def test_singular_check_refuses_invertible_matrices():
    a, x = one_block("invertible")
    checks = check_singular(a, x)
    assert not checks.valid.any()
    assert np.isinf(checks.residual).all()
    assert (checks.rank == 3).all()
    assert not check_singular(a, x, tol=1e9).valid.any()


def test_invertible_check_refuses_singular_matrices():
    a, y = one_block("singular")
    assert not check_invertible(a, y).valid.any()
    huge = y + 1e16 * (np.eye(3) - y @ a)  # as if the rounding noise had been inverted
    assert not check_invertible(a, huge).valid.any()


def test_each_penrose_condition_counts():
    """Pairs that satisfy three of the four conditions exactly fail by the fourth."""
    p = np.array([[1.0, 0.0], [0.0, 0.0]])
    for x, y in (
        (p, np.zeros((2, 2))),  # X Y X = X fails
        (np.zeros((2, 2)), p),  # Y X Y = Y fails
        (p, np.array([[1.0, 0.0], [1.0, 0.0]])),  # Y X is not symmetric
        (p, np.array([[1.0, 1.0], [0.0, 0.0]])),  # X Y is not symmetric
    ):
        assert not check_singular(x[None], y[None]).valid.any()
    assert check_singular(p[None], p[None]).valid.all()


def test_summary_names_the_worst_across_blocks():
    a, x = one_block("invertible", 30)
    x = x.copy()
    x[7] *= 1.5
    x[22] *= 3
    blocks = [(a[i : i + 10], x[i : i + 10]) for i in range(0, 30, 10)]
    summary = verify_blocks(blocks, "invertible")
    assert (summary.total, summary.invalid, summary.worst) == (30, 2, 22)
    assert summary.residual == pytest.approx(2 * np.sqrt(3), rel=1e-9)  # ‖I - 3 I‖F
    np.testing.assert_array_equal(summary.matrix, a[22])
    np.testing.assert_array_equal(summary.partner, x[22])
    assert verify_blocks(blocks, "invertible", tol=4.0).invalid == 0
    assert verify_blocks(blocks, "invertible", tol=4.0).worst == 22


def test_invalid_outranks_a_larger_valid_residual():
    """An ill-conditioned valid pair has the larger residual; the wrong pair is still the worst."""
    hilbert = 1 / (np.arange(8)[:, None] + np.arange(8) + 1.0)
    a = np.stack([hilbert, np.eye(8)])
    x = np.stack([np.linalg.inv(hilbert), np.eye(8) * (1 + 1e-9)])
    summary = verify_blocks([(a, x)], "invertible")
    checks = check_invertible(a, x)
    assert checks.residual[0] > checks.residual[1]
    assert (summary.invalid, summary.worst) == (1, 1)


def test_verify_blocks_refuses_what_it_cannot_compare():
    a, x = one_block("invertible")
    with pytest.raises(ValueError, match="'regular'"):
        verify_blocks([(a, x)], "regular")
    with pytest.raises(ValueError, match="square and alike"):
        verify_blocks([(a, x[1:])], "invertible")
    with pytest.raises(ValueError, match="square and alike"):
        verify_blocks([(a[:, :2], x[:, :2])], "invertible")
    with pytest.raises(ValueError, match="no matrices"):
        verify_blocks([], "invertible")
    with pytest.raises(ValueError, match="no matrices"):
        verify_blocks([(a[:0], x[:0])], "singular")
