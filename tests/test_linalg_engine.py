"""Laws of the certified inverse, whatever the guess."""

import warnings

import numpy as np
import pytest

from deepmatrixinversion.linalg.certificate import certify
from deepmatrixinversion.linalg.engine import invert
from deepmatrixinversion.linalg.newton import from_transpose, newton_schulz
from deepmatrixinversion.linalg.pseudoinverse import pseudo_inverse
from deepmatrixinversion.linalg.stack import Stack

flint = pytest.importorskip("flint")

U = 2.0**-53
LAPACK = (
    *("inv", "solve", "pinv", "svd", "svdvals", "qr", "det", "slogdet", "eig", "eigh"),
    *("eigvals", "eigvalsh", "cholesky", "lstsq", "matrix_rank", "cond", "tensorinv"),
    *("tensorsolve", "norm", "matrix_norm"),
)
ORDERS = [1, 2, 3, 4, 5, 8, 20]


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def classical(S):
    """Inverses in working precision, without LAPACK."""
    A = Stack.of(S)
    with np.errstate(all="ignore"):
        return newton_schulz(A, from_transpose(A, Stack.of(np.zeros_like(S)))).X.matrices()


def guess(S):
    """The network's stand-in: right to three digits, mostly."""
    X = classical(S)
    X *= 1.001
    X[len(X) // 2 :: 7] = 0.0
    return X


def inverse(A, order=8, **options):
    return invert(A, guess, order, **options)


def sample(n, k=30, seed=0):
    return np.random.default_rng(seed + n).standard_normal((k, n, n))


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
    kept = np.linalg.inv(A)
    kept[::5] = np.nan
    before = kept.copy()

    def remembered(S):
        return kept if len(S) == len(kept) else np.zeros_like(S)

    for guess in (remembered, lambda S: S):
        assert invert(A, guess, n).certificate.certified.all()
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
        left, right = np.linalg.qr(rng.standard_normal((2, 10, n, n)))[0]
        A = (left * np.geomspace(1, 1 / kappa, n)) @ right
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


NEAR_SINGULAR = {
    "2x2": [[1, 0.5], [0.5, 0.25000002]],
    "graded 2x2": [[1e-8, 1], [1e-16, 1e-8 + 1e-20]],
    "three nearly equal rows": [[1, 1, 1], [1, 1 + 2**-40, 1], [1, 1, 1 - 2**-41]],
    "reversal": np.eye(9)[::-1],
    "mixed units": np.diag([1e8, 1, 1e-8])
    @ [[2, 1, 0.5], [1, 2, 1], [0.5, 1, 2]]
    @ np.diag([1e8, 1, 1e-8]),
    "similarity": np.diag([2.0**30, 1, 2.0**-30])
    @ [[2, 1, 3], [1, 5, 1], [7, 1, 2]]
    @ np.diag([2.0**-30, 1, 2.0**30]),
}


@pytest.mark.parametrize("name", NEAR_SINGULAR)
@pytest.mark.parametrize("order", [1, 3, 12])
def test_every_digit_is_right(name, order):
    """Each entry is correctly rounded or nearly so, by exact arithmetic.

    What cancels to next to nothing beside its row and column is right to 2^-60 of them.
    """
    A = np.array(NEAR_SINGULAR[name], dtype=float)
    n = len(A)
    result = inverse(A, order=order)
    assert result.certificate.certified
    rational = [flint.fmpq(*map(int, float(x).as_integer_ratio())) for x in A.ravel()]
    truth = flint.fmpq_mat(n, n, rational).inv()
    X = np.abs(result.inverse)
    size = 2.0**-60 * np.sqrt(X.max(axis=1, keepdims=True) * X.max(axis=0))
    for i in range(n):
        for j in range(n):
            x, slack = (
                flint.fmpq(*map(int, float(v).as_integer_ratio()))
                for v in (result.inverse[i, j], size[i, j])
            )
            error = abs(truth[i, j] - x)
            assert error <= abs(truth[i, j]) * flint.fmpq(1, 1 << 52) + slack


@pytest.mark.parametrize("n", [5, 20, 64, 100, 128])
@pytest.mark.parametrize("kappa", [1e2, 1e6, 1e10])
def test_bounds_are_the_last_rounding(n, kappa):
    left, right = np.linalg.qr(np.random.default_rng(n).standard_normal((2, n, n)))[0]
    # Above order 64 that much has to be asked for.
    options = {"rtol": 2.0**-50} if n > 64 else {}
    proof = inverse((left * np.geomspace(1, 1 / kappa, n)) @ right, **options).certificate
    assert proof.certified
    assert proof.relative_error_bound <= 1.125 * U


def test_structural_zeros_are_exact():
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    rigid = np.block([[rotation, rng.standard_normal((3, 1))], [np.zeros((1, 3)), np.eye(1)]])
    blocks = np.zeros((7, 7))
    blocks[:3, :3], blocks[3:, 3:] = rng.standard_normal((3, 3)), rng.standard_normal((4, 4))
    p = rng.permutation(7)
    for A in (rigid, np.triu(rng.standard_normal((6, 6))), blocks, blocks[p][:, p]):
        result = inverse(A)
        assert result.certificate.certified
        truth = np.linalg.inv(A)
        zero = np.abs(truth) < 1e-14
        assert zero.any()
        assert (result.inverse[zero] == 0).all()
        assert not np.signbit(result.inverse[zero]).any()
    assert inverse(rigid).inverse[3].tolist() == [0, 0, 0, 1]
    # A small entry that is there stays.
    tiny = np.array([[1.0, 2.0**-40], [0.0, 1.0]])
    assert inverse(tiny).inverse.tolist() == [[1.0, -(2.0**-40)], [0.0, 1.0]]


def test_the_right_residual_is_as_small_as_the_left():
    A = np.random.default_rng(4).normal(size=(160, 160))
    X, Y = inverse(A, order=8).inverse, np.linalg.inv(A)
    for left in (True, False):
        ours, theirs = (
            np.abs(np.eye(160) - (Z @ A if left else A @ Z)).sum(axis=1).max() for Z in (X, Y)
        )
        assert ours <= 2 * theirs


@pytest.mark.parametrize("n", [2, 3, 8, 40, 100])
def test_singular_costs_a_bounded_number_of_products(n, monkeypatch):
    products = []
    multiply = np.matmul

    def counting(a, b, **options):
        if min(*a.shape[-2:], *b.shape[-2:]) == n:
            products.append(len(a))
        return multiply(a, b, **options)

    def free(S):
        return 1.001 * np.linalg.pinv(S)

    A = sample(n, k=1)
    monkeypatch.setattr(np, "matmul", counting)
    assert invert(A, free, 8).certificate.certified.all()
    regular = len(products)
    products.clear()
    A[0, -1] = A[0, 0]
    assert not invert(A, free, 8).certificate.certified.any()
    assert len(products) <= 3 * regular + 8


@pytest.mark.parametrize("n", [3, 40, 300])
def test_a_zero_matrix_does_not_go_the_long_way(n, monkeypatch):
    def refuse(*_arguments):
        raise AssertionError("the iteration from the transpose was asked")

    monkeypatch.setattr("deepmatrixinversion.linalg.engine.from_transpose", refuse)
    result = inverse(np.zeros((n, n)))
    assert not result.certificate.certified
    assert not result.inverse.any()


def test_no_lapack(monkeypatch):
    def refuse(*_args, **_options):
        raise AssertionError("LAPACK was called")

    A, B = sample(3), sample(20, k=2)
    C = np.ones((2, 4, 4))
    for name in LAPACK:
        if hasattr(np.linalg, name):
            monkeypatch.setattr(np.linalg, name, refuse)
    for stack in (A, B):
        assert inverse(stack).certificate.certified.all()
    assert not inverse(C).certificate.certified.any()
    assert (pseudo_inverse(C).rank == 1).all()


def test_long_stacks_do_not_loop_over_matrices():
    calls = []

    def counting(S):
        calls.append(len(S))
        return classical(S)

    A = np.random.default_rng(4).uniform(-1, 1, (20_000, 3, 3))
    result = invert(A, counting, 3)
    assert sum(calls) == 20_000
    assert len(calls) <= 20
    assert result.certificate.certified.mean() > 0.999
