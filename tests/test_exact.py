"""Integer arithmetic says which entries are correctly rounded."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepmatrixinversion.matrices.exact import correctly_rounded, nearest
from oracle import integers

DTYPES = [np.dtype(np.float32), np.dtype(np.float64)]


@given(
    st.integers(-(2**90), 2**90),
    st.integers(-(2**90), 2**90).filter(bool),
    st.integers(-1150, 1100),
)
def test_nearest_in_float64_is_the_division_of_integers(p, q, exponent):
    numerator, denominator = p << max(exponent, 0), q << max(-exponent, 0)
    try:
        expected = numerator / denominator
    except OverflowError:
        expected = np.inf if (p > 0) == (q > 0) else -np.inf
    assert nearest(p, q, exponent, np.dtype(np.float64)) == expected


@given(st.integers(-(2**40), 2**40), st.integers(1, 2**40), st.integers(-170, 150))
def test_nearest_in_float32_has_no_nearer_neighbour(p, q, exponent):
    exact = Fraction(p, q) * Fraction(2) ** exponent
    got = np.float32(nearest(p, q, exponent, np.dtype(np.float32)))
    if np.isinf(got):
        assert abs(exact) >= Fraction(2) ** 128 - Fraction(2) ** 103
        return
    for away in (np.float32(np.inf), np.float32(-np.inf)):
        neighbour = np.nextafter(got, away)
        if np.isfinite(neighbour):
            closer = abs(Fraction(float(got)) - exact)
            further = abs(Fraction(float(neighbour)) - exact)
            assert closer < further or (closer == further and got.view(np.uint32) % 2 == 0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_the_rounded_inverse_has_all_entries_and_its_neighbours_have_none(n, dtype):
    A = np.random.default_rng(n).standard_normal((n, n)).astype(dtype)
    M, exponent = integers(A)
    exact = [int(e.p) / int(e.q) for e in M.inv().entries()]
    # Rounded twice for float32, which is as good unless 29 bits in a row say otherwise.
    X = np.ldexp(np.array(exact).reshape(n, n), -exponent).astype(dtype)
    assert correctly_rounded(A, X) == n * n
    assert correctly_rounded(A, np.nextafter(X, dtype.type(np.inf))) == 0
    X[0, 0] = np.nextafter(X[0, 0], dtype.type(-np.inf))
    assert correctly_rounded(A, X) == n * n - 1


def test_what_has_no_inverse():
    assert correctly_rounded(np.ones((2, 2)), np.ones((2, 2))) is None
    assert correctly_rounded(np.full((2, 2), np.nan), np.ones((2, 2))) is None
    assert correctly_rounded(np.ones((0, 0)), np.ones((0, 0))) == 0


def test_scales_at_the_ends_of_the_range():
    A = np.array([[2.0**-1040, 0.0], [2.0**-1022, 2.0**1000]])
    X = np.array([[np.inf, 0.0], [-(2.0**-982), 2.0**-1000]])
    assert correctly_rounded(A, X) == 4
