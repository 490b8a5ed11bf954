"""Each certificate holds against exact arithmetic, and nothing false is certified."""

import subprocess
import sys
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import oracle
import soundness
import soundness_cases
from deepmatrixinversion import inv_ex
from deepmatrixinversion.linalg.certify import certify, entrywise_error_bound

flint = pytest.importorskip("flint")

U = 2.0**-53


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def violations(tallies):
    return {name: t.violations for name, t in tallies.items() if t.violations}


def test_no_bound_is_violated():
    tallies = soundness.run(4000, seed=3, flushed=False)
    assert sum(t.cases for t in tallies.values()) >= 4000
    assert not violations(tallies)
    certified = sum(t.certified for t in tallies.values())
    assert certified >= 1000, "a certificate that certifies nothing proves nothing"
    # An ulp off, matrices are no longer singular, and some are proven to be not.
    singular = [
        t for name, t in tallies.items() if name.startswith("singular") and "ulp" not in name
    ]
    assert singular
    assert not any(t.certified for t in singular)


def test_flushed_denormals_certify_nothing_false():
    pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    pairs = soundness.flushed_pairs(rng, 4)
    proofs = soundness.flushed_certificates(pairs)
    found = [soundness.check(A, X, proof) for (A, X), proof in zip(pairs, proofs, strict=True)]
    assert not any(found)
    assert sum(int(proof.certified.sum()) for proof in proofs) >= 50


@pytest.mark.slow
def test_no_bound_is_violated_in_many_cases():
    assert not violations(soundness.run(200_000, seed=4))


def test_the_checker_itself_sees_violations():
    A, X = np.array([[2.0, 1.0], [1.0, 1.0]]), np.array([[1.0, -1.0], [-1.0, 2.0]])
    assert oracle.violation(A, X, True, 0.0, 0.0) is None
    Y = np.nextafter(X, np.inf)
    assert oracle.violation(A, Y, True, 0.0, 1.0) == "residual bound violated"
    assert oracle.violation(A, Y, True, 1e-14, 0.0) == "error bound violated"
    assert oracle.violation(np.ones((2, 2)), X, True, 9.0, 9.0) == "certified a singular matrix"


def test_rump_s_matrix_is_what_it_should_be():
    M, _ = oracle.integers(soundness_cases.RUMP)
    inverse = M.inv()
    kappa = oracle.row_norm(M, 4) * oracle.row_norm(flint.fmpq_mat(inverse), 4)
    assert 1e63 < float(int(kappa)) < 1e66
    X = soundness_cases.approximate_inverse(soundness_cases.RUMP[None])
    assert not certify(soundness_cases.RUMP[None], X).certified.any()


def exact_errors(A, X):
    """|A^-1 - X| entry by entry, as floats rounded from rationals."""
    M, e = oracle.integers(A)
    Y, f = oracle.integers(X)
    difference = flint.fmpq_mat(M.inv()) * oracle.power(-e) - flint.fmpq_mat(Y) * oracle.power(f)
    entries = [abs(x) for x in difference.entries()]
    return np.array([float(Fraction(int(x.p), int(x.q))) for x in entries]).reshape(A.shape)


@pytest.mark.parametrize("n", [2, 4, 8, 16, 32])
def test_bounds_are_the_errors_themselves(n):
    rng = np.random.default_rng(n)
    for reach in (1e2, 1e6, 1e10):
        A = soundness_cases.conditioned(rng, 4, n, np.full(4, reach))
        X = np.linalg.inv(A)
        proof = certify(A, X)
        error = np.array([exact_errors(a, x).sum(axis=1).max() for a, x in zip(A, X, strict=True)])
        # Measured: 1.000 to 1.002.
        assert (proof.error_bound <= 1.05 * error).all()
        assert proof.certified.all()


def test_large_orders_are_bounded_sharply():
    A = np.random.default_rng(0).standard_normal((2, 300, 300))
    X = np.linalg.inv(A)
    doubled = np.array(
        [x @ (np.eye(300) - a.astype(np.longdouble) @ x) for a, x in zip(A, X, strict=True)]
    ).astype(float)
    error = np.abs(doubled).sum(axis=2).max(axis=1)
    assert (certify(A, X).error_bound <= 1.1 * error).all()


def test_large_inverses_right_to_the_last_bit_are_known_to_be():
    A = np.random.default_rng(1).standard_normal((200, 200))
    X = inv_ex(A, rtol=2.0**-50).inverse
    assert certify(A, X).relative_error_bound <= 1.125 * 2.0**-53


@pytest.mark.parametrize("n", [1, 3, 6])
def test_entrywise_bounds_hold_and_are_sharp(n):
    rng = np.random.default_rng(n)
    A = rng.standard_normal((20, n, n))
    A[::2] *= 2.0 ** rng.integers(-30, 30, (10, n, 1))
    A[::4] *= 2.0 ** rng.integers(-30, 30, (5, 1, n))
    X = np.linalg.inv(A) * (1 + rng.uniform(-1e-12, 1e-12, A.shape))
    bound = entrywise_error_bound(A, X)
    for a, x, limit in zip(A, X, bound, strict=True):
        error = exact_errors(a, x)
        assert (error <= limit * (1 + U)).all()
        assert np.median(limit / error) < 1.01
    assert (entrywise_error_bound(np.ones((2, 2)), np.eye(2)) == np.inf).all()


