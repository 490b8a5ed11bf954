"""Pairs and systems for the kernel's proofs and solutions, and their errors in exact arithmetic."""

from __future__ import annotations

import contextlib
import platform

import flint
import numpy as np

import oracle
from deepmatrixinversion.kernel import invert_stack
from kernel_families import FAMILIES

X86 = platform.machine() in ("x86_64", "AMD64")


def exact(M: flint.fmpz_mat) -> flint.fmpq_mat:
    """The same in rationals."""
    return flint.fmpq_mat(M)


def candidates(n, seed):
    """Matrices, and inverses of them from right to the last bit to hardly convergent."""
    rng = np.random.default_rng([n, seed])
    count = 4 if n < 16 else 1
    A = np.stack([family(n, rng) for family in FAMILIES for _ in range(count)])
    A = np.concatenate([A, rng.standard_normal((6 * count, n, n)), np.eye(n)[None] / 2])
    X = invert_stack(A).inverse
    with np.errstate(all="ignore"):
        for k in range(0, len(A) - 1, 2):
            with contextlib.suppress(np.linalg.LinAlgError):
                X[k] = np.linalg.inv(A[k])
            E = rng.uniform(-1, 1, (n, n)) * (0.0, 1e-12, 1e-6, 1e-2, 0.3)[k // 2 % 5] / n
            X[k] += X[k] @ E
    X[-1] = 2 * np.eye(n) * (1 - 2.0**-6)
    return A, X


def systems(n, seed):
    """A, X, a bound on the error of X, and B: X good and bad, right-hand sides of every size."""
    A, X = candidates(n, seed)
    rng = np.random.default_rng([n, seed, 1])
    bound = np.full(len(A), np.inf)
    for k in range(len(A)):
        if np.isfinite(X[k]).all() and (proof := exact_errors_of_pair(A[k], X[k])) is not None:
            bound[k] = np.nextafter(float_above(proof[0]), np.inf)
    B = rng.standard_normal((len(A), n, 2))
    B[:, :, 1] *= np.exp2(rng.integers(-60, 60, (len(A), n)))
    with np.errstate(all="ignore"):
        product = A[1::4] @ rng.integers(-3, 4, (len(A[1::4]), n, 1))  # solutions that hardly round
    B[1::4, :, :1] = np.where(np.isfinite(product), product, 1.0)
    return A, X, bound, B


def float_above(value):
    """A float at least as large as a non-negative rational."""
    return float(flint.arb(value).upper()) * (1 + 2.0**-50)


def exact_errors_of_pair(A, X):
    """‖A^-1 - X‖, ‖X‖ as a float, and ‖I - X A‖; None for a singular matrix."""
    n = len(A)
    (M, e), (Y, f) = oracle.integers(A), oracle.integers(X)
    try:
        inverse = exact(M).inv() * oracle.power(-e)
    except ZeroDivisionError:
        return None
    held = exact(Y) * oracle.power(f)
    one = flint.fmpq_mat(n, n, np.eye(n, dtype=int).ravel().tolist())
    residual = one - held * exact(M) * oracle.power(e)
    size = float(np.abs(X).sum(axis=1).max())
    return oracle.row_norm(inverse - held, n), size, oracle.row_norm(residual, n)


def violations_of_pairs(A, X, found):
    """Where a finite bound is below the error that it speaks of."""
    wrong = []
    for k in np.flatnonzero(np.isfinite(found.error_bound)):
        proof = exact_errors_of_pair(A[k], X[k])
        if proof is None or proof[0] > oracle.rational(found.error_bound[k]):
            wrong.append((k, "error"))
            continue
        if proof[2] > oracle.rational(found.residual_bound[k]):
            wrong.append((k, "residual"))
        (Y, f), relative = oracle.integers(X[k]), found.relative_error_bound[k]
        size = oracle.row_norm(Y, len(Y.table())) * oracle.power(f)
        if relative < np.inf and proof[0] > oracle.rational(relative) * size:
            wrong.append((k, "relative"))
    assert not found.settled[~np.isfinite(found.relative_error_bound)].any()
    return wrong


def violations_of_solutions(A, X, _, B, Y, bound):
    """Where a finite bound is below the largest error of its column."""
    wrong = []
    for k in np.flatnonzero(np.isfinite(bound).any(axis=1)):
        M, e = oracle.integers(A[k])
        for c in np.flatnonzero(np.isfinite(bound[k])):
            (C, f), (Z, g) = oracle.integers(B[k][:, [c]]), oracle.integers(Y[k][:, [c]])
            error = exact(M).solve(exact(C)) * oracle.power(f - e) - exact(Z) * oracle.power(g)
            if max(map(abs, error.entries())) > oracle.rational(bound[k, c]):
                wrong.append((k, c))
    return wrong
