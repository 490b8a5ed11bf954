"""inv, pinv, solve and their _ex forms: laws over the menagerie, proofs in exact arithmetic."""

from __future__ import annotations

import pickle
import re

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

import oracle
from deepmatrixinversion import (
    Certificate,
    Inversion,
    Inverter,
    SingularMatrixError,
    inv,
    inv_ex,
    pinv,
    pinv_ex,
    solve,
    solve_ex,
)
from deepmatrixinversion.inference import functions
from deepmatrixinversion.inference.arrays import embed
from deepmatrixinversion.inference.leaf import GraphLeaf
from deepmatrixinversion.models.directory import read_graph
from deepmatrixinversion.models.zoo import bundled_folder
from menagerie import EMPTY, INVERTIBLE, SINGULAR, SMALL, VIEWS, uniform, with_spectrum

flint = pytest.importorskip("flint")
EPS = 2.0**-52
DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
EXACT_ORDER = 33


def norm(A):
    """Infinity norms of a stack, without overflow where they are representable."""
    return np.abs(A).sum(axis=-1).max(axis=-1, initial=0.0)


def kappa(A, X):
    """Condition number in the infinity norm, of any scale."""
    e = int(np.frexp(np.abs(A).max())[1])
    return norm(np.ldexp(A, -e)) * norm(np.ldexp(X, e))


def violated(A, result):
    """The first violation of bounds against exact arithmetic, None where all hold.

    Complex matrices through their embedding, whose row sums |re| + |im| are at least those of |z|.
    """
    n = A.shape[-1]
    A, X = A.reshape(-1, n, n), result.inverse.reshape(-1, n, n)
    if A.dtype.kind == "c":
        A, X = embed(A), embed(X)
    columns = [np.ravel(c) for c in result.certificate]
    for a, x, ok, *bounds in zip(A, X, *columns, strict=True):
        if found := oracle.violation(a, x, bool(ok), *map(float, bounds)):
            return found
    return None


def sample(dtype, shape, rng):
    """Normal numbers of any dtype, complex ones with both parts."""
    A = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        A = A + 1j * rng.standard_normal(shape)
    return A.astype(dtype)


# --- the inverse: proofs -------------------------------------------------------------------------


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
    with pytest.raises(SingularMatrixError, match="the matrix could not be certified"):
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


# --- the inverse: laws ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_inverse_of_the_inverse(name):
    A = SMALL[name]
    e = int(np.frexp(np.abs(A).max())[1])
    A = np.ldexp(A, -e)
    once = inv_ex(A)
    twice = inv_ex(once.inverse)
    if not twice.certificate.certified:
        pytest.fail("the inverse of a certified matrix is as well conditioned")
    # With R = I - XA: inv(X) - A = A (I - R)^-1 R.
    alpha = once.certificate.residual_bound
    tolerance = twice.certificate.error_bound + norm(A) * alpha / (1 - alpha)
    assert norm(twice.inverse - A) <= tolerance * (1 + 4 * EPS)
    # No vacuous law: 2 (n + 1) eps kappa of each.
    assert tolerance <= 5 * (len(A) + 1) * EPS * kappa(A, once.inverse) * norm(A)


@pytest.mark.parametrize("name", SMALL)
def test_scaling(name):
    A = SMALL[name]
    e = int(np.frexp(np.abs(A).max())[1])
    A = np.ldexp(A, -e)
    result = inv_ex(A)
    X, bound = result.inverse, result.certificate.error_bound
    for power in (-900, -13, 1, 64, 900):
        np.testing.assert_array_equal(inv(np.ldexp(A, power)), np.ldexp(X, -power))
    k = kappa(A, X)
    for c in (3.0, 0.1, -1.0, -1e5):
        other = inv_ex(c * A)
        # fl(c A) is off by u relatively, which kappa enlarges; X / c rounds once more.
        tolerance = bound / abs(c) + other.certificate.error_bound
        tolerance += EPS * (k + 1) * norm(X) / abs(c)
        assert norm(other.inverse - X / c) <= tolerance


