"""Terms of the kernel's bounds that are needed: without one, exact arithmetic finds violations."""

from __future__ import annotations

import numpy as np
import pytest

import pairs_of_matrices as pairs
from deepmatrixinversion import kernel
from deepmatrixinversion.kernel.pairs import StackProof
from deepmatrixinversion.matrices.spectra import with_condition
from kernel_mutants import COMPILER, Mutant

pytest.importorskip("flint")
pytestmark = [
    pytest.mark.slow,  # each compiles sources
    pytest.mark.skipif(not kernel.available() or COMPILER is None, reason="no kernel or compiler"),
]


def proof_violations(A, X, bounds):
    nothing = np.zeros(len(A), dtype=bool)
    return pairs.violations_of_pairs(A, X, StackProof(bounds[0], bounds[1], bounds[2], nothing))


def of_certify(mutant):
    found = []
    for n in (1, 2, 5):
        A, X = pairs.candidates(n, 1)
        found += proof_violations(A, X, mutant.certify(A, X))
    return found


def of_solve(mutant):
    found = []
    for n in (1, 2, 5):
        systems = pairs.systems(n, 2)
        found += pairs.violations_of_solutions(*systems, *mutant.solve(*systems))
    return found


def of_invert(mutant):
    conditions = np.repeat([1e1, 1e4, 1e5, 3e5], 4)
    A = with_condition(np.random.default_rng(0), 17, conditions)
    X, bounds = mutant.invert(A)
    assert np.isfinite(bounds[0]).sum() >= 8
    return proof_violations(A, np.nan_to_num(X), bounds)


VIOLATIONS = {"certify": of_certify, "solve": of_solve, "invert": of_invert}

# Not among them are terms that others cover in every case that comes up: the roundings of the
# solution's residual (the inverse's error outweighs them before refinement ends), and what a factor
# of 1 + (4n + 64) u has to spare.
MUTANTS = {
    "the residual's own roundings": ("certify", "certify.h", "roundings.of_T * v.T", "0.0 * v.T"),
    "what follows the first correction": (
        "certify",
        "certify.h",
        "(v.c + rest) / (1.0 - rho)",
        "(v.c + rest)",
    ),
    "the residual from the other side": ("certify", "certify.h", "rest + beta * rho", "rest"),
    "the inverse's error": ("solve", "solve.cpp", "E * (of_r + D) +", ""),
    "the last rounding": ("solve", "solve.cpp", "(of_left + now)", "now"),
    "all but the last rounding": (
        "invert",
        "series.h",
        "const Vd rest = roundings.of_C * zeta + eta;",
        "const Vd rest = 0.0 * eta;",
    ),
    "the last rounding of an inverse": (
        "invert",
        "series.h",
        "(d_sum * (1 + 2 * n * U) + x * rest)",
        "(x * rest)",
    ),
}


@pytest.mark.parametrize("part", VIOLATIONS)
def test_nothing_is_violated_as_it_is(part, tmp_path):
    assert VIOLATIONS[part](Mutant(tmp_path, part)) == []


@pytest.mark.parametrize("name", MUTANTS)
def test_every_term_is_needed(name, tmp_path):
    part, *change = MUTANTS[name]
    assert VIOLATIONS[part](Mutant(tmp_path, part, *change))
