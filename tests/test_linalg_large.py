"""Bounds by norms hold against exact arithmetic, need each of their terms, and are accurate."""

import inspect
from typing import Any

import numpy as np
import pytest

import deepmatrixinversion.linalg.correction as module
import oracle
from deepmatrixinversion import inv_ex
from deepmatrixinversion.kernel import available
from deepmatrixinversion.linalg.correction import corrected
from deepmatrixinversion.linalg.dominant import improved
from deepmatrixinversion.linalg.halving import REFINED_ORDER, halved

flint = pytest.importorskip("flint")

U = 2.0**-53
needs_kernel = pytest.mark.skipif(not available(), reason="the kernel was not built")


def exact(A):
    return flint.fmpq_mat(len(A), A.shape[1], [oracle.rational(x) for x in A.ravel()])


def with_condition(rng, n, kappa):
    left, right = np.linalg.qr(rng.standard_normal((2, n, n)))[0]
    A = (left * np.geomspace(1, 1 / kappa, n)) @ right
    return A / (1.3 * np.linalg.norm(A))


def cases(rng, n):
    """Matrices of Frobenius norm below 1 with candidates from good to bad, and weights."""
    for kappa in (1e1, 1e5, 1e9, 1e13):
        A = with_condition(rng, n, kappa)
        X = np.linalg.inv(A)
        for size in (0.0, 1e-12, 1e-9, 1e-6, 1e-4, 3e-3):
            yield A, X + X @ rng.uniform(-1, 1, (n, n)) * (size / n)
    # Powers of two: nothing is rounded, and what remains is the remainder alone.
    yield np.eye(n) / (2 * n), 2 * n * np.eye(n) * (1 - 2.0**-10)


def violations(function, steps=None):
    """How many of the rows' bounds fail, of how many, and the ratios of bound to error."""
    rng = np.random.default_rng(0)
    failed, ratios = 0, []
    for n in (1, 2, 3, 6):
        for A, X in cases(rng, n):
            W = rng.uniform(0, 1, (n, 3))
            W[:, 0] = 1.0
            truth = exact(A).inv()
            with np.errstate(all="ignore"):
                found = function(A[None], X[None].copy(), W[None])
            if not found.size[0] > 0:
                continue
            error = truth - exact(found.X[0])
            weights = [[oracle.rational(w) for w in row] for row in W]
            for i in range(n):
                for j in range(3):
                    true = sum((abs(error[i, k]) * weights[k][j] for k in range(n)), flint.fmpq(0))
                    bound = oracle.rational(found.error[0, i, j])
                    failed += bool(true > bound)
                    modulus = sum(
                        abs(oracle.rational(found.X[0, i, k])) * weights[k][j] for k in range(n)
                    )
                    failed += bool(modulus > oracle.rational(found.modulus[0, i, j]))
                    if true > 0:
                        ratio = bound / true
                        ratios.append(int(ratio.p) / int(ratio.q))
            size = oracle.row_norm(exact(found.X[0]), n)
            failed += bool(oracle.rational(found.size[0]) > size)
    return failed, np.array(ratios)


@pytest.fixture(params=["as it is", *range(3)])
def step(request, monkeypatch):
    """The step that is taken, whatever would be chosen."""
    if request.param != "as it is":
        chosen = request.param
        monkeypatch.setattr(module, "_chosen", lambda A, X, r, size: np.full(len(A), chosen))


def test_no_row_exceeds_its_bound(step):
    failed, ratios = violations(corrected)
    assert failed == 0
    assert len(ratios) > 200


