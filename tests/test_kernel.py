"""The compiled kernel: its bounds held against exact arithmetic, and what its results depend on."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from deepmatrixinversion import kernel
from deepmatrixinversion.kernel import invert_stack
from deepmatrixinversion.matrices.spectra import with_condition

pytestmark = pytest.mark.skipif(not kernel.available(), reason="there is no kernel")

METHODS = kernel.METHODS
ORDERS = range(1, kernel.LARGEST_ORDER + 1)
SETS = kernel.show_config().get("instruction_sets", [])


@pytest.fixture(params=SETS)
def instruction_set(request):
    before = kernel.show_config()["instruction_set"]
    kernel.use(request.param)
    yield request.param
    kernel.use(before)


def exact_inverse(A):
    """The inverse in fractions, None for a singular matrix."""
    n = len(A)
    M = [
        [Fraction(float(x)) for x in row] + [Fraction(i == j) for j in range(n)]
        for i, row in enumerate(A)
    ]
    for k in range(n):
        pivot = next((i for i in range(k, n) if M[i][k]), None)
        if pivot is None:
            return None
        M[k], M[pivot] = M[pivot], M[k]
        d = M[k][k]
        M[k] = [x / d for x in M[k]]
        for i in range(n):
            f = M[i][k]
            if i != k and f:
                M[i] = [x - f * y for x, y in zip(M[i], M[k], strict=True)]
    return [row[n:] for row in M]


def norm(M):
    return max(sum(map(abs, row)) for row in M)


def random(n, rng):
    return rng.standard_normal((n, n))


def rows_graded(n, rng):
    return rng.standard_normal((n, n)) * 10.0 ** rng.uniform(-8, 8, (n, 1))


def columns_graded(n, rng):
    return rng.standard_normal((n, n)) * 10.0 ** rng.uniform(-8, 8, (1, n))


def near_singular(n, rng):
    A = rng.standard_normal((n, n))
    A[:, 0] = A[:, 1:].sum(axis=1) + 10.0 ** rng.uniform(-14, -1) * rng.standard_normal(n)
    return A


def permutation(n, rng):
    return np.eye(n)[rng.permutation(n)] * rng.uniform(0.5, 2, n)


def any_scale(n, rng):
    return rng.standard_normal((n, n)) * 2.0 ** rng.integers(-1000, 990)


def wide_diagonal(n, rng):
    return np.diag(np.ldexp(rng.uniform(1, 2, n), rng.integers(-1074, -1015, n)))


def small_integers(n, rng):
    return rng.integers(-3, 4, (n, n)).astype(float)


def triangular(n, rng):
    return np.tril(rng.standard_normal((n, n))) * 10.0 ** rng.uniform(-3, 3)


def extremes(n, rng):
    return np.ldexp(
        rng.choice([-1.0, 1.0], (n, n)) * rng.uniform(1, 2, (n, n)),
        rng.choice([-1074, -1022, -600, 0, 0, 0, 600, 1023], (n, n)),
    )


def nearly_two(n, rng):
    """Entries whose sums come as close as they can to what the split allows."""
    H = np.ones((1, 1))
    while len(H) < n:
        H = np.block([[H, H], [H, -H]])
    return H[:n, :n] * (2 - rng.integers(1, 4, (n, n)) * 2.0**-52) + np.eye(n) * 2.0**-9


FAMILIES = [
    random,
    rows_graded,
    columns_graded,
    near_singular,
    permutation,
    any_scale,
    wide_diagonal,
    small_integers,
    triangular,
    extremes,
    nearly_two,
]


def check_against_fractions(A, result, where):
    for k, (a, x) in enumerate(zip(A, result.inverse, strict=True)):
        if not np.isfinite(result.error_bound[k]):
            assert not result.finished[k], where
            assert np.isnan(x).all(), where
            continue
        true = exact_inverse(a)
        assert true is not None, (where, "proven though singular", a)
        assert np.isfinite(x).all(), where
        if result.finished[k]:
            assert result.relative_error_bound[k] <= (2.0**-50 if x.dtype == float else 2.0**-21)
        n = len(a)
        X = [[Fraction(float(v)) for v in row] for row in x]
        error = norm([[true[i][j] - X[i][j] for j in range(n)] for i in range(n)])
        assert error <= Fraction(float(result.error_bound[k])), (where, k, a.tolist())
        assert error <= Fraction(float(result.relative_error_bound[k])) * norm(X), where
        B = [[Fraction(float(v)) for v in row] for row in a]
        for L, R in ((X, B), (B, X)):
            residual = norm(
                [
                    [sum(L[i][q] * R[q][j] for q in range(n)) - (i == j) for j in range(n)]
                    for i in range(n)
                ]
            )
            bound = float(result.residual_bound[k])
            assert bound == np.inf or residual <= Fraction(bound), where


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_bounds_hold_in_exact_arithmetic(family, method):
    rng = np.random.default_rng(1)
    for n in (1, 2, 3, 4, 5, 8, 17):
        A = np.stack([family(n, rng) for _ in range(12 if n < 6 else 2 if n < 17 else 1)])
        check_against_fractions(A, invert_stack(A, method), (family.__name__, n, method))


@pytest.mark.parametrize("method", METHODS)
def test_bounds_hold_for_every_instruction_set(instruction_set, method):
    rng = np.random.default_rng(2)
    for n in (1, 3, 6):
        A = np.stack([family(n, rng) for family in FAMILIES for _ in range(3)])
        check_against_fractions(A, invert_stack(A, method), (instruction_set, n, method))


@pytest.mark.parametrize("method", METHODS)
def test_float32_bounds_hold_in_exact_arithmetic(instruction_set, method):
    rng = np.random.default_rng(3)
    for n in (1, 2, 5, 17):
        A = rng.standard_normal((8 if n < 17 else 1, n, n)) * 2.0 ** rng.integers(-150, 120)
        A = A.astype(np.float32)
        result = invert_stack(A, method)
        assert result.inverse.dtype == np.float32
        check_against_fractions(A, result, (instruction_set, n, method))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_bounds_are_the_error_itself(n, method):
    """What is left of a finished inverse is its last rounding, and the bound is all but equal."""
    A = np.random.default_rng(n).standard_normal((21, n, n))
    result = invert_stack(A, method)
    ratios = []
    for a, x, bound in zip(A, result.inverse, result.error_bound, strict=True):
        true = exact_inverse(a)
        assert true is not None
        error = norm([[true[i][j] - Fraction(float(x[i, j])) for j in range(n)] for i in range(n)])
        ratios.append(Fraction(float(bound)) / error)
    assert min(ratios) >= 1
    assert sorted(ratios)[10] < 1.05


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="constants of x86-64")
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "fesetround"), reason="no fesetround")
@pytest.mark.parametrize("mode", [0x400, 0x800, 0xC00], ids=["down", "up", "to zero"])
def test_rounding_modes_of_the_caller_do_not_matter(mode):
    libm = ctypes.CDLL(None)
    A = np.random.default_rng(0).standard_normal((40, 6, 6))
    expected = bits(invert_stack(A, threads=1))
    before = libm.fegetround()
    assert libm.fesetround(mode) == 0
    try:
        found = invert_stack(A, threads=1)
        after = libm.fegetround()
    finally:
        libm.fesetround(before)
    assert bits(found) == expected
    assert after == mode


def bits(result):
    return [np.asarray(field).tobytes() for field in result]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 16, 17, 24])
def test_every_matrix_has_its_own_bits(instruction_set, n, method):
    """Whatever stands beside it, wherever it stands, however many threads."""
    rng = np.random.default_rng(n)
    A = np.stack([FAMILIES[k % len(FAMILIES)](n, rng) for k in range(53)])
    A[7], A[11] = np.nan, 0.0
    A[20, 0, 0] = np.inf
    whole = invert_stack(A, method, threads=1)
    many = np.concatenate([A] * (2 + 1_200_000 // (n**3 + 64) // len(A)))  # worth three threads
    parallel = invert_stack(many, method, threads=3)
    for start in range(0, len(many), len(A)):
        assert bits([field[start : start + len(A)] for field in parallel]) == bits(whole)
    backwards = invert_stack(np.ascontiguousarray(A[::-1]), method, threads=1)
    assert bits([field[::-1] for field in backwards]) == bits(whole)
    for k in (0, 12, 37, 52):
        assert bits(invert_stack(A[k : k + 1], method)) == bits([f[k : k + 1] for f in whole])
        one = kernel.invert_one(A[k]) if method == "network" else None
        assert one is None or bits(one) == bits([field[k] for field in whole[:4]])
        assert (one is None) == (method != "network" or not whole.settled[k])
    for k in (7, 11, 20):
        assert not whole.finished[k]
        assert whole.error_bound[k] == np.inf


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", ORDERS)
def test_normal_matrices_are_finished(instruction_set, n, method):
    """Errors at most four times LAPACK's, or sixteen roundings; bounds within those."""
    rng = np.random.default_rng(n)
    A = rng.standard_normal((20, n, n))
    result = invert_stack(A, method)
    assert result.finished.all()
    assert (result.relative_error_bound <= 2.0**-50).all()
    assert (result.residual_bound < 1e-9).all()
    scale = np.abs(result.inverse).sum(axis=2).max(axis=1)
    difference = np.abs(result.inverse - np.linalg.inv(A)).sum(axis=2).max(axis=1)
    assert (difference <= 1e-10 * scale).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [2, 8, 16, 32])