@pytest.mark.parametrize("name", SMALL)
def test_permutations_transposes_and_padding(name):
    A = SMALL[name]
    n = len(A)
    rng = np.random.default_rng(n)
    p, q = rng.permutation(n), rng.permutation(n)
    one = inv_ex(A)
    X, bound = one.inverse, one.certificate.error_bound
    two = inv_ex(A[p][:, q])
    assert norm(two.inverse - X[q][:, p]) <= (bound + two.certificate.error_bound) * (1 + 4 * EPS)
    three = inv_ex(A.T)
    # Entries lie within the bound on the norm.
    difference = np.abs(three.inverse - X.T).max()
    assert difference <= (bound + three.certificate.error_bound) * (1 + 4 * EPS)
    c = np.exp2(np.frexp(np.abs(A).max())[1])
    padded = c * np.eye(n + 4)
    padded[:n, :n] = A
    four = inv_ex(padded)
    expected = np.eye(n + 4) / c
    expected[:n, :n] = X
    assert four.certificate.certified
    assert norm(four.inverse - expected) <= (bound + four.certificate.error_bound) * (1 + 4 * EPS)


@pytest.mark.parametrize("n", [2, 3, 5, 9])
def test_complex_laws(n):
    rng = np.random.default_rng(n)
    A = sample(complex, (6, n, n), rng)
    one, conjugate, turned = inv_ex(A), inv_ex(A.conj()), inv_ex(1j * A)
    bound = one.certificate.error_bound
    difference = norm(conjugate.inverse - one.inverse.conj())
    assert (difference <= (bound + conjugate.certificate.error_bound) * (1 + 4 * EPS)).all()
    difference = norm(turned.inverse - one.inverse / 1j)
    assert (difference <= (bound + turned.certificate.error_bound) * (1 + 4 * EPS)).all()
    real = inv_ex(A.real + 0j)
    tolerance = real.certificate.error_bound + inv_ex(A.real).certificate.error_bound
    assert (norm(real.inverse - inv(A.real)) <= tolerance * (1 + 4 * EPS)).all()


# --- dtypes, memory, shapes ----------------------------------------------------------------------


FUNCTIONS = {
    "inv": inv,
    "inv_ex": lambda A: inv_ex(A).inverse,
    "pinv": pinv,
    "pinv_ex": lambda A: pinv_ex(A).pseudoinverse,
    "solve": lambda A: solve(A, np.ones(np.shape(A)[-1:], np.int8)),
    "solve_ex": lambda A: solve_ex(A, np.ones(np.shape(A)[-1:], np.int8)).solution,
}
function = pytest.mark.parametrize("call", FUNCTIONS.values(), ids=FUNCTIONS.keys())


@function
@pytest.mark.parametrize("name", VIEWS)
def test_memory_is_read_as_it_is_and_never_written(call, name):
    A = VIEWS[name]
    before = A.tobytes()
    X = call(A)
    assert X.dtype == np.float64
    assert X.dtype.isnative
    assert A.tobytes() == before
    assert not np.shares_memory(A, X)
    np.testing.assert_array_equal(X, call(np.array(A, dtype=float, order="C")))
    np.testing.assert_array_equal(X, call(A))  # deterministic
    X[...] = 0  # the caller's


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["=", ">", "<"])
def test_dtypes_are_kept(dtype, order):
    A = sample(dtype, (2, 3, 3), np.random.default_rng(0)).astype(
        np.dtype(dtype).newbyteorder(order)
    )
    B = A[..., :2]
    for X in (inv(A), inv_ex(A).inverse, pinv(A), pinv(B), solve(A, B), solve_ex(A, B[0]).solution):
        assert X.dtype == dtype
        assert X.dtype.isnative


@function
def test_whole_numbers(call):
    A = np.array([[2, 1, 0], [0, 1, 0], [1, 0, 4]])
    expected = call(A.astype(float))
    for dtype in (np.int8, np.uint8, np.int16, np.uint32, np.int64, np.uint64, ">i8"):
        X = call(A.astype(dtype))
        assert X.dtype == np.float64
        np.testing.assert_array_equal(X, expected)
    np.testing.assert_array_equal(call(np.eye(3, dtype=bool)), call(np.eye(3)))
    np.testing.assert_array_equal(call(A.tolist()), expected)


