"""Scaling by powers of two loses no bit, whatever the range of the entries."""

import numpy as np
import pytest

from deepmatrixinversion.linalg.scaling import Scaled, equilibrate, normalise, times_power
from deepmatrixinversion.linalg.stack import Stack

SCALES = [1.0, 1e-320, 5e-324, 1e-300, 1e-160, 1e160, 1e300, 1.7e308]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("n", [1, 3, 8])
def test_normalise_is_exact(scale, n):
    A = np.random.default_rng(n).uniform(-1, 1, (7, n, n)) * scale
    before = A.copy()
    S, exponent = normalise(A)
    assert np.array_equal(times_power(S, exponent[:, None, None]), A)
    norm = np.sqrt((S * S).sum(axis=(1, 2)))
    zero = (A == 0).all(axis=(1, 2))
    rounding = n * n * 2.0**-53
    assert ((norm >= 0.5 - rounding) & (norm < 1.0 + rounding) | zero).all()
    assert np.array_equal(A, before)


def test_normalise_of_nothing_and_of_zero():
    for shape in [(0, 0), (3, 0, 0), (0, 4, 4)]:
        S, exponent = normalise(np.empty(shape))
        assert S.shape == shape
        assert exponent.shape == shape[:-2]
    S, exponent = normalise(np.zeros((2, 3, 3)))
    assert not S.any()
    assert not exponent.any()


def test_normalise_takes_any_layout():
    A = np.random.default_rng(0).uniform(-1, 1, (4, 6, 6))
    S, exponent = normalise(A)
    for other in (np.asfortranarray(A), A.astype(">f8"), A[::-1][::-1]):
        T, same = normalise(other)
        assert np.array_equal(S, T)
        assert np.array_equal(exponent, same)


def test_non_finite_matrices_are_left_alone():
    A = np.array([[[np.inf, 0.0], [0.0, 1.0]], [[4.0, 0.0], [0.0, np.nan]], [[3.0, 0], [0, 0]]])
    S, exponent = normalise(A)
    assert np.array_equal(S[:2], A[:2], equal_nan=True)
    assert exponent.tolist() == [0, 0, 2]


def test_equilibration_is_exact_and_even():
    rng = np.random.default_rng(1)
    D = 10.0 ** rng.uniform(-140, 140, (2, 5, 4, 1))
    A = rng.uniform(0.5, 1, (5, 4, 4)) * D[0] * D[1].swapaxes(1, 2)
    S, r, c = equilibrate(A)
    assert np.array_equal(np.ldexp(S, r[:, :, None] + c[:, None, :]), A)
    columns = np.abs(S).max(axis=1)
    assert ((columns >= 0.5) & (columns < 1)).all()
    assert (np.abs(S).max(axis=2) < 1).all()


def test_unequilibrated_inverse_is_exact():
    # A signed permutation, scaled: its inverse is known exactly.
    A = np.zeros((3, 3))
    A[[0, 1, 2], [2, 0, 1]] = 2.0**300, -(2.0**-400), 2.0**7
    scaled = Scaled.of(A[None])
    X = scaled.unscaled(Stack.of(np.linalg.inv(scaled.S.matrices()))).matrices()[0]
    assert np.array_equal(X @ A, np.eye(3))
    again = scaled.scaled(Stack.of(X[None])).matrices()[0]
    assert np.array_equal(again @ scaled.S.matrices()[0], np.eye(3))


def test_a_matrix_s_scaling_does_not_depend_on_its_neighbours():
    rng = np.random.default_rng(3)
    for n in (3, 6):
        A = rng.standard_normal((6, n, n))
        alone = Scaled.of(A)
        B = A.copy()
        B[::2, 0] *= 2.0**90
        mixed = Scaled.of(B)
        assert alone.uniform
        assert not mixed.uniform
        odd = np.array([1, 3, 5])
        assert np.array_equal(mixed.S[odd].array, alone.S[odd].array)
        X = Stack.of(rng.standard_normal((3, n, n)))
        one, two = (scaled.at(odd).unscaled(X).array for scaled in (mixed, alone))
        assert np.array_equal(one, two)


def test_equilibration_keeps_zero_lines():
    A = np.array([[0.0, 0.0], [3.0, 0.0]])
    S, r, c = equilibrate(A)
    assert np.array_equal(np.ldexp(S, r[:, None] + c), A)
    assert r[0] == 0
    assert c[1] == 0


def test_overflow_is_silent_infinity():
    assert times_power(np.ones((1, 1)), np.array([[2000]]))[0, 0] == np.inf
