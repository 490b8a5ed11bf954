"""The bound out of the polish holds, is sharp, and needs each of its terms."""

import inspect
from fractions import Fraction

import flint
import numpy as np
import pytest

import deepmatrixinversion.linalg.polish as module
from deepmatrixinversion.linalg.polish import polish, prove
from deepmatrixinversion.linalg.stack import Stack
from deepmatrixinversion.matrices.spectra import with_condition

U = 2.0**-53


def rational(value):
    p, q = float(value).as_integer_ratio()
    return flint.fmpq(p, q)


def exact(A):
    n = len(A)
    return flint.fmpq_mat(n, n, [rational(x) for x in A.ravel()])


def cases(rng, n, largest=0.2):
    """Normalised matrices, and candidates from good to barely convergent."""
    found = []
    for kappa in (1e1, 1e5, 1e9, 1e13):
        A = with_condition(rng, n, kappa)
        A /= 1.3 * np.linalg.norm(A)
        X = np.linalg.inv(A)
        for size in (0.0, 1e-9, 1e-4, 0.02, 0.2):
            if size > largest:
                continue
            E = rng.uniform(-1, 1, (n, n))
            found.append((A, X + X @ E * (size / n)))
    # Powers of two: nothing is rounded, and what remains is the remainder alone.
    found.append((np.eye(n) / 2, 2.0 * np.eye(n) * (1 - 2.0**-4)))
    return found


def violations(function, slices=(1, 2, 3), largest=0.2):
    """How many rows of errors exceed their bounds, and the ratios of bound to error."""
    rng = np.random.default_rng(0)
    count, ratios = 0, []
    for n in (1, 2, 3, 5, 8):
        for A, X in cases(rng, n, largest):
            truth = exact(A).inv()
            for s in slices:
                with np.errstate(all="ignore"):
                    proof = function(Stack.of(A[None]), Stack.of(X[None]), np.array([s]))
                if not proof.alpha[0] < 1:
                    continue
                Z, known = proof.Z.matrices()[0], proof.known.matrices()[0]
                rest = proof.rest.ravel()
                for i in range(n):
                    error = sum(
                        (abs(truth[i, j] - rational(Z[i, j])) for j in range(n)), rational(0)
                    )
                    over = sum((abs(rational(known[i, j])) for j in range(n)), rational(rest[i]))
                    count += bool(error > over)
                    if error > 0:
                        ratio = flint.fmpq(over / error)
                        ratios.append(float(Fraction(int(ratio.p), int(ratio.q))))
    return count, np.array(ratios)


@pytest.mark.parametrize("function", [polish, prove])
def test_no_row_exceeds_its_bound(function):
    count, ratios = violations(function)
    assert count == 0
    assert len(ratios) > 500


def test_the_bound_is_the_last_rounding():
    _, ratios = violations(polish, slices=(3,), largest=1e-4)
    assert np.median(ratios) < 1.01
    assert np.quantile(ratios, 0.7) < 1.1


MUTANTS = {
    "the residual's own error": ("(t + f *", "(0.0 * t + f *"),
    "the remainder": ("(g + U + remainder)", "(g + U)"),
    "rounding of X Y and of Y": ("(g + U + remainder)", "remainder"),
    "the first rounding": ("known=Stack(left, X.last)", "known=Stack(0.0 * left, X.last)"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_every_term_is_needed(name):
    source = inspect.getsource(module)
    old, new = MUTANTS[name]
    assert source.count(old) == 1, old
    mutant = {"__name__": "mutant"}
    exec(compile(source.replace(old, new), "mutant", "exec"), mutant)
    count, _ = violations(mutant["polish"])
    assert count > 0


@pytest.mark.parametrize("n", [2, 4, 7])
def test_neighbours_and_slices_are_kept_apart(n):
    rng = np.random.default_rng(n)
    A = rng.standard_normal((9, n, n)) / (2 * n)
    X = np.linalg.inv(A) * (
        1 + rng.uniform(-1, 1, (9, 1, 1)) * np.geomspace(1e-14, 0.3, 9)[:, None, None]
    )
    X[4] = np.nan
    slices = np.array([1, 2, 3] * 3)
    with np.errstate(all="ignore"):
        whole = polish(Stack.of(A), Stack.of(X), slices)
        for i in range(9):
            one = np.array([i])
            alone = polish(Stack.of(A[one]), Stack.of(X[one]), slices[one])
            assert np.array_equal(alone.Z.array, whole.Z[one].array, equal_nan=True)
            assert np.array_equal(alone.rest, whole.at(one).rest)
            assert np.array_equal(alone.alpha, whole.alpha[one])
    assert whole.alpha[4] == np.inf
