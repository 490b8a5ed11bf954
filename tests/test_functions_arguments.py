"""What inv, pinv, solve and their _ex forms take: dtypes, memory, shapes, and what they refuse."""

from __future__ import annotations

import re

import numpy as np
import pytest

import deepmatrixinversion
from deepmatrixinversion import (
    inv,
    inv_ex,
    pinv,
    pinv_ex,
    solve,
    solve_ex,
)
from menagerie import EMPTY, VIEWS
from truth import DTYPES, one_sentence, sample

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
        with pytest.raises(ValueError, match=r"A .*2\^53") as caught:
            call(matrices)
        one_sentence(caught)


@pytest.mark.parametrize("value", EXACT.values(), ids=EXACT.keys())
def test_large_integers_that_float64_has(value):
    A = np.array([[value, 0], [0, 1]], dtype=np.int64)
    np.testing.assert_array_equal(inv(A), inv(np.diag([float(value), 1.0])))
    unsigned = np.array([[2**63, 0], [0, 1]], dtype=np.uint64)
    np.testing.assert_array_equal(inv(unsigned), np.diag([2.0**-63, 1]))


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
    call = getattr(deepmatrixinversion, name)
    arguments = (A, np.ones(3)) if name.startswith("solve") else (A,)
    with pytest.raises(ValueError, match=words) as caught:
        call(*arguments)
    one_sentence(caught)


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (4, 3, 2), (0, 2, 3), (0, 3)])
def test_only_pinv_takes_what_is_not_square(shape):
    A, words = np.ones(shape), re.escape(str(shape))
    for call in (inv, inv_ex, lambda A: solve(A, np.ones(shape[-1]))):
        with pytest.raises(ValueError, match=f"A .*{words}"):
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
            assert str(caught.value).startswith("A ")
            assert str(caught.value).endswith(f" index {where}")
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
    with pytest.raises(ValueError, match="index"):
        inv(C)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_right_hand_side_that_is_not_finite_is_named(value):
    for shape in ((3,), (3, 2), (2, 3, 1)):
        for where in np.ndindex(shape):
            B = np.ones(shape)
            B[where] = value
            with pytest.raises(ValueError) as caught:
                solve(np.eye(3), B)
            assert str(caught.value).startswith("B ")
            assert str(caught.value).endswith(f" index {where}")