INEXACT = {
    "2^53 + 1": np.int64(2**53 + 1),
    "-2^53 - 1": np.int64(-(2**53) - 1),
    "int64 max": np.int64(2**63 - 1),
    "int64 min + 1": np.int64(-(2**63) + 1),
    "uint64 max": np.uint64(2**64 - 1),
    "uint64, 2^63 + 1": np.uint64(2**63 + 1),
}
EXACT = {"2^53 + 2": 2**53 + 2, "int64 min": -(2**63), "2^62": 2**62}


@function
@pytest.mark.parametrize("value", INEXACT.values(), ids=INEXACT.keys())
def test_integers_that_float64_lacks_are_refused(call, value):
    A = np.eye(2, dtype=value.dtype)
    A[1, 1] = value
    for matrices in (A, A.astype(A.dtype.newbyteorder(">")), A[None]):
        with pytest.raises(ValueError, match="integers beyond 2\\^53") as caught:
            call(matrices)
        one_sentence(caught)


@pytest.mark.parametrize("value", EXACT.values(), ids=EXACT.keys())
def test_large_integers_that_float64_has(value):
    A = np.array([[value, 0], [0, 1]], dtype=np.int64)
    np.testing.assert_array_equal(inv(A), inv(np.diag([float(value), 1.0])))
    unsigned = np.array([[2**63, 0], [0, 1]], dtype=np.uint64)
    np.testing.assert_array_equal(inv(unsigned), np.diag([2.0**-63, 1]))


def one_sentence(caught):
    message = str(caught.value)
    assert "\n" not in message
    assert 10 < len(message) < 250


UNFIT = {
    "float16": (np.eye(3, dtype=np.float16), "A has dtype float16: .* convert to float32"),
    "longdouble": (np.eye(3, dtype=np.longdouble), "bounds would not hold in float64"),
    "clongdouble": (np.eye(3, dtype=np.clongdouble), "bounds would not hold in float64"),
    "object": (np.eye(3).astype(object), "A has dtype object: its entries are not numbers"),
    "None": (None, "A has dtype object"),
    "huge Python integers": ([[10**30, 0], [0, 1]], "A has dtype object"),
    "str": (np.eye(3).astype(str), "A has dtype <U32: its entries are not numbers"),
    "bytes": (np.zeros((3, 3), "S3"), "not numbers"),
    "datetime": (np.zeros((3, 3), "M8[s]"), "A has dtype datetime64"),
    "timedelta": (np.zeros((3, 3), "m8[s]"), "A has dtype timedelta64"),
    "record": (np.zeros((3, 3), [("a", "f8")]), "not numbers"),
    "number": (3.0, r"one matrix or a stack of them, .* not \(\)"),
    "vector": (np.ones(3), r"not \(3,\)"),
    "nothing": ([], r"not \(0,\)"),
    "ragged": ([[1, 2], [3]], "inhomogeneous"),
}


@pytest.mark.parametrize("A, words", UNFIT.values(), ids=UNFIT.keys())
@pytest.mark.parametrize("name", ["inv", "inv_ex", "pinv", "pinv_ex", "solve", "solve_ex"])
def test_what_is_no_stack_of_matrices_is_refused(name, A, words):
    call = getattr(functions, name)
    arguments = (A, np.ones(3)) if name.startswith("solve") else (A,)
    with pytest.raises(ValueError, match=words) as caught:
        call(*arguments)
    one_sentence(caught)


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (4, 3, 2), (0, 2, 3), (0, 3)])
def test_only_pinv_takes_what_is_not_square(shape):
    A, words = np.ones(shape), re.escape(str(shape))
    for call in (inv, inv_ex, lambda A: solve(A, np.ones(shape[-1]))):
        with pytest.raises(ValueError, match=f"square matrices, not of shape {words}"):
            call(A)
    assert pinv(A).shape == (*shape[:-2], shape[-1], shape[-2])