MUTANTS = {
    "the residual's own error": ("error = t + (", "error = 0.0 * t + ("),
    "the remainder": ("V * alpha ** (step.degree - 1) / (1 - alpha)", "0.0 * alpha"),
    "single precision": ("_gamma32(n + 3) if step.single else gamma(n + 2)) * f", "0.0 * f)"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_every_term_is_needed(name):
    source = inspect.getsource(module)
    old, new = MUTANTS[name]
    assert source.count(old) == 1, old
    mutant: dict[str, Any] = {"__name__": "mutant"}
    exec(compile(source.replace(old, new), "mutant", "exec"), mutant)
    counts = []
    for number in range(3):
        mutant["_chosen"] = lambda A, X, r, size, number=number: np.full(len(A), number)
        counts.append(violations(mutant["corrected"])[0])
    assert max(counts) > 0


def test_the_error_along_the_largest_direction_goes():
    rng = np.random.default_rng(3)
    n = 24
    left, right = np.linalg.qr(rng.standard_normal((2, n, n)))[0]
    A = (left * np.append(np.ones(n - 1), 1e-6)) @ right
    A /= 1.3 * np.linalg.norm(A)
    truth = exact(A).inv()
    X = np.linalg.inv(A)

    def distance(Y):
        entries = (truth - exact(Y)).entries()
        return max(abs(int(e.p) / int(e.q)) for e in entries) / np.abs(X).max()

    before = distance(X)
    Z = X[None].copy()
    g, w = improved(A[None], Z)
    # What is left is u of the small singular values' part, and the rounding of X.
    assert distance(Z[0]) < 4 * U < before
    change = np.abs(Z[0] - X)
    assert (change <= np.abs(g[0] * w[0]) + 2 * U * np.abs(X)).all()


FAMILIES = {
    "normal": lambda rng, n: rng.standard_normal((n, n)),
    "tiny": lambda rng, n: np.ldexp(rng.standard_normal((n, n)), -900),
    "rows apart": lambda rng, n: rng.standard_normal((n, n)) * np.geomspace(1e-9, 1e9, n)[:, None],
    "units": lambda rng, n: (
        np.geomspace(1e-7, 1e7, n) * rng.standard_normal((n, n)) * np.geomspace(1, 1e9, n)[:, None]
    ),
    "triangular": lambda rng, n: np.triu(rng.uniform(-1, 1, (n, n)), 1) + 3 * np.eye(n),
    "kappa 1e6": lambda rng, n: with_condition(rng, n, 1e6),
    "kappa 1e11": lambda rng, n: with_condition(rng, n, 1e11),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", FAMILIES)
def test_certificates_hold_at_order_65(name, dtype):
    with np.errstate(all="ignore"):
        A = FAMILIES[name](np.random.default_rng(65), 65).astype(dtype)
    result = inv_ex(A)
    proof = result.certificate
    assert proof.certified or dtype == np.float32
    found = oracle.violation(
        A.astype(np.float64),
        result.inverse.astype(np.float64),
        bool(proof.certified),
        float(proof.residual_bound),
        float(proof.error_bound),
        float(proof.relative_error_bound),
    )
    assert found is None


def distance(X, truth):
    """Relative, in the Frobenius norm, scaled so that nothing overflows."""
    largest = np.abs(truth).max()
    return np.linalg.norm((X - truth) / largest) / np.linalg.norm(truth / largest)


@pytest.mark.parametrize("name", FAMILIES)
def test_errors_are_within_what_trust_allows(name):
    rng = np.random.default_rng(1)
    for n in (72, 130):
        A = np.stack([FAMILIES[name](rng, n) for _ in range(8)])
        result = inv_ex(A)
        # To the last bits: what is asked for is what is done.
        truth = inv_ex(A, rtol=2.0**-45)
        assert result.certificate.certified.all()
        assert truth.certificate.certified.all()
        for X, T, theirs in zip(result.inverse, truth.inverse, np.linalg.inv(A), strict=True):
            assert distance(X, T) <= max(4 * distance(theirs, T), 16 * U)


def markov(rng, n):
    """I - 0.9999 P: LAPACK is accurate far beyond its condition number there."""
    P = rng.uniform(0, 1, (n, n))
    return np.eye(n) - 0.9999 * P / P.sum(axis=1, keepdims=True)


def test_lapack_is_not_luckier():
    A = np.stack([markov(np.random.default_rng(i), 80) for i in range(12)])
    X, T, L = inv_ex(A).inverse, inv_ex(A, rtol=2.0**-45).inverse, np.linalg.inv(A)
    for x, t, theirs in zip(X, T, L, strict=True):
        assert distance(x, t) <= max(4 * distance(theirs, t), 16 * U)


@pytest.mark.parametrize("n", [65, 97, 150])
def test_neighbours_change_no_bit(n):
    rng = np.random.default_rng(n)
    A = rng.standard_normal((5, n, n))
    A[1] = with_condition(rng, n, 1e5)
    A[2, :, 0] = A[2, :, 1]
    A[3, 0] *= 1e9
    whole = inv_ex(A)
    for i in range(5):
        alone = inv_ex(A[i])
        assert np.array_equal(alone.inverse, whole.inverse[i], equal_nan=True)
        for one, all_of_them in zip(alone.certificate, whole.certificate, strict=True):
            assert one == all_of_them[i]


@needs_kernel
@pytest.mark.parametrize("n", [36, 37, 65, 100, 131, 2 * REFINED_ORDER + 3])
def test_halving(n):
    A = np.random.default_rng(n).standard_normal((2, n, n))
    X = halved(A)
    for a, x in zip(A, X, strict=True):
        assert np.linalg.norm(np.eye(n) - a @ x) < 1e-4
        assert np.array_equal(halved(a[None])[0], x)


@needs_kernel
def test_halving_refines_what_is_rough(monkeypatch):
    n = 2 * REFINED_ORDER
    rng = np.random.default_rng(2)
    A = rng.standard_normal((n, n))
    h = n // 4
    A[:h, :h] = with_condition(rng, h, 1e6) * h  # the leading quarter is bad, the whole is not
    refined = np.linalg.norm(np.eye(n) - A @ halved(A[None])[0])
    monkeypatch.setattr("deepmatrixinversion.linalg.halving.ROUGH", (np.inf,) * 3)
    assert refined < np.linalg.norm(np.eye(n) - A @ halved(A[None])[0]) / 4


def test_what_rtol_asks_for_is_what_is_done():
    A = np.random.default_rng(0).standard_normal((130, 130))
    by_norms, precise = inv_ex(A).certificate, inv_ex(A, rtol=2.0**-50).certificate
    assert 2.0**-45 < by_norms.relative_error_bound < 2.0**-30
    assert precise.certified
    assert precise.relative_error_bound < 2.0**-50
