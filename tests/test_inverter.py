"""Inverter: shapes, dtypes, memory, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from deepmatrixinversion import Inverter
from models_for_tests import (
    residual_bound,
    well_conditioned,
)
from truth import residuals


@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 5), (0,), (2, 0, 3), (1, 2, 1, 2)])
def test_any_stack(method, shape):
    count = int(np.prod(shape, dtype=int))
    A = well_conditioned(40)[:count].reshape(*shape, 3, 3)
    X = method(A)
    assert X.shape == A.shape
    assert X.dtype == np.float64
    one_by_one = [method(M) for M in A.reshape(-1, 3, 3)]
    for got, expected in zip(X.reshape(-1, 3, 3), one_by_one, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-3)
    assert (residuals(A, X) < 0.1).all()


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
def test_the_batch_size_changes_nothing_but_the_last_bits(small, invert, batch):
    A = well_conditioned(7)
    other = Inverter.from_pretrained(small, batch=batch)
    X, Y = other.guess(A), invert.guess(A)
    largest = np.abs(Y).max(axis=(1, 2), keepdims=True)
    assert (np.abs(X - Y) <= 1e-3 * largest).all()
    X, Y = other(A), invert(A)
    largest = np.abs(Y).max(axis=(1, 2), keepdims=True)
    assert (np.abs(X - Y) <= residual_bound(A, Y)[:, None, None] * largest).all()


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_of_nothing(small, batch):
    """A negative step would skip every matrix and return memory as it was found."""
    with pytest.raises(ValueError, match=f"batch.*{batch}"):
        Inverter.from_pretrained(small, batch=batch).guess(well_conditioned(7))


A5 = well_conditioned(5)
WHOLE = np.array([[2, 1, 0], [0, 1, 0], [0, 0, 4]])
VIEWS = {
    "fortran": np.asfortranarray(A5),
    "strided": np.repeat(A5, 2, axis=0)[::2],
    "negative strides": A5[::-1, ::-1, ::-1],
    "transposed": A5.swapaxes(1, 2),
    "broadcast": np.broadcast_to(A5[0], (5, 3, 3)),
    "big-endian": A5.astype(">f8"),
    "unaligned": np.frombuffer(b"x" + A5.tobytes(), dtype=np.uint8)[1:].view("f8").reshape(5, 3, 3),
}


@pytest.mark.parametrize("A", VIEWS.values(), ids=VIEWS.keys())
def test_memory_layout_does_not_matter(method, A):
    plain = np.array(A, dtype=np.float64, order="C")
    before = A.tobytes()
    X = method(A)
    assert X.dtype == np.float64
    assert X.dtype.isnative
    np.testing.assert_array_equal(X, method(plain))
    assert A.tobytes() == before


def test_input_is_never_modified_and_never_returned(method):
    for A in (A5.copy(), np.eye(3), np.eye(3, dtype=np.float32)[None]):
        before = A.copy()
        A.setflags(write=False)
        X = method(A)
        np.testing.assert_array_equal(A, before)
        assert not np.shares_memory(A, X)
        X[...] = 0  # the result is the caller's


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.float64, "list"])
def test_numbers_of_every_kind_give_float64(method, dtype):
    X = method(WHOLE.tolist() if dtype == "list" else WHOLE.astype(dtype))
    assert X.dtype == np.float64
    np.testing.assert_array_equal(X, method(WHOLE.astype(np.float64)))


@pytest.mark.parametrize("dtype", ["=f4", ">f4", "<f4"])
def test_float32_gives_float32(method, dtype):
    A = A5.astype(dtype)
    X = method(A)
    assert X.dtype == np.float32
    np.testing.assert_array_equal(X, method(A.astype(np.float64)).astype(np.float32))


REFUSED = {
    "number": (np.float64(3), "a stack"),
    "vector": (np.arange(3.0), "a stack"),
    "flat": (np.arange(9.0), "a stack"),
    "empty list": ([], "a stack"),
    "not square": (np.zeros((3, 2)), "square"),
    "float16": (np.eye(3, dtype=np.float16), "float16"),
    "longdouble": (np.eye(3, dtype=np.longdouble), str(np.dtype(np.longdouble))),
    "object": (np.eye(3).astype(object), "dtype object"),
    "text": (np.eye(3).astype(str), "dtype <U32"),
    "dates": (np.zeros((3, 3), "M8[s]"), "dtype datetime64"),
    "ragged": ([[1, 2, 3], [4, 5, 6], [7, 8]], "inhomogeneous"),
}

NOT_FINITE = {
    "NaN": np.full((3, 3), np.nan),
    "infinity": np.diag([1.0, 2.0, np.inf]),
    "one NaN among many": np.where(np.arange(900) == 777, np.nan, 1).reshape(100, 3, 3),
    "float32 infinity": np.full((3, 3), np.inf, np.float32),
}


@pytest.mark.parametrize("A", NOT_FINITE.values(), ids=NOT_FINITE.keys())
def test_what_is_not_finite_has_no_guess_and_no_certificate(invert, A):
    with pytest.raises(ValueError, match="not finite"):
        invert.guess(A)
    with pytest.raises(ValueError, match="not finite"):
        invert.inv(A)
    result = invert.inv_ex(A)
    bad = ~np.isfinite(A).all(axis=(-2, -1))
    assert np.isnan(result.inverse[bad]).all()
    assert not result.certificate.certified[bad].any()


@pytest.mark.parametrize("A, words", REFUSED.values(), ids=REFUSED.keys())
def test_refused_in_one_sentence(invert, method, A, words):
    for call in (method, invert):
        with pytest.raises(ValueError, match=words) as caught:
            call(A)
        message = str(caught.value)
        assert "\n" not in message
        assert len(message) > 10


@pytest.mark.parametrize("A", [np.eye(4), np.zeros((3, 3, 4, 4)), np.eye(2), np.eye(3) + 0j])
def test_the_network_itself_takes_its_own_order_and_real_numbers(invert, A):
    with pytest.raises(ValueError, match="order 3"):
        invert.guess(A)


@pytest.mark.parametrize("scale", [1.0, 2.0**-700])
def test_a_guess_from_a_start_takes_it_from_there(invert, scale):
    """Steps from a given approximate inverse, one each or one for all, at any scale."""
    A = scale * well_conditioned(12)
    near = np.linalg.inv(A) * (1 + 1e-2 * np.random.default_rng(0).standard_normal(A.shape))
    for start in (near, near[0] + 0 * near[:1]):
        X = invert.guess(A, start=start)
        assert (residuals(A, X) <= 1e-3 + 1e-9).all()
    exact = np.linalg.inv(A)
    assert (residuals(A, invert.guess(A, start=exact, max_products=1)) < 1e-9).all()
    np.testing.assert_array_equal(invert.guess(A, start=near, max_products=0), near)


@pytest.mark.parametrize(
    "start, says",
    [(np.ones((2, 2)), "does not fit"), (np.full((3, 3), np.nan), "start has an entry")],
)
def test_a_start_without_sense_is_refused(invert, start, says):
    with pytest.raises(ValueError, match=says):
        invert.guess(well_conditioned(2), start=start)