@pytest.mark.parametrize("shape", EMPTY)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_to_invert(shape, dtype):
    A = np.zeros(shape, dtype=dtype)
    result = inv_ex(A)
    assert result.inverse.shape == shape
    assert result.inverse.dtype == dtype
    assert all(c.shape == shape[:-2] for c in result.certificate)
    assert result.certificate.certified.all()
    assert inv(A).shape == shape
    full = pinv_ex(A)
    assert full.pseudoinverse.shape == shape
    assert full.rank.shape == shape[:-2]
    assert full.penrose.shape == (*shape[:-2], 4)
    solution = solve_ex(A, np.zeros((shape[-1], 2)))
    assert solution.solution.shape == (*shape[:-1], 2)
    assert solution.error_bound.shape == (*shape[:-2], 2)
    assert solve(A, np.zeros(shape[-1])).shape == shape[:-1]


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 3), (2, 4, 4), (2, 2, 3, 3), (5, 5)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named(shape, value):
    for where in np.ndindex(shape):
        A = np.ones(shape)
        A[where] = value
        for call in (inv, pinv, lambda A: solve(A, np.ones(shape[-1]))):
            with pytest.raises(ValueError) as caught:
                call(A)
            assert str(caught.value) == (
                f"A has an entry that is not finite, the first at index {where}"
            )
        one, full, both = inv_ex(A), pinv_ex(A), solve_ex(A, np.ones(shape[-1]))
        matrix = where[:-2]
        assert np.isnan(one.inverse[matrix]).all()
        assert np.isnan(full.pseudoinverse[matrix]).all()
        assert np.isnan(both.solution[matrix]).all()
        assert full.rank[matrix] == -1
        assert not both.certified[matrix].any()
        for bound in (*one.certificate[1:], both.error_bound):
            assert (bound[matrix] == np.inf).all()
    C = np.ones(shape, dtype=np.complex64)
    C[..., -1, 0].imag = value
    with pytest.raises(ValueError, match="not finite"):
        inv(C)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_right_hand_side_that_is_not_finite_is_named(value):
    for shape in ((3,), (3, 2), (2, 3, 1)):
        for where in np.ndindex(shape):
            B = np.ones(shape)
            B[where] = value
            with pytest.raises(ValueError) as caught:
                solve(np.eye(3), B)
            assert str(caught.value) == (
                f"B has an entry that is not finite, the first at index {where}"
            )


# --- neighbours ----------------------------------------------------------------------------------


BAD = {
    "zero": lambda n: np.zeros((n, n)),
    "ones": lambda n: np.ones((n, n)),
    "huge": lambda n: 1e300 * uniform(n),
    "tiny": lambda n: 1e-300 * uniform(n),
    "subnormal": lambda n: 5e-324 * np.eye(n),
    "largest": lambda n: np.full((n, n), np.finfo(float).max),
    "near singular": lambda n: with_spectrum(np.geomspace(1, 1e-15, n)),
    "swap": lambda n: np.eye(n)[::-1].copy(),
    "uneven": lambda n: uniform(n) * np.exp2(np.linspace(-300, 300, n)),
}


@pytest.mark.parametrize("n", [3, 7, 20])
@pytest.mark.parametrize("name", BAD)
def test_one_bad_matrix_disturbs_no_neighbour(n, name):
    A = np.random.default_rng(n).uniform(-1, 1, (9, n, n))
    before, full = inv_ex(A), pinv_ex(A)
    for where in (0, 4, 8):
        B = A.copy()
        B[where] = BAD[name](n)
        others = np.arange(9) != where
        after, other = inv_ex(B), pinv_ex(B)
        np.testing.assert_array_equal(after.inverse[others], before.inverse[others])
        np.testing.assert_array_equal(after.steps[others], before.steps[others])
        for got, expected in zip(after.certificate, before.certificate, strict=True):
            np.testing.assert_array_equal(got[others], expected[others])
        for got, expected in zip(other, full, strict=True):
            np.testing.assert_array_equal(got[others], expected[others])


