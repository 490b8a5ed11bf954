"""From a guess to a certified inverse: scale, guess, refine, polish, unscale, certify.

Candidates come from a list of attempts, tried in turn on the matrices that the ones before left
without a good proof: the guess itself; elimination, or block recursion through random butterflies
for large orders; the iteration from the transpose. Whatever is tried, the better proof is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.kernel import usual_environment
from deepmatrixinversion.linalg.arithmetic import flushed, warn_unless_nearest
from deepmatrixinversion.linalg.certificate import (
    Certificate,
    Comparison,
    checked,
    default_rtol,
    measured_residual,
)
from deepmatrixinversion.linalg.compiled import kernel_inverses, serves
from deepmatrixinversion.linalg.elimination import LARGEST_ORDER as ELIMINATION_ORDER
from deepmatrixinversion.linalg.elimination import eliminated
from deepmatrixinversion.linalg.greedy import improved
from deepmatrixinversion.linalg.halving import can_halve, halved
from deepmatrixinversion.linalg.large import SMALLEST_ORDER, corrected_inverses
from deepmatrixinversion.linalg.newton import (
    Refined,
    from_transpose,
    newton_schulz,
    transpose_start,
)
from deepmatrixinversion.linalg.polish import (
    PRECISE_ORDER,
    Proof,
    polish,
    prove,
    slices_needed,
)
from deepmatrixinversion.linalg.scaling import Scaled
from deepmatrixinversion.linalg.schur import (
    Leaf,
    block_inverse,
    guess_inverse,
    through_butterfly,
)
from deepmatrixinversion.linalg.stack import Array, Stack, chunks
from deepmatrixinversion.linalg.structure import LARGEST_ORDER, reachable

POLISH_BELOW = 2.0**-18
"""A residual below which one polish of degree 2 reaches working accuracy (R^3 < u / 2)."""

ROUNDS = 6
"""Polishes of one candidate, at most: each squares its error at least."""

PROVABLE = 2.0**-40
"""A relative error that norms seldom prove, and two slices of residuals do."""

Attempt = Callable[[Stack, Stack], Stack]
"""From scaled matrices and the best candidates so far, which may be anything, to candidates."""


class Inversion(NamedTuple):
    """Inverses with their proofs.

    Attributes
    ----------
    inverse : (..., n, n) float64 or float32
    certificate : Certificate
        of exactly that array
    steps : (...) int64
        refinement and polishing steps taken
    """

    inverse: NDArray
    certificate: Certificate
    steps: NDArray[np.int64]


class Candidates(NamedTuple):
    """What one attempt, or the best of several, has come to; k matrices.

    Attributes
    ----------
    X : Stack
        inverses of the scaled matrices
    held : (k, n, n)
        as they will be returned
    certificate : Certificate
        of ``held``
    residual : (k,)
        ‖I - S X‖F, or an estimate of it
    steps : (k,) int64
    """

    X: Stack
    held: NDArray
    certificate: Certificate
    residual: Array
    steps: NDArray[np.int64]

    def at(self, index: NDArray[np.intp]) -> Candidates:
        """The candidates at ``index``."""
        X, held, certificate, residual, steps = self
        return Candidates(
            X[index], held[index], certificate.at(index), residual[index], steps[index]
        )

    def keep_better(self, index: NDArray[np.intp], others: Candidates) -> NDArray[np.bool_]:
        """Put those of ``others`` that are proven better, or fail less badly, at ``index``."""
        old, new = self.certificate.relative_error_bound[index], others.certificate
        better = new.relative_error_bound < old
        better |= np.isinf(old) & (others.residual < self.residual[index])
        where, chosen = index[better], others.at(np.flatnonzero(better))
        self.X[where], self.held[where] = chosen.X, chosen.held
        self.certificate.put(where, chosen.certificate)
        self.residual[where] = chosen.residual
        self.steps[index] += others.steps
        return better


class Problem(NamedTuple):
    """A chunk of matrices, scaled, and what is wanted of their inverses."""

    scaled: Scaled
    dtype: np.dtype
    rtol: float
    tol: float | None
    reach: Stack | None
    start: Stack | None = None

    def at(self, index: NDArray[np.intp]) -> Problem:
        """The matrices at ``index``."""
        reach = None if self.reach is None else self.reach[index]
        start = None if self.start is None else self.start[index]
        return self._replace(scaled=self.scaled.at(index), reach=reach, start=start)

    @property
    def tight(self) -> float:
        """A relative error bound that is the last rounding and little else."""
        return 1.125 * 2.0 ** (-53 if self.dtype == np.float64 else -24)

    @property
    def loose(self) -> float:
        """A relative error bound beyond which a residual of more slices is due."""
        if self.scaled.S.order <= PRECISE_ORDER:
            return self.tight
        return max(self.tight, min(PROVABLE, self.rtol))

    @property
    def by_norms(self) -> bool:
        """Whether bounds by norms may do."""
        large = self.scaled.S.order >= SMALLEST_ORDER
        return large and self.tol is None and self.rtol >= PROVABLE

    @property
    def good(self) -> float:
        """A relative error bound by norms beyond which doubled-precision residuals are due."""
        return self.tight if self.dtype == np.float32 else min(self.rtol, 2.0**-20)

    @property
    def poor(self) -> float:
        """A relative error bound beyond which another candidate is due."""
        return 2.0**-20 if self.tol is None else np.finfo(np.float64).max

    def held(self, X: Stack) -> NDArray:
        """Inverses of the scaled matrices as they will be returned, (k, n, n)."""
        return self.scaled.unscaled(X).matrices().astype(self.dtype, copy=False)

    def unproven(self, refined: Refined) -> Candidates:
        """Candidates without certificates."""
        X, residual, steps = refined.X.copy(), refined.residual.copy(), refined.steps.copy()
        return Candidates(X, self.held(X), Certificate.blank(len(steps)), residual, steps)

    def settled(self, proof: Proof, residual: Array, steps: NDArray[np.int64]) -> Candidates:
        """The inverses as they will be returned, and their certificates."""
        if self.reach is not None:
            # Structural zeros are exact, so there their error is nothing.
            proof = proof._replace(
                Z=Stack(proof.Z.array * self.reach.array + 0.0, proof.Z.last),
                known=Stack(proof.known.array * self.reach.array, proof.known.last),
            )
        held = self.held(proof.Z)
        compared = Comparison.of(self.scaled, proof, held)
        certificate = compared.certificate(proof, held, self.rtol)
        return Candidates(proof.Z, held, certificate, residual, steps)


def _attempts(guess: Leaf, order: int, n: int, seed: int, compiled: bool) -> list[Attempt]:
    """Ways to a candidate, the network's first."""

    def propose(S: Array) -> Array:
        return guess_inverse(S, guess, order) if n <= order else block_inverse(S, guess, order)

    def by_guess(S: Stack, _: Stack) -> Stack:
        # Where halving fails the network's leaves come in: they stand a singular block better.
        quick = compiled and n >= SMALLEST_ORDER and can_halve()
        return Stack.of(halved(S.matrices()) if quick else propose(S.matrices()))

    def by_elimination(S: Stack, _: Stack) -> Stack:
        return Stack.of(eliminated(S.matrices()))

    def by_butterfly(number: int) -> Attempt:
        return lambda S, _: Stack.of(through_butterfly(S.matrices(), propose, seed + number))

    if n == 1:
        return [by_elimination]  # a reciprocal needs no network
    if n <= ELIMINATION_ORDER:
        return [by_guess, by_elimination, from_transpose]
    return [by_guess, by_butterfly(0), by_butterfly(1), from_transpose]


