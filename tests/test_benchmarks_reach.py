"""The benchmark of reach: ratios, verdicts, truths and families."""

from __future__ import annotations

import flint
import numpy as np
import pytest

import reach
from menagerie import hilbert, uniform

U = 2.0**-53


def case(**changes):
    """A matrix like any other, but for ``changes``."""
    return reach.Case("uniform", 8, 1e3, True, 1e-15, 2e-15, True)._replace(**changes)


def test_ratios_below_the_roundoff_unit_are_no_contest():
    assert reach.ratio(case()) == 0.5
    assert reach.ratio(case(error=0.0, lapack=0.0)) == 1
    assert reach.ratio(case(error=0.0, lapack=8 * U)) == 1 / 8
    assert reach.ratio(case(error=3 * U, lapack=0.0)) == 3


def test_the_verdict_names_what_falls_short():
    cases = [
        case(),
        case(),
        case(family="Frank", certified=False, condition=2e4),
        case(family="Kahan", error=1e-14),
        case(condition=1e12),
        case(condition=1e13, certified=False, error=1.0),
        case(bound_holds=False),
    ]
    certified, bounds, ratios = reach.verdict(cases).splitlines()
    assert "4 of 5 matrices" in certified
    assert "missed: Frank 8 (kappa 2.0e+04); beyond, 1 of 2" in certified
    assert "4 of 5" in bounds
    assert "median 0.50, worst 5.00; above 4: Kahan 8 (5.0)" in ratios
    clean = reach.verdict([case(), case(error=2e-15)])
    assert "missed" not in clean
    assert "above 4" not in clean
    assert "2 of 2 matrices" in clean
    assert "beyond, 0 of 0" in clean
    assert "No matrix" in reach.verdict([case(condition=1e12)])
    assert "No matrix" in reach.verdict([])


def test_the_table_has_a_row_for_each_family_and_order():
    cases = [
        case(),
        case(order=3),
        case(family="Frank"),
        case(family="Pascal"),
        case(condition=1e11),
    ]
    rows = [line.split("|") for line in reach.rows(cases).splitlines()[2:]]
    names = [(row[1].strip(), int(row[2]), int(row[3])) for row in rows]
    assert names == [("structured", 8, 2), ("uniform", 3, 1), ("uniform", 8, 2)]
    assert rows[2][5].strip() == "1 of 1"


def test_the_truth_is_true():
    """Rational up to order 32; beyond, as near as longdouble comes."""
    A = hilbert(6)
    inverse = reach.truth(A)
    exact = reach.rational(A).inv()
    for i, j in np.ndindex(6, 6):
        value, digits = exact[i, j], np.longdouble(inverse[i, j]).as_integer_ratio()
        unit = 2 * np.finfo(np.longdouble).eps
        assert abs(flint.fmpq(*digits) / value - 1) <= flint.fmpq(*unit.as_integer_ratio())
    B = uniform(40)
    refined, condition = reach.truth(B), np.linalg.cond(B)
    residual = np.abs(np.eye(40) - B.astype(np.longdouble) @ refined).max()
    # A longdouble product rounds n times, relative to |A||X|, at most kappa; so does the last step.
    assert residual <= 4 * 40 * np.finfo(np.longdouble).eps * 40 * condition


def test_errors_are_relative_and_of_any_scale():
    inverse = np.array([[3.0, 0], [0, 4]], dtype=np.longdouble)
    X = np.array([[3.0, 0], [0, 5]])
    assert reach.error(X, inverse) == pytest.approx(0.2, rel=8 * U)
    assert reach.error(X * 1e300, inverse * np.longdouble(1e300)) == pytest.approx(0.2, rel=32 * U)
    assert reach.error(X * 1e-300, inverse * np.longdouble(1e-300)) == pytest.approx(
        0.2, rel=32 * U
    )
    assert reach.error(X, X.astype(np.longdouble)) == 0


def measured(A):
    """What is measured of a matrix that has an inverse."""
    found = reach.measure("uniform", A)
    assert found is not None
    return found


def test_a_false_bound_would_be_seen(monkeypatch):
    A = uniform(5)
    assert measured(A).bound_holds
    real = reach.inv_ex

    def boastful(A):
        result = real(A)
        bound = result.certificate.error_bound * 1e-6
        X = result.inverse * (1 + 1e-10)
        return result._replace(
            inverse=X, certificate=result.certificate._replace(error_bound=bound)
        )

    monkeypatch.setattr(reach, "inv_ex", boastful)
    assert not measured(A).bound_holds
    assert reach.measure("hopeless", np.ones((3, 3))) is None


@pytest.mark.parametrize("n", [1, 2, 3, 8, 13])
def test_families_are_what_they_are_called(n):
    rng = np.random.default_rng(0)
    found = dict(reach.families(n, rng, 0.01))
    assert set(found) == {"uniform", "normal", "scaled", *reach.STRUCTURED}
    assert all(A.shape == (n, n) and np.isfinite(A).all() for A in found.values())
    swap = found["[[0, I], [I, 0]]"]
    np.testing.assert_array_equal(swap @ swap, np.eye(n))
    permutation = found["permutation"]
    np.testing.assert_array_equal(permutation @ permutation.T, np.eye(n))
    Q = found["orthogonal"]
    assert np.linalg.norm(Q @ Q.T - np.eye(n)) <= 8 * n * n * U * 2  # Householder: c n^(3/2) u
    i, j = np.indices((n, n))
    assert (found["Pascal"] == found["Pascal"].T).all()
    assert reach.rational(found["Pascal"]).det() == 1
    assert reach.rational(found["Frank"]).det() == 1
    assert (np.tril(found["Kahan"], -1) == 0).all()
    assert (found["companion"][i > j + 1] == 0).all()