@pytest.mark.parametrize("n", [2, 3, 5, 6, 7, 8, 12, 33, 48, 64])
def test_no_bit_depends_on_the_place_in_a_stack(n):
    A = np.random.default_rng(n).standard_normal((9, n, n))
    whole, shifted = inv_ex(A), inv_ex(A[1:])
    for i in (1, 4, 8):
        for other in (inv_ex(A[i]), Inversion(*(field_at(f, i - 1) for f in shifted))):
            np.testing.assert_array_equal(other.inverse, whole.inverse[i])
            for got, expected in zip(other.certificate, whole.certificate, strict=True):
                np.testing.assert_array_equal(got, expected[i])


def field_at(field, i):
    """One matrix's part of an inversion's field."""
    return field.at(i) if isinstance(field, Certificate) else field[i]


def test_large_stacks_are_named_and_right():
    A = np.random.default_rng(2).uniform(-1, 1, (60_000, 3, 3))
    singular = [0, 17, 29_999, 59_999]
    A[singular] = np.ones((3, 3))
    result = inv_ex(A)
    np.testing.assert_array_equal(np.flatnonzero(~result.certificate.certified), singular)
    with pytest.raises(SingularMatrixError, match=r"matrices \[0, 17, 29999, 59999\] of 60000"):
        inv(A)


# --- the error -----------------------------------------------------------------------------------


def test_the_error_names_and_carries_everything():
    A = np.broadcast_to(2 * np.eye(4), (3, 4, 4, 4)).copy()
    bad = [(0, 1), (0, 3), (1, 0), (1, 1), (2, 2), (2, 3)]
    for where in bad:
        A[where] = 1
    with pytest.raises(SingularMatrixError) as caught:
        inv(A)
    message = str(caught.value)
    assert "[(0, 1), (0, 3), (1, 0), (1, 1), (2, 2)] and 1 more of 12" in message
    assert "use inv_ex" in message
    one_sentence(caught)
    assert isinstance(caught.value, np.linalg.LinAlgError)
    found = caught.value.inversion
    assert [tuple(w) for w in np.argwhere(~found.certificate.certified)] == bad
    np.testing.assert_array_equal(found.inverse[2, 1], np.eye(4) / 2)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == message
    np.testing.assert_array_equal(again.inversion.inverse, found.inverse)
    np.testing.assert_array_equal(again.inversion.certificate[1], found.certificate[1])
    with pytest.raises(SingularMatrixError, match="use solve_ex"):
        solve(A, np.ones(4))


# --- solve ---------------------------------------------------------------------------------------


def real_system(A, B, Y):
    """A, B and Y as real matrices, complex ones embedded or stacked."""
    if not any(M.dtype.kind == "c" for M in (A, B, Y)):
        return A, B, Y
    columns = (np.concatenate([np.real(M), np.imag(M)], axis=-2) for M in (B, Y))
    return embed(A + 0j), *columns


def exact_errors(A, B, Y):
    """The largest |A⁻¹B - Y|² of each column, exactly."""
    n, is_complex = len(A), Y.dtype.kind == "c"
    a, b, y = real_system(A, B, Y)
    (M, e), (C, f), (Z, g) = map(oracle.integers, (a, b, y))
    D = M.inv() * flint.fmpq_mat(C) * oracle.power(f - e) - flint.fmpq_mat(Z) * oracle.power(g)
    squares = [[D[i, j] ** 2 for i in range(len(a))] for j in range(D.ncols())]
    if is_complex:
        squares = [[s[i] + s[i + n] for i in range(n)] for s in squares]
    return [max(s) for s in squares]