def _as_good_as_singular(S: Stack, found: Candidates) -> NDArray[np.bool_]:
    """Whether candidates that failed are as large as if their pivots were rounding errors.

    Where an elimination or two recursions say so, the long way from the transpose is no use: it
    fails beyond condition numbers of 1e15 as well.
    """
    failed = ~(found.residual < 1.0)
    if failed.any():
        failed &= ~(S.order * S.norm() * found.X.norm() < 2.0**50)  # NaN for zero matrices
    return failed


def _pursued(problem: Problem, start: Stack) -> Candidates:
    """One attempt's candidates, refined; and where that converges, polished and certified."""
    S = problem.scaled.S
    refined = newton_schulz(S, start, tol=POLISH_BELOW if problem.tol is None else problem.tol)
    converged = np.flatnonzero(refined.residual < 1.0)
    if converged.size == len(S):
        return _proven(problem, refined)
    best = problem.unproven(refined)
    if converged.size:
        part = refined.at(converged)._replace(steps=np.zeros(converged.size, dtype=np.int64))
        best.keep_better(converged, _proven(problem.at(converged), part))
    return best


def _proven(problem: Problem, refined: Refined) -> Candidates:
    """Polished until nothing is gained, and certified; with a tolerance, certified as they are."""
    S, X = problem.scaled.S, refined.X
    if problem.tol is not None:
        proof = prove(S, X.copy(), slices_needed(S, X))
        return problem.settled(proof, refined.residual, refined.steps)
    single = problem.dtype == np.float32
    proof = polish(S, X, np.full(len(S), 1) if single else slices_needed(S, X))
    best = problem.settled(proof, refined.residual, refined.steps + 1)
    again = np.arange(len(S))
    for number in range(1, ROUNDS):
        bound = best.certificate.relative_error_bound[again]
        loose = (bound > problem.loose) & (bound < np.inf)
        again, before = again[loose], bound[loose]
        if not again.size:
            break
        proof = polish(S[again], best.X[again], np.full(again.size, 3 if number == 1 else 4))
        ones = np.ones(again.size, dtype=np.int64)
        found = problem.at(again).settled(proof, best.residual[again], ones)
        best.keep_better(again, found)
        # A matrix whose bound no longer falls is as good as float64 inverses of it are.
        again = again[best.certificate.relative_error_bound[again] < 0.5 * before]
    return best


