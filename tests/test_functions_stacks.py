"""Stacks: no matrix disturbs its neighbours, and errors name the places."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from deepmatrixinversion import (
    Inversion,
    SingularMatrixError,
    inv,
    inv_ex,
    pinv_ex,
    solve,
)
from deepmatrixinversion.matrices.spectra import with_condition
from menagerie import RNG, uniform
from truth import one_sentence

BAD = {
    "zero": lambda n: np.zeros((n, n)),
    "ones": lambda n: np.ones((n, n)),
    "huge": lambda n: 1e300 * uniform(n),
    "tiny": lambda n: 1e-300 * uniform(n),
    "subnormal": lambda n: 5e-324 * np.eye(n),
    "largest": lambda n: np.full((n, n), np.finfo(float).max),
    "near singular": lambda n: with_condition(RNG, n, 1e15),
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
        for other in (inv_ex(A[i]), one_of(shifted, i - 1)):
            np.testing.assert_array_equal(other.inverse, whole.inverse[i])
            for got, expected in zip(other.certificate, whole.certificate, strict=True):
                np.testing.assert_array_equal(got, expected[i])


def one_of(inversion, i):
    """One matrix's part of an inversion."""
    return Inversion(
        inversion.inverse[i], inversion.certificate.at(i), inversion.steps[i], *inversion[3:]
    )


def test_large_stacks_are_named_and_right():
    A = np.random.default_rng(2).uniform(-1, 1, (60_000, 3, 3))
    singular = [0, 17, 29_999, 59_999]
    A[singular] = np.ones((3, 3))
    result = inv_ex(A)
    np.testing.assert_array_equal(np.flatnonzero(~result.certificate.certified), singular)
    with pytest.raises(SingularMatrixError, match=r"\[0, 17, 29999, 59999\] of 60000"):
        inv(A)


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
    with pytest.raises(SingularMatrixError, match="solve_ex"):
        solve(A, np.ones(4))
