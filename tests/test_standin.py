"""inv, pinv, solve, certify and Inverter where NumPy's functions stood: kinds of arrays, rtol."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from deepmatrixinversion import (
    Inverter,
    SingularMatrixError,
    certify,
    inv,
    inv_ex,
    pinv,
    pinv_ex,
    solve,
    solve_ex,
)

A2 = np.array([[2.0, 1.0], [1.0, 3.0]])
FUNCTIONS = {
    "inv": inv,
    "inv_ex": inv_ex,
    "pinv": pinv,
    "pinv_ex": pinv_ex,
    "solve A": lambda A: solve(A, np.ones(2)),
    "solve B": lambda B: solve(np.eye(2), B),
    "solve_ex": lambda A: solve_ex(A, np.ones(2)),
    "certify": lambda A: certify(A, np.eye(2)),
}
function = pytest.mark.parametrize("call", FUNCTIONS.values(), ids=FUNCTIONS.keys())


# --- kinds of arrays -----------------------------------------------------------------------------


class Tagged(np.ndarray):
    tag = "none"

    def __array_finalize__(self, other):
        self.tag = getattr(other, "tag", "none")


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_subclasses_come_back_as_themselves():
    M = np.matrix(A2)
    for result in (inv(M), pinv(M), solve(A2, M)):
        assert type(result) is np.matrix
    assert type(solve(M, A2)) is np.ndarray  # of B's type, as NumPy has it
    np.testing.assert_array_equal(np.asarray(inv(M)), inv(A2))
    assert type(inv_ex(M).inverse) is np.ndarray
    T = np.stack([A2, A2]).view(Tagged)
    assert type(inv(T)) is Tagged


@function
def test_masked_arrays_are_refused(call):
    masked = np.ma.masked_array(A2, mask=np.array([[True, False], [False, False]]))
    for A in (masked, [masked, masked], np.ma.masked_array(A2)):
        with pytest.raises(ValueError, match=r"masked array.*\.filled\(value\)"):
            call(A)


def impostor(package, name="Array"):
    """An array of another library, as far as its type says, which NumPy would read."""
    kind = type(name, (), {"__module__": f"{package}.array", "__array__": lambda *_, **__: A2})
    return kind()


REMEDIES = {
    "torch": r"deepmatrixinversion\.torch",
    "jax": r"deepmatrixinversion\.jax.*numpy\.asarray\(",
    "cupy": r"cupy\.asnumpy\(",
    "dask": r"deepmatrixinversion\.dask.*\.compute\(\)",
    "sparse": r"\.todense\(\)",
    "scipy.sparse": r"\.toarray\(\)",
}


@function
@pytest.mark.parametrize("package", REMEDIES)
def test_arrays_of_other_libraries_are_refused_by_name(call, package):
    for A in (impostor(package), [impostor(package)]):
        with pytest.raises(TypeError, match=REMEDIES[package]) as caught:
            call(A)
        assert isinstance(caught.value, ValueError)
        assert package.partition(".")[0] in str(caught.value) or "sparse" in str(caught.value)


@function
@pytest.mark.filterwarnings("ignore:Warning. converting a masked element to nan")
def test_one_of_them_anywhere_in_a_list_is_refused(call):
    masked = np.ma.masked_array(A2, mask=np.array([[True, False], [False, False]]))
    for A, words in (
        ([A2, masked], r"\[\.\.\.\] is a masked array"),
        ([[A2, A2], (A2, masked)], "masked array"),
        ([[2.0, 1.0], [1.0, np.ma.masked]], "masked array"),
        ([A2, impostor("torch")], "torch Array"),
    ):
        with pytest.raises(TypeError, match=words):
            call(A)


def test_a_list_within_itself_is_refused():
    endless = []
    endless.append(endless)
    with pytest.raises(ValueError, match="dimension"):
        Inverter.from_pretrained("spectral").inv(endless)


def test_the_remedies_work():
    sparse = pytest.importorskip("scipy.sparse")
    np.testing.assert_array_equal(inv(sparse.csr_array(A2).toarray()), inv(A2))
    column = np.empty(2, dtype=object)
    column[:] = [A2, A2]
    with pytest.raises(ValueError, match=r"numpy\.stack\(A\)"):
        inv(column)
    assert inv(np.stack(list(column))).shape == (2, 2, 2)
    rational = np.array([[Fraction(1, 2), 0], [0, Fraction(4)]], dtype=object)
    with pytest.raises(ValueError, match="float64"):
        inv(rational)
    np.testing.assert_array_equal(inv(rational.astype(np.float64)), np.diag([2, 0.25]))


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble, object])
def test_dtypes_are_refused_with_an_error_of_both_kinds(dtype):
    for kind in (TypeError, ValueError):
        with pytest.raises(kind, match="float"):
            inv(A2.astype(dtype))


def test_shapes_are_refused_as_numpy_refuses_them():
    for A in (np.ones((2, 3)), np.ones(3)):
        for call in (inv, inv_ex, lambda A: solve(A, np.ones(2))):
            with pytest.raises(np.linalg.LinAlgError):
                call(A)
    with pytest.raises(np.linalg.LinAlgError):
        pinv(np.ones((2, 3)), hermitian=True)


# --- certify -------------------------------------------------------------------------------------


def test_certificates_of_whole_and_complex_numbers():
    whole = np.array([[2, 1], [1, 1]])
    assert certify(whole, [[1, -1], [-1, 2]]).residual_bound < 2.0**-52
    assert certify(whole, [[1, -1], [-1, 2]]).certified
    assert not certify(whole, [[1, -1], [-1, 3]]).certified
    C = np.array([[1 + 1j, 2], [0, 1 - 2j]])
    for A in (C, C.astype(np.complex64)):
        certificate = certify(A, np.linalg.inv(A))
        assert certificate.certified
        assert certificate.error_bound > 0
    assert not certify(C, np.linalg.inv(C).conj()).certified
    assert certify(C, np.linalg.inv(C)).certified.shape == ()
    # One of the two complex: (1 + i)/2 is 1/(1 - i).
    assert certify([[1 - 1j]], [[0.5 + 0.5j]]).certified
    assert not certify([[1.0]], [[1.0 + 1e-3j]]).certified
    error = certify([[1.0]], [[1.0 + 1e-3j]], rtol=1e-2)
    assert error.certified
    assert 1e-3 <= error.error_bound <= 1.1e-3


def test_rtol_decides_what_is_certified():
    X = np.diag([0.5, 0.25 * (1 + 1e-5)])
    A = np.diag([2.0, 4.0])
    assert not certify(A, X).certified
    assert certify(A, X, rtol=1e-4).certified
    assert certify(A.astype(np.float32), X.astype(np.float32)).certified  # 1e-3
    for call in (lambda r: inv(A2, rtol=r), lambda r: solve(A2, np.ones(2), rtol=r)):
        call(1e-12)
        with pytest.raises(SingularMatrixError):
            call(0.0)
    assert not inv_ex(A2 / 3, rtol=0.0).certificate.certified
    for bad in (-1.0, np.nan):
        for call in (inv, inv_ex):
            with pytest.raises(ValueError, match="rtol"):
                call(A2, rtol=bad)
        with pytest.raises(ValueError, match="rtol"):
            solve_ex(A2, np.ones(2), rtol=bad)


# --- entries that are not finite -----------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_what_is_not_finite_is_uncertified_and_disturbs_no_neighbour(dtype, value):
    rng = np.random.default_rng(3)
    A, B = rng.standard_normal((3, 5, 5)).astype(dtype), rng.standard_normal((5, 2)).astype(dtype)
    before = inv_ex(A), pinv_ex(A), solve_ex(A, B)
    A[1, 2, 3] = value
    X, P, Y = inv_ex(A), pinv_ex(A), solve_ex(A, B)
    np.testing.assert_array_equal(X.certificate.certified, [True, False, True])
    np.testing.assert_array_equal(P.rank, [5, -1, 5])
    np.testing.assert_array_equal(Y.certified, [[True] * 2, [False] * 2, [True] * 2])
    for got, expected in zip((X[0], P[0], Y[0]), (b[0] for b in before), strict=True):
        assert np.isnan(got[1]).all()
        np.testing.assert_array_equal(got[::2], expected[::2])
    for call in (inv, pinv, lambda A: solve(A, B)):
        with pytest.raises(ValueError, match=r"\(1, 2, 3\)"):
            call(A)


def test_a_right_hand_side_that_is_not_finite_disturbs_no_other():
    B = np.ones((2, 3))
    whole = solve_ex(A2, B)
    B[0, 1] = np.inf
    result = solve_ex(A2, B)
    np.testing.assert_array_equal(result.certified, [True, False, True])
    np.testing.assert_array_equal(result.solution[:, ::2], whole.solution[:, ::2])
    assert np.isnan(result.solution[:, 1]).all()
    assert result.error_bound[1] == np.inf


# --- pinv ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
def test_ranks_are_those_of_numpys_rule(dtype):
    """Singular values above rtol times the largest, max(m, n) eps by default, count."""
    eps = float(np.finfo(dtype).eps)
    for small in (1e-3, 1e-5, 20 * eps, 4 * eps, eps):
        A = np.zeros((8, 5), dtype=dtype)
        np.fill_diagonal(A, [1, 1, 1, 1, small])
        assert pinv_ex(A).rank == np.linalg.matrix_rank(A)
        for rtol in (1e-2, 1e-4, 30 * eps):
            # For NumPy, rtol is that of the largest singular value too.
            assert pinv_ex(A, rtol=rtol).rank == 5 - (small <= rtol)
            np.testing.assert_array_equal(pinv(A, rtol=rtol), pinv(A, rtol))
            expected = np.linalg.pinv(A, rcond=rtol)
            np.testing.assert_allclose(pinv(A, rcond=rtol), expected, rtol=64 * eps, atol=eps)


def test_hermitian_reads_the_lower_triangle():
    rng = np.random.default_rng(0)
    C = rng.standard_normal((4, 5, 5)) + 1j * rng.standard_normal((4, 5, 5))
    for A in (C, C.real):
        expected = np.linalg.pinv(A, hermitian=True)
        kappa = np.linalg.cond(expected).max()
        difference = np.abs(pinv(A, hermitian=True) - expected).max()
        assert difference <= 32 * 5 * 2.0**-52 * kappa * np.abs(expected).max()