@pytest.mark.parametrize("left", DTYPES)
@pytest.mark.parametrize("right", DTYPES)
def test_solutions_lie_within_their_bounds(left, right):
    rng = np.random.default_rng(7)
    for n, p in ((1, 1), (2, 3), (3, 2), (5, 2), (8, 1)):
        A, B = sample(left, (3, n, n), rng), sample(right, (3, n, p), rng)
        if n > 1:
            A[1, -1] = A[1, 0] * (1 + 1e-4 * rng.uniform(size=n))
        B[2] *= 1e10
        result = solve_ex(A, B)
        Y = result.solution
        assert Y.dtype == np.result_type(left, right)
        assert result.error_bound.shape == (3, p)
        certified = result.inversion.certificate.certified
        assert (np.isfinite(result.error_bound) == certified[:, None]).all()
        assert certified[[0, 2]].all()
        for a, b, y, bounds in zip(A, B, Y, result.error_bound, strict=True):
            for square, bound in zip(exact_errors(a, b, y), bounds, strict=True):
                assert bound == np.inf or square <= oracle.rational(bound) ** 2
        if certified.all():
            np.testing.assert_array_equal(solve(A, B), Y)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_bounds_of_solutions_are_of_use(dtype):
    """A few n eps kappa of the solution, not merely true."""
    rng = np.random.default_rng(5)
    for n in (3, 10, 40):
        A, b = sample(dtype, (5, n, n), rng), sample(dtype, (n, 1), rng)
        result = solve_ex(A, b)
        k = norm(A) * norm(inv(A))
        size = np.abs(result.solution).max(axis=(-2, -1))
        # (6) of the certificate: gamma_{n+1} |X| (|r| + |b| + |A||y|) twice over, and sqrt(2) and
        # the embedding's doubled order and norm where complex.
        factor = 8 if dtype == np.float64 else 8 * 2 * 2 * 2
        assert (result.error_bound[:, 0] <= factor * (n + 1) * EPS * k * size).all()


@pytest.mark.parametrize("spread", [5, 30, 100])
def test_solutions_where_only_the_other_residual_is_below_one(spread):
    """Columns of very different scale: certified by ‖I - AX‖, with finite bounds all the same."""
    rng = np.random.default_rng(spread)
    A = rng.standard_normal((40, 5, 5)) * np.exp2(rng.integers(-spread, spread, (40, 1, 5)))
    B = rng.standard_normal((5, 2))
    result = solve_ex(A, B)
    certified = result.inversion.certificate.certified
    assert certified.all()
    assert np.isfinite(result.error_bound).all()
    for a, y, bounds in zip(A, result.solution, result.error_bound, strict=True):
        for square, bound in zip(exact_errors(a, B, y), bounds, strict=True):
            assert square <= oracle.rational(bound) ** 2


SHAPES = [
    ((3, 3), (3,), (3,), ()),
    ((3, 3), (3, 2), (3, 2), (2,)),
    ((3, 3), (3, 0), (3, 0), (0,)),
    ((4, 3, 3), (3,), (4, 3), (4,)),
    ((4, 3, 3), (3, 2), (4, 3, 2), (4, 2)),
    ((3, 3), (4, 3, 2), (4, 3, 2), (4, 2)),
    ((2, 1, 3, 3), (4, 3, 2), (2, 4, 3, 2), (2, 4, 2)),
    ((0, 3, 3), (3, 2), (0, 3, 2), (0, 2)),
]


@pytest.mark.parametrize("a, b, y, bound", SHAPES)
@pytest.mark.parametrize("mix", ["real", "complex A", "complex B", "complex"])
def test_shapes_of_solutions(a, b, y, bound, mix):
    rng = np.random.default_rng(3)
    A = sample(complex if mix in ("complex A", "complex") else float, a, rng)
    B = sample(complex if mix in ("complex B", "complex") else float, b, rng)
    result = solve_ex(A, B)
    assert result.solution.shape == y
    assert result.error_bound.shape == bound
    columns = B[:, None] if B.ndim == 1 else B
    whole = np.linalg.inv(A)
    expected = whole @ columns
    expected = expected[..., 0] if B.ndim == 1 else expected
    if expected.size:
        k = np.max(norm(A)) * np.max(norm(whole))
        tolerance = 32 * 3 * EPS * k * np.abs(expected).max()  # LAPACK's, and ours
        assert np.abs(result.solution - expected).max() <= tolerance


