"""Laws of the certified inverse, whatever the guess."""

import warnings

import numpy as np
import pytest

from deepmatrixinversion.linalg.certify import certify
from deepmatrixinversion.linalg.engine import invert
from deepmatrixinversion.matrices.spectra import with_condition
from engine_guesses import U, classical, guess, inverse, sample

ORDERS = [1, 2, 3, 4, 5, 8, 20]


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def fro(A):
    return np.linalg.norm(A, axis=(-2, -1))


@pytest.mark.parametrize("n", ORDERS)
def test_inverse_and_certificate(n):
    A = sample(n)
    result = inverse(A)
    true = np.linalg.inv(A)
    kappa = fro(A) * fro(true)
    assert result.certificate.certified.all()
    assert (fro(result.inverse - true) <= 8 * n * U * kappa * fro(true)).all()
    # The last rounding and no more, and certify agrees without knowing how X came about.
    assert (result.certificate.relative_error_bound <= 1.125 * U).all()
    assert (certify(A, result.inverse).relative_error_bound <= 1.2 * U).all()


@pytest.mark.parametrize("n", ORDERS)
def test_inverse_of_the_inverse(n):
    A = sample(n)
    X = inverse(A).inverse
    kappa = fro(A) * fro(X)
    assert (fro(inverse(X).inverse - A) <= 8 * n * U * kappa * fro(A)).all()


@pytest.mark.parametrize("exponent", [-990, -300, 7, 980])
def test_a_power_of_two_changes_no_bit(exponent):
    A = sample(5)
    X, Y = inverse(A).inverse, inverse(A * 2.0**exponent)
    assert np.array_equal(Y.inverse * 2.0**exponent, X)
    assert Y.certificate.certified.all()


@pytest.mark.parametrize("scale", [1e-300, 1e-304, 1e300, 1e304])
@pytest.mark.parametrize("n", [1, 3, 9])
def test_extreme_scales(scale, n):
    A = sample(n) * scale
    result = inverse(A)
    assert result.certificate.certified.all()


@pytest.mark.parametrize("n", [3, 4, 8, 20])
def test_permutations_of_rows_and_columns(n):
    rng = np.random.default_rng(n)
    A = sample(n)
    p, q = rng.permutation(n), rng.permutation(n)
    X = inverse(A).inverse
    Y = inverse(A[:, p][:, :, q]).inverse
    kappa = fro(A) * fro(X)
    assert (fro(Y - X[:, q][:, :, p]) <= 8 * n * U * kappa * fro(X)).all()


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_guess_s_order_changes_nothing_but_rounding(n):
    A = sample(n)
    kappa = fro(A) * fro(np.linalg.inv(A))
    results = [inverse(A, order=m).inverse for m in (n, n + 1, 12, max(1, n - 1))]
    for other in results[1:]:
        assert (fro(other - results[0]) <= 4 * n * U * kappa * fro(results[0])).all()


@pytest.mark.parametrize("n", ORDERS)
def test_neighbours_are_undisturbed_bit_for_bit(n):
    rng = np.random.default_rng(n)

    def independent(S):
        return 0.99 * classical(S)

    A = sample(n, k=20)
    clean = invert(A, independent, 8)
    B = A.copy()
    B[::4] = 0.0
    B[1::4] = rng.standard_normal((5, n, 1)) * np.ones((1, 1, n)) * 1e200
    dirty = invert(B, independent, 8)
    for rest in (2, 3):
        assert np.array_equal(dirty.inverse[rest::4], clean.inverse[rest::4])
        for one, two in zip(dirty.certificate, clean.certificate, strict=True):
            assert np.array_equal(one[rest::4], two[rest::4])
    assert np.array_equal(invert(A[7], independent, 8).inverse, clean.inverse[7])


def test_badly_scaled_rows_and_columns():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((20, 4, 4)) * 10.0 ** rng.uniform(-100, 100, (20, 4, 1))
    result = inverse(A)
    assert result.certificate.certified.all()
    B = A.swapaxes(1, 2)
    turned = inverse(B)
    assert turned.certificate.certified.all()
    kappa = np.linalg.cond(A / np.abs(A).max(axis=2, keepdims=True))
    error = np.abs(turned.inverse - result.inverse.swapaxes(1, 2))
    scale = np.abs(result.inverse).max(axis=1)[:, :, None]
    assert (error <= 64 * U * kappa[:, None, None] * scale).all()


@pytest.mark.parametrize("bad", [np.zeros_like, lambda S: np.full_like(S, np.nan), lambda S: -S])
@pytest.mark.parametrize("n", [2, 3, 8, 13])
def test_no_guess_is_bad_enough(bad, n):
    A = sample(n)
    result = invert(A, bad, 8)
    assert result.certificate.certified.all()


