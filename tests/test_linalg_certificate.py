"""Each certificate holds against exact arithmetic, and nothing false is certified."""

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest

from deepmatrixinversion.linalg.certificate import certify, solution_error_bound

flint = pytest.importorskip("flint")

_PATH = Path(__file__).parents[1] / "benchmarks" / "soundness.py"
_SPEC = importlib.util.spec_from_file_location("soundness", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
soundness = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(soundness)

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
    singular = [t for name, t in tallies.items() if name.startswith("singular")]
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
    assert soundness.violation(A, X, True, 0.0, 0.0) is None
    Y = np.nextafter(X, np.inf)
    assert soundness.violation(A, Y, True, 0.0, 1.0) == "residual bound violated"
    assert soundness.violation(A, Y, True, 1e-14, 0.0) == "error bound violated"
    assert soundness.violation(np.ones((2, 2)), X, True, 9.0, 9.0) == "certified a singular matrix"


def test_rump_s_matrix_is_what_it_should_be():
    M, _ = soundness.integers(soundness.RUMP)
    inverse = M.inv()
    kappa = soundness.row_norm(M, 4) * soundness.row_norm(inverse, 4)
    assert 1e63 < float(int(kappa)) < 1e66
    X = soundness.approximate_inverse(soundness.RUMP[None])
    assert not certify(soundness.RUMP[None], X).certified.any()


def test_bounds_are_sharp_enough_to_be_of_use():
    rng = np.random.default_rng(0)
    for n in (2, 4, 8, 32, 128):
        A = rng.standard_normal((10, n, n))
        X = np.linalg.inv(A)
        proof = certify(A, X)
        kappa = np.linalg.norm(A, np.inf, axis=(1, 2)) * np.linalg.norm(X, np.inf, axis=(1, 2))
        # gamma_n |X||A| doubles the computed residual's own n u |X||A| at most, and 4 n u is spare.
        assert (proof.residual_bound <= (4 * n + 16) * U * kappa).all()
        assert proof.certified.all()


def test_reach_is_as_designed():
    rng = np.random.default_rng(1)
    for n, reach in ((4, 1e14), (32, 1e12), (128, 1e11)):
        kappa = np.full(5, reach)
        A = soundness.conditioned(rng, 5, n, kappa)
        assert certify(A, np.linalg.inv(A)).certified.all()


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


def test_the_other_side_proves_nonsingularity_too():
    # Columns of A far apart in scale inflate I - XA, not I - AX.
    A = np.random.default_rng(3).uniform(-1, 1, (4, 4)) * np.array([1.0, 1e-20, 1e20, 1.0])
    proof = certify(A, np.linalg.inv(A))
    assert proof.residual_bound > 1
    assert proof.certified
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


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_solution_bound_against_rationals(n):
    rng = np.random.default_rng(n)
    k, p = 25, 3
    A = soundness.conditioned(rng, k, n, 10.0 ** rng.uniform(0, 12, k))
    A *= 10.0 ** rng.uniform(-150, 150, (k, 1, 1))
    X = np.linalg.inv(A)
    B = rng.standard_normal((k, n, p)) * 10.0 ** rng.uniform(-100, 100, (k, 1, 1))
    Y = X @ B
    alpha = certify(A, X).residual_bound
    bound = solution_error_bound(A, X, B, Y, alpha)
    assert bound.shape == (k, p)
    for a, b, y, limit in zip(A, B, Y, bound, strict=True):
        M, e = soundness.integers(a)
        C, f = soundness.integers(b)
        Z, g = soundness.integers(y)
        exact = M.inv() * flint.fmpq_mat(C) * soundness.power(f - e)
        difference = exact - flint.fmpq_mat(Z) * soundness.power(g)
        for j in range(p):
            if np.isfinite(limit[j]):
                error = max(abs(difference[i, j]) for i in range(n))
                assert error <= soundness.rational(limit[j])
    assert np.isfinite(bound).mean() > 0.9
    assert (solution_error_bound(A, X, B, Y, np.ones(k)) == np.inf).all()
