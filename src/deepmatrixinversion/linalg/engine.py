"""From a guess to a certified inverse: scale, guess, refine, polish, unscale, certify.

Candidates come from a list of attempts, tried in turn on the matrices that the ones before left
without a good proof: the guess itself; elimination, or block recursion through random butterflies
for large orders; the iteration from the transpose. Whatever is tried, the better proof is kept.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.kernel import METHODS, usual_environment
from deepmatrixinversion.linalg.arithmetic import flushed, warn_unless_nearest
from deepmatrixinversion.linalg.attempts import (
    ELIMINATION_ORDER,
    Attempt,
    attempts_for,
    first_pursued,
    pursued,
)
from deepmatrixinversion.linalg.candidates import Candidates, Problem, as_good_as_singular
from deepmatrixinversion.linalg.certificate import (
    Certificate,
    checked,
    default_rtol,
    measured_residual,
)
from deepmatrixinversion.linalg.compiled import GIVEN, kernel_inverses, serves
from deepmatrixinversion.linalg.greedy import improved
from deepmatrixinversion.linalg.newton import transpose_start
from deepmatrixinversion.linalg.scaling import Scaled
from deepmatrixinversion.linalg.schur import Leaf, guess_inverse
from deepmatrixinversion.linalg.stack import Array, Stack, chunks
from deepmatrixinversion.linalg.structure import LARGEST_ORDER, reachable


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


def _invert_chunk(problem: Problem, attempts: list[Attempt]) -> Candidates:
    S = problem.scaled.S
    if problem.start is not None:
        best = pursued(problem, _brought_near(S, problem.start))
        poor = ~(best.certificate.relative_error_bound <= problem.poor)
        if (index := np.flatnonzero(poor)).size:
            best.keep_better(index, _invert_chunk(problem.at(index)._replace(start=None), attempts))
        return best
    best = first_pursued(problem, attempts[0](S, S))
    todo = np.arange(len(S))
    witnesses = np.zeros(len(S), dtype=np.int64)
    needed = 1 if S.order <= ELIMINATION_ORDER else 2
    if needed == 2:
        witnesses += as_good_as_singular(S, best)
    for attempt in attempts[1:]:
        todo = todo[~(best.certificate.relative_error_bound[todo] <= problem.poor)]
        if not todo.size:
            break
        part = problem.at(todo)
        found = pursued(part, attempt(part.scaled.S, best.X[todo]))
        best.keep_better(todo, found)
        witnesses[todo] += as_good_as_singular(part.scaled.S, found)
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


def _carefully(
    block: NDArray,
    starts: NDArray | None,
    rtol: float,
    tol: float | None,
    attempts: list[Attempt],
    nearest: bool,
) -> Candidates:
    """A chunk of finite matrices by every attempt that it needs, with their certificates."""
    values = block.astype(np.float64, copy=False)
    scaled = Scaled.of(values)
    start = None if starts is None else scaled.scaled(Stack.of(starts))
    problem = Problem(scaled, block.dtype, rtol, tol, _reach(values), start)
    found = _invert_chunk(problem, attempts)
    proof = found.certificate
    unsound = flushed(block) | (not nearest)
    proof.put(np.flatnonzero(unsound), Certificate.blank(int(unsound.sum())))
    unknown = np.flatnonzero(np.isinf(proof.error_bound))
    if unknown.size:
        measured = measured_residual(block[unknown], found.held[unknown])
        proof.residual_bound[unknown] = measured
    proof.residual_bound[unsound] = np.inf
    return found


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
    compiled : {"network", "elimination", "guess"}, optional
        let the compiled kernel propose instead of ``guess``, or after it, and do the rest as well,
        where it was built, takes the order, and reaches the last bits; with a ``tol`` or a start it
        never does
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
        if compiled == GIVEN and n > order:
            compiled = None
        if compiled is not None and start is None and tol is None and nearest and k and serves(n):
            inverse, certificate, good = kernel_inverses(
                a, tolerance, compiled, lambda S: guess_inverse(S, guess, order)
            )
            todo, steps = np.flatnonzero(~good), good.astype(np.int64)
            certificate.put(todo, Certificate.blank(todo.size))
        else:
            inverse = np.empty((k, n, n), dtype=A.dtype)
            certificate, steps = Certificate.blank(k), np.zeros(k, dtype=np.int64)
            todo = np.arange(k)
        if not n:
            certificate.put(slice(None), Certificate(np.ones(k, dtype=bool), *np.zeros((3, k))))
        elif todo.size:
            attempts = attempts_for(guess, order, n, seed, compiled in METHODS)
            for part in chunks(todo.size, n):
                where = todo[part]
                block = a[where] if where.size < k else a
                finite = np.isfinite(block).all(axis=(1, 2))
                inverse[where[~finite]] = np.nan
                if not finite.any():
                    continue
                if not finite.all():
                    where, block = where[finite], block[finite]
                given = None if starts is None else starts[where]
                found = _carefully(block, given, tolerance, tol, attempts, nearest)
                if where.size == k:
                    inverse = found.held
                else:
                    inverse[where] = found.held
                steps[where] = found.steps
                certificate.put(where, found.certificate)
    return Inversion(inverse.reshape(A.shape), certificate.reshaped(batch), steps.reshape(batch))