@pytest.mark.parametrize("n", [1, 3, 6])
def test_the_guess_s_own_arrays_stay_as_they_are(n):
    A = sample(n)
    kept = np.linalg.inv(A).astype(float)
    kept[::5] = np.nan
    before = kept.copy()

    def remembered(S):
        return kept if len(S) == len(kept) else np.zeros_like(S)

    for answers in (remembered, lambda S: S):
        assert invert(A, answers, n).certificate.certified.all()
        assert np.array_equal(kept, before, equal_nan=True)
    with pytest.raises(ValueError, match="shape"):
        invert(sample(3), lambda S: S[:1], 3)


def test_singular_matrices_are_never_certified():
    rng = np.random.default_rng(1)
    for n in (1, 2, 3, 5, 12):
        factor = rng.integers(-9, 10, (2, 30, n, max(1, n - 1)))
        A = (factor[0] @ factor[1].swapaxes(1, 2)).astype(float) if n > 1 else np.zeros((30, 1, 1))
        result = inverse(A)
        assert not result.certificate.certified.any()
        assert (result.certificate.error_bound == np.inf).all()
        assert result.inverse.shape == A.shape


def test_ill_conditioned_matrices_are_certified():
    rng = np.random.default_rng(2)
    for n, kappa in ((3, 1e14), (8, 1e13), (16, 1e12), (40, 1e11)):
        A = with_condition(rng, n, np.full(10, kappa))
        assert inverse(A).certificate.certified.all()


@pytest.mark.parametrize("n", [3, 6, 11])
def test_float32(n):
    A = sample(n).astype(np.float32)
    result = inverse(A)
    assert result.inverse.dtype == np.float32
    assert result.certificate.certified.all()
    true = np.linalg.inv(A.astype(np.float64))
    # Correct but for one rounding to 24 bits of each entry.
    assert (
        np.abs(result.inverse - true) <= 2.0**-23 * np.abs(true) + 1e-9 * fro(true)[:, None, None]
    ).all()
    assert (
        np.abs(result.inverse - true).sum(axis=2).max(axis=1) <= result.certificate.error_bound
    ).all()


def test_tolerance_saves_steps():
    A = sample(6)
    loose = inverse(A, tol=1e-2)
    assert (loose.steps < inverse(A).steps).all()
    # Proven nonsingular, proven to be no better than that, and so not certified.
    assert np.isfinite(loose.certificate.error_bound).mean() > 0.9
    proof = loose.certificate
    assert np.array_equal(proof.certified, proof.relative_error_bound <= 1e-6)
    assert not proof.certified.all()
    assert inverse(A, tol=1e-2, rtol=0.9).certificate.certified.mean() > 0.9


def test_hostile_shapes():
    for shape in [(0, 0), (3, 0, 0), (0, 4, 4), (1, 1), (2, 3, 2, 2), (1, 1, 9, 9)]:
        A = np.random.default_rng(3).standard_normal(shape)
        result = inverse(A)
        assert result.inverse.shape == shape
        assert result.steps.shape == shape[:-2]
        assert all(field.shape == shape[:-2] for field in result.certificate)
    for A in [np.ones(3), np.ones((2, 3)), np.float64(1.0), np.eye(2, dtype=int)]:
        with pytest.raises(ValueError):
            inverse(A)
    with pytest.raises(ValueError):
        invert(np.eye(2), guess, 0)


@pytest.mark.parametrize("n", [3, 7])
def test_memory_layouts_and_read_only_input(n):
    A = sample(n, k=12)
    expected = inverse(A[::2]).inverse
    wide = np.zeros((12, n, 2 * n))
    wide[:, :, ::2] = A
    for view in (A[::2], np.asfortranarray(A)[::2], A.astype(">f8")[::2], wide[::2, :, ::2]):
        before = view.copy()
        view.flags.writeable = False
        result = inverse(view)
        assert np.array_equal(result.inverse, expected)
        assert result.inverse.dtype == np.dtype("=f8")
        assert result.inverse.flags.writeable
        assert np.array_equal(view, before)


@pytest.mark.parametrize("n", [2, 5])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_input_disturbs_no_neighbour(n, bad):
    good = sample(n, k=4)
    expected = inverse(good)
    for position in range(n * n):
        A = good.copy()
        A[2].flat[position] = bad
        result = inverse(A)
        rest = [0, 1, 3]
        assert np.array_equal(result.inverse[rest], expected.inverse[rest])
        assert np.isnan(result.inverse[2]).all()
        assert result.certificate.certified.tolist() == [True, True, False, True]
        assert result.certificate.error_bound[2] == np.inf