@pytest.mark.parametrize(
    "a, b",
    [((3, 3), (4,)), ((3, 3), (4, 3)), ((2, 3, 3), (3, 3, 1)), ((3, 3), (1, 4, 2)), ((0, 0), (1,))],
)
def test_shapes_that_do_not_fit(a, b):
    A = np.broadcast_to(np.eye(a[-1]), a)
    for call in (solve, solve_ex):
        with pytest.raises(ValueError) as caught:
            call(A, np.ones(b))
        assert str(caught.value) == f"A of shape {a} and B of shape {b} do not fit together"
    with pytest.raises(ValueError, match="B must be one vector, one matrix"):
        solve(np.eye(3), 1.0)
    with pytest.raises(ValueError, match="B has dtype float16"):
        solve(np.eye(3), np.ones(3, np.float16))


# --- pseudo-inverses -----------------------------------------------------------------------------


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
    A = with_spectrum(np.array([1.0, 1e-2, 1e-5, 1e-9]))
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
        with pytest.raises(ValueError, match="rtol must be at least 0"):
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


# --- models --------------------------------------------------------------------------------------


def test_the_model_is_named_in_every_way(tmp_path, monkeypatch):
    A = np.random.default_rng(1).uniform(-1, 1, (5, 4, 4))
    expected = inv(A)
    folder = bundled_folder() / "feedback-3"
    for model in ("feedback-3", folder, str(folder), Inverter.from_pretrained("feedback-3")):
        np.testing.assert_array_equal(inv(A, model=model), expected)
        np.testing.assert_array_equal(inv_ex(A, model=model).inverse, expected)
        np.testing.assert_array_equal(solve(A, A, model=model), solve(A, A))
        np.testing.assert_array_equal(solve_ex(A, A, model=model).solution, solve(A, A))
    with pytest.raises(ValueError, match="'nothing' is neither a model directory"):
        inv(A, model="nothing")
    with pytest.raises(TypeError):
        inv(A, model=3)
    # A relative name means what it means in the working directory of the call.
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "one" / "m").symlink_to(folder)
    monkeypatch.chdir(tmp_path / "one")
    np.testing.assert_array_equal(inv(A, model="./m"), expected)
    monkeypatch.chdir(tmp_path / "two")
    with pytest.raises(ValueError, match="no model directory"):
        inv(A, model="./m")


def test_the_seed_is_that_of_the_butterflies():
    """A swap needs one: each seed gives a certified inverse, the same seed the same bits."""
    rng = np.random.default_rng(4)
    A = np.block([[np.zeros((8, 8)), uniform(8)], [uniform(8), np.zeros((8, 8))]])
    results = [inv_ex(A, seed=seed) for seed in (0, 0, 1, 2, int(rng.integers(1 << 30)))]
    assert all(r.certificate.certified for r in results)
    np.testing.assert_array_equal(results[0].inverse, results[1].inverse)
    for other in results[2:]:
        bounds = results[0].certificate.error_bound + other.certificate.error_bound
        assert norm(other.inverse - results[0].inverse) <= bounds * (1 + 4 * EPS)


def test_the_tolerance_stops_refinement():
    A = np.random.default_rng(6).uniform(-1, 1, (200, 3, 3))
    loose, tight = inv_ex(A, tol=1e-3), inv_ex(A)
    # Less accurate than asked for, and so not certified unless that is asked for.
    assert not loose.certificate.certified.all()
    assert inv_ex(A, tol=1e-3, rtol=1.0).certificate.certified.all()
    assert loose.steps.sum() < tight.steps.sum()
    assert np.median(loose.certificate.residual_bound) > np.median(tight.certificate.residual_bound)
    for tol in (np.nan, -1.0):
        with pytest.raises(ValueError, match="tol must be"):
            inv_ex(A, tol=tol)