def _first(problem: Problem, start: Stack) -> Candidates:
    """The first attempt's candidates: where norms suffice for a proof, by norms."""
    if not problem.by_norms:
        return _pursued(problem, start)
    scaled, reach = problem.scaled, problem.reach
    X, held, certificate, residual = corrected_inverses(
        scaled, start, problem.dtype, problem.rtol, reach
    )
    best = Candidates(X, held, certificate, residual, np.ones(len(X), dtype=np.int64))
    todo = ~(certificate.relative_error_bound <= problem.good)
    todo &= ~_as_good_as_singular(scaled.S, best)
    index = np.flatnonzero(todo)
    if index.size:
        best.keep_better(index, _pursued(problem.at(index), best.X[index]))
    return best


def _invert_chunk(problem: Problem, attempts: list[Attempt]) -> Candidates:
    S = problem.scaled.S
    if problem.start is not None:
        best = _pursued(problem, _brought_near(S, problem.start))
        poor = ~(best.certificate.relative_error_bound <= problem.poor)
        if (index := np.flatnonzero(poor)).size:
            best.keep_better(index, _invert_chunk(problem.at(index)._replace(start=None), attempts))
        return best
    best = _first(problem, attempts[0](S, S))
    todo = np.arange(len(S))
    witnesses = np.zeros(len(S), dtype=np.int64)
    needed = 1 if S.order <= ELIMINATION_ORDER else 2
    if needed == 2:
        witnesses += _as_good_as_singular(S, best)
    for attempt in attempts[1:]:
        todo = todo[~(best.certificate.relative_error_bound[todo] <= problem.poor)]
        if not todo.size:
            break
        part = problem.at(todo)
        found = _pursued(part, attempt(part.scaled.S, best.X[todo]))
        best.keep_better(todo, found)
        witnesses[todo] += _as_good_as_singular(part.scaled.S, found)
        todo = todo[witnesses[todo] < needed]
    _fill(problem, best)
    return best


def _brought_near(S: Stack, start: Stack) -> Stack:
    """A given start after as many minimal residual steps as it needs; NaN stays what it is."""
    X = np.where(np.isfinite(start.norm()), 1.0, np.nan)
    with np.errstate(all="ignore"):
        return Stack.of(improved(S.matrices(), start.scaled(X).matrices()).X)


def _fill(problem: Problem, best: Candidates) -> None:
    """Something finite where all attempts ended in NaN or infinity, as they do for zero."""
    unproven = np.flatnonzero(np.isinf(best.certificate.error_bound))
    if not unproven.size:
        return
    lost = unproven[np.isinf(best.X[unproven].norm())]
    if lost.size:
        part = problem.at(lost)
        X = transpose_start(part.scaled.S)
        best.X[lost], best.held[lost] = X, part.held(X)


def _reach(A: Array) -> Stack | None:
    """Where inverses may be other than zero, as a factor; None where that is everywhere."""
    if A.shape[-1] > LARGEST_ORDER:
        return None
    some = np.flatnonzero((A == 0).any(axis=(1, 2)))
    if not some.size:
        return None
    factor = np.ones(A.shape)
    factor[some] = reachable(A[some])
    return None if factor.all() else Stack.of(factor)