def test_a_given_condition_number_is_proven(n, method):
    rng = np.random.default_rng(n)
    for condition in (1e4, 1e8, 1e12):
        result = invert_stack(with_condition(rng, n, np.full(16, condition)), method)
        assert (result.relative_error_bound <= 2.0**-50).all(), condition
        assert result.finished.all() or condition == 1e12


def test_graded_matrices_are_finished():
    rng = np.random.default_rng(0)
    for n in (2, 5, 12, 20):
        A = rng.standard_normal((16, n, n)) * np.exp2(rng.integers(-40, 40, (16, n, 1)))
        A = A * np.exp2(rng.integers(-40, 40, (16, 1, n)))
        assert invert_stack(A).finished.all()


def test_float32_stacks_are_finished():
    A = np.random.default_rng(0).standard_normal((100, 7, 7)).astype(np.float32)
    result = invert_stack(A)
    assert result.finished.all()
    assert (result.relative_error_bound <= 2.0**-21).all()


def test_float32_results_that_overflow_are_not_proven():
    A = np.full((1, 1, 1), 1e-42, dtype=np.float32)
    result = invert_stack(A)
    assert np.isnan(result.inverse).all()
    assert result.error_bound[0] == np.inf
    assert not result.finished[0]


def test_the_benchmark_runs():
    script = Path(__file__).parents[1] / "benchmarks" / "kernel.py"
    options = ["--orders", "2", "17", "--entries", "2000", "--least", "32", "--repeats", "1"]
    result = subprocess.run(
        [sys.executable, str(script), *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert [line.split("|")[1].strip() for line in result.stdout.splitlines()[2:]] == ["2", "17"]


def test_empty_stack():
    assert invert_stack(np.empty((0, 3, 3))).inverse.shape == (0, 3, 3)


def test_bad_arguments_are_named():
    A = np.eye(2)[None]
    with pytest.raises(ValueError, match="method"):
        invert_stack(A, "guess")
    with pytest.raises(ValueError, match="thread"):
        invert_stack(A, threads=0)
    with pytest.raises(ValueError, match="order"):
        invert_stack(np.zeros((1, 65, 65)))
    with pytest.raises(ValueError, match="instruction"):
        kernel.use("abacus")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_structural_zeros_are_zeros(dtype):
    """What the pattern alone makes zero is zero, and nothing else changes."""
    rng = np.random.default_rng(0)
    for n in (2, 5, 16, 17, 40, 64):
        A = np.tril(rng.uniform(1, 2, (3, n, n))) + 2 * n * np.eye(n)
        places = rng.permutation(n)
        A = np.ascontiguousarray(A[:, places][:, :, places], dtype=dtype)
        result = invert_stack(A)
        assert result.settled.all()
        pattern = np.tril(np.ones((n, n), dtype=bool))[places][:, places]
        assert (result.inverse[:, ~pattern] == 0).all()
        assert (result.inverse[:, pattern] != 0).all()
        true = np.linalg.inv(A.astype(float))
        error = np.abs(true - result.inverse).sum(axis=2).max(axis=1)
        assert (error <= result.error_bound + 1e-14 * np.abs(true).sum(axis=2).max(axis=1)).all()


def test_what_is_plain():
    """Even rows and columns, a usual magnitude, and no singular matrix within a rounding or two."""
    rng = np.random.default_rng(0)
    for n in (2, 8, 16, 17, 33, 64):
        A = rng.standard_normal((6, n, n))
        A[1, 0] *= 2.0**-20
        A[2, :, 0] *= 2.0**-20
        A[3] *= 2.0**410
        A[4] *= 2.0**-410
        A[5] *= 2.0**390
        result = invert_stack(A)
        assert result.finished.all()
        assert result.settled.tolist() == [True, False, False, False, False, True]
    hair = np.array([[[1.0, 1.0], [1.0, 1.0 + 2.0**-51]]])
    assert not invert_stack(hair).settled[0]


def test_one_matrix_is_served_or_declined():
    A = np.random.default_rng(0).standard_normal((8, 8))
    for M in (A, A.astype(np.float32)):
        found = kernel.invert_one(M)
        assert found is not None
        assert found[0].tobytes() == invert_stack(M[None]).inverse.tobytes()
    declined = [A.T, A[::2, ::2], A[:, :4], A[0], A[None], A.astype(">f8"), A.astype(int)]
    declined += [A + 0j, np.zeros((8, 8)), np.full((8, 8), np.nan), np.eye(65), np.empty((0, 0))]
    assert [kernel.invert_one(M) for M in declined] == [None] * len(declined)