def mixed_bag(n, rng):
    """Matrices of every kind in one stack (k, n, n)."""
    A = rng.uniform(-1, 1, (12, n, n))
    A[3] = 1.0
    A[4] *= 1e-200
    A[5] = rng.integers(-3, 4, (n, n))
    A[6, -1] = A[6, 0]
    A[7, -1] = A[7, 0] * (1 + 1e-9 * rng.uniform(size=n))
    A[8] = np.eye(n)[::-1]
    return A


def inverses(S):
    """What a perfect network would answer, zero for matrices that are not finite."""
    S = np.where(np.isfinite(S).all(axis=(1, 2), keepdims=True), S, 0.0)
    return np.linalg.pinv(S)


LEAVES = {
    "zeros": lambda S, rng: np.zeros_like(S),
    "NaN": lambda S, rng: np.full_like(S, np.nan),
    "infinity": lambda S, rng: np.full_like(S, np.inf),
    "huge": lambda S, rng: np.full_like(S, 1e300),
    "noise": lambda S, rng: rng.standard_normal(S.shape),
    "its input": lambda S, rng: S.copy(),
    "the wrong sign": lambda S, rng: -inverses(S),
    "NaN now and then": lambda S, rng: np.where(
        rng.uniform(size=(len(S), 1, 1)) < 0.5, np.nan, inverses(S)
    ),
}


@pytest.mark.parametrize("leaf", LEAVES.values(), ids=LEAVES.keys())
@pytest.mark.parametrize("n", [1, 2, 3, 5, 13])
def test_whatever_the_network_answers_nothing_wrong_is_certified(monkeypatch, leaf, n):
    inverter = Inverter.from_pretrained("feedback-3")
    rng = np.random.default_rng(n)
    monkeypatch.setattr(GraphLeaf, "__call__", lambda _, S: leaf(S, rng))
    A = mixed_bag(n, np.random.default_rng(n + 100))
    if n == 1:
        A[6:8] = 1.0
    result = inverter.inv_ex(A)
    assert violated(A, result) is None
    # The iteration from the transpose needs no guess.
    with np.errstate(all="ignore"):
        easy = np.linalg.cond(A / np.abs(A).max(axis=(1, 2), keepdims=True)) < 1e6
    if n <= 3:
        assert result.certificate.certified[easy].all()
    C = A[:3] + 1j * A[9:]
    assert violated(C, inverter.inv_ex(C)) is None


def flipped(graph, flips, rng):
    """The same graph with random bits of its float32 weights flipped."""
    model = onnx.load_from_string(graph)
    weights = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    constants = [
        a.t
        for node in model.graph.node
        for a in node.attribute
        if node.op_type == "Constant" and a.t.data_type == onnx.TensorProto.FLOAT
    ]
    tensors = [t for t in (*weights, *constants) if numpy_helper.to_array(t).size > 1]
    assert tensors
    for _ in range(flips):
        tensor = tensors[rng.integers(len(tensors))]
        bits = numpy_helper.to_array(tensor).copy().view(np.uint32)
        flat = bits.reshape(-1)
        flat[rng.integers(flat.size)] ^= np.uint32(1) << np.uint32(rng.integers(32))
        tensor.CopyFrom(numpy_helper.from_array(bits.view(np.float32), tensor.name))
    return model.SerializeToString()


@pytest.mark.parametrize("flips", [1, 10, 100, 3000])
def test_bits_flipped_in_the_weights(monkeypatch, flips):
    inverter = Inverter.from_pretrained("feedback-3")
    rng = np.random.default_rng(flips)
    original = read_graph(inverter.model)
    for trial in range(3):
        session = onnxruntime.InferenceSession(
            flipped(original, flips, rng), providers=["CPUExecutionProvider"]
        )
        monkeypatch.setattr(inverter.leaf.session, "_session", session)
        for n in (2, 3, 6):
            A = mixed_bag(n, np.random.default_rng([flips, trial, n]))
            result = inverter.inv_ex(A)
            assert violated(A, result) is None
            if n <= 3:
                assert result.certificate.certified[[0, 1, 2, 4]].all()