def invert(
    A: ArrayLike,
    guess: Leaf,
    order: int,
    *,
    tol: float | None = None,
    rtol: float | None = None,
    seed: int = 0,
    compiled: str | None = None,
    start: NDArray | None = None,
) -> Inversion:
    r"""Invert matrices of any order and scale, each with a rigorous error bound.

    Scaled exactly by powers of two, rows and columns evenly; guessed by ``guess`` (padded below
    ``order``, through `schur.block_inverse` above), or where that is no use by elimination, block
    recursion through butterflies or from A^T; refined by Newton-Schulz steps; polished with
    residuals in extended precision until the error bound is the last rounding, or stops falling;
    unscaled, cast and certified as returned.

    Parameters
    ----------
    A : (..., n, n) float64 or float32 array_like
        never modified; a matrix with NaN or infinite entries gives NaN, uncertified
    guess : callable
        takes (k, order, order) float64 matrices of Frobenius norm in [1/2, 1) and returns
        approximate inverses; whatever it returns, only speed depends on it
    order : int
    tol : float, optional
        Frobenius residual of the scaled matrix at which refinement may stop, unpolished; to the
        last rounding by default. Results less accurate than ``rtol`` are then not certified.
    rtol : float, optional
        relative error that a certified inverse is proven to have at most; 1e-6 by default, 1e-3
        for float32. Above order 64 it also says what is done: bounds by norms where they suffice,
        and the last bits below 2^-40
    seed : int
        of the random butterflies
    compiled : {"network", "elimination"}, optional
        let the compiled kernel propose instead of ``guess`` and do the rest as well, where it was
        built, takes the order, and reaches the last bits; with a ``tol`` or a start it never does
    start : (..., n, n), optional
        approximate inverses of any quality, one for all matrices or one each, tried before
        ``guess``: only speed depends on them

    Returns
    -------
    Inversion
        ``inverse`` of A's shape and (native) dtype; where not certified, the candidate with the
        smallest error bound or residual, which may be anything

    Raises
    ------
    ValueError
        for another dtype or shape

    Notes
    -----
    Cost to order 64, for n <= order: 1 product and 2 a refinement step; 4 to 8 for polishing, which
    gives the certificate; for n > order about 7 in all. Above order 64 3 to 4 (`halving`,
    `correction`), and 4 to 8 more where that proves too little. What has no good proof then is
    tried anew up to three times. Memory: the result and about twenty chunks of 2^17 doubles, or 8
    n^2 doubles where n is larger, 12 where residuals are taken in slices.

    Examples
    --------
    >>> A = np.array([[2.0, 1.0], [1.0, 1.0]])
    >>> result = invert(A, guess=lambda S: np.zeros_like(S), order=2)
    >>> result.inverse.tolist(), bool(result.certificate.certified)
    ([[1.0, -1.0], [-1.0, 2.0]], True)
    """
    A = checked(A)
    if order < 1:
        raise ValueError(f"the guess's order must be at least 1, not {order}")
    n, batch = A.shape[-1], A.shape[:-2]
    k = math.prod(batch)
    a = A.reshape(k, n, n)
    tolerance = default_rtol(A.dtype) if rtol is None else float(rtol)
    nearest = usual_environment() or warn_unless_nearest()
    starts = None if start is None else np.broadcast_to(start, A.shape).reshape(k, n, n)
    with np.errstate(all="ignore"):
        if compiled is not None and start is None and tol is None and nearest and k and serves(n):
            inverse, certificate, good = kernel_inverses(a, tolerance, compiled)
            todo, steps = np.flatnonzero(~good), good.astype(np.int64)
            certificate.put(todo, Certificate.blank(todo.size))
        else:
            inverse = np.empty((k, n, n), dtype=A.dtype)
            certificate, steps = Certificate.blank(k), np.zeros(k, dtype=np.int64)
            todo = np.arange(k)
        if not n:
            certificate.put(slice(None), Certificate(np.ones(k, dtype=bool), *np.zeros((3, k))))
        attempts = _attempts(guess, order, n, seed, compiled is not None)
        for part in chunks(len(todo), n) if n else ():
            where = todo[part]
            block = a[where] if where.size < k else a
            finite = np.isfinite(block).all(axis=(1, 2))
            index = np.flatnonzero(finite)
            inverse[where[~finite]] = np.nan
            if not index.size:
                continue
            where, block = where[index], block if finite.all() else block[index]
            values = block.astype(np.float64, copy=False)
            scaled = Scaled.of(values)
            given = None if starts is None else scaled.scaled(Stack.of(starts[where]))
            problem = Problem(scaled, A.dtype, tolerance, tol, _reach(values), given)
            found = _invert_chunk(problem, attempts)
            proof = found.certificate
            unsound = flushed(block) | (not nearest)
            proof.put(np.flatnonzero(unsound), Certificate.blank(int(unsound.sum())))
            unknown = np.flatnonzero(np.isinf(proof.error_bound))
            if unknown.size:
                measured = measured_residual(block[unknown], found.held[unknown])
                proof.residual_bound[unknown] = measured
            proof.residual_bound[unsound] = np.inf
            steps[where] = found.steps
            if where.size == k:
                inverse = found.held
            else:
                inverse[where] = found.held
            certificate.put(where, proof)
    return Inversion(inverse.reshape(A.shape), certificate.reshaped(batch), steps.reshape(batch))
