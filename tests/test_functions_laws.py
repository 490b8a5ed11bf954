"""Laws of the inverse: of itself, scaled, permuted, transposed, padded, conjugated."""

from __future__ import annotations

import numpy as np
import pytest

from deepmatrixinversion import (
    inv,
    inv_ex,
)
from menagerie import SMALL
from truth import EPS, kappa, norm, sample


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