@pytest.mark.parametrize("power", [13, 30, 300])
def test_scaling_by_powers_of_two_changes_no_certificate(power):
    rng = np.random.default_rng(power)
    n = 5
    B = rng.standard_normal((10, n, n))
    X = np.linalg.inv(B)
    D = 2.0 ** rng.integers(-power, power + 1, (10, n, 1))
    plain = certify(B, X)
    for left, right in ((D, 1 / D), (D, D)):
        A, Y = left * B * right.swapaxes(1, 2), X / right / left.swapaxes(1, 2)
        proof = certify(A, Y)
        assert proof.certified.all()
        assert (proof.error_bound <= 1.01 * np.abs(Y).sum(axis=2).max(axis=1) * 1e-12).all()
        if left is D and power == 30:
            assert (proof.relative_error_bound <= 2 * n * plain.relative_error_bound.max()).all()


def test_certified_means_accurate():
    A = np.eye(3)
    X = A * (1 + 1e-7)
    assert certify(A, X).certified
    assert not certify(A, X, rtol=1e-8).certified
    Y = A * (1 + 1e-5)
    proof = certify(A, Y)
    assert not proof.certified
    assert proof.relative_error_bound == pytest.approx(1e-5, rel=1e-4)
    assert certify(A, Y, rtol=1e-4).certified
    assert certify(A.astype(np.float32), Y.astype(np.float32)).certified
    # The small entries of a badly scaled inverse count.
    D = np.array([1e8, 1.0, 1e-8])
    B, Z = A / D, A * D
    Z[2, 2] *= 1.1
    assert not certify(B, Z).certified


def test_the_rounding_mode_is_found_out():
    script = Path(__file__).with_name("rounding_mode.py")
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_reach_is_as_designed():
    rng = np.random.default_rng(1)
    for n, reach in ((4, 1e14), (32, 1e12), (128, 1e11)):
        kappa = np.full(5, reach)
        A = soundness_cases.conditioned(rng, 5, n, kappa)
        proof = certify(A, np.linalg.inv(A), rtol=1.0)
        assert proof.certified.all()
        # LAPACK's inverses are proven nonsingular, and proven to be less accurate than asked for.
        assert (proof.relative_error_bound > 1e-6).all() or n > 4


@pytest.mark.parametrize("n", [3, 6])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_values_are_never_certified(n, bad):
    A = np.broadcast_to(np.eye(n), (2 * n * n, n, n)).copy()
    X = A.copy()
    for position in range(n * n):
        X[position].flat[position] = bad
        A[n * n + position].flat[position] = bad
    proof = certify(A, X)
    assert not proof.certified.any()
    assert (proof.error_bound == np.inf).all()


@pytest.mark.parametrize("n", [3, 7])
def test_a_pair_s_certificate_does_not_depend_on_its_neighbours(n):
    rng = np.random.default_rng(2)
    A = rng.standard_normal((12, n, n))
    X = np.linalg.inv(A)
    whole = certify(A, X)
    broken = X.copy()
    broken[::2] = np.nan
    for one, two in zip(certify(A, broken), whole, strict=True):
        assert np.array_equal(one[1::2], two[1::2])
    for one, two in zip(certify(A[4], X[4]), whole, strict=True):
        assert one.shape == ()
        assert one == two[4]


def test_columns_far_apart_in_scale_are_no_matter():
    # Columns of A far apart in scale inflate I - XA, not I - AX.
    A = np.random.default_rng(3).uniform(-1, 1, (4, 4)) * np.array([1.0, 1e-20, 1e20, 1.0])
    proof = certify(A, np.linalg.inv(A))
    assert proof.residual_bound > 1
    assert proof.certified
    assert proof.relative_error_bound < 1e-14
    assert np.isfinite(proof.error_bound)


def test_shapes_and_dtypes():
    for shape in [(0, 0), (3, 0, 0), (0, 4, 4), (2, 3, 4, 4)]:
        A = np.broadcast_to(np.eye(shape[-1]), shape)
        for dtype in (np.float64, np.float32, ">f8", ">f4"):
            proof = certify(A.astype(dtype), A.astype(dtype))
            assert all(field.shape == shape[:-2] for field in proof)
            assert proof.certified.all()
    for A, X in [
        (np.eye(2), np.eye(3)),
        (np.ones((2, 3)), np.ones((2, 3))),
        (np.ones(3), np.ones(3)),
        (np.eye(2, dtype=np.float16), np.eye(2)),
        (np.eye(2, dtype=np.longdouble), np.eye(2)),
        (np.eye(2, dtype=complex), np.eye(2)),
        (np.eye(2, dtype=int), np.eye(2)),
    ]:
        with pytest.raises(ValueError):
            certify(A, X)
