"""From a guess to a certified inverse: scale, guess, refine, polish, unscale, certify."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.linalg.certificate import (
    Certificate,
    certify_layout,
    exact_float64,
    relative,
)
from deepmatrixinversion.linalg.iteration import (
    POLISH_BELOW,
    newton_layout,
    polish_layout,
    transpose_layout,
)
from deepmatrixinversion.linalg.product import (
    Array,
    batch_axis,
    chunks,
    from_layout,
    put,
    spread,
    take,
    to_layout,
)
from deepmatrixinversion.linalg.scaling import (
    equilibrate,
    normalise,
    normalise_layout,
    spread_exponent,
    times_power,
    unequilibrate,
)
from deepmatrixinversion.linalg.schur import SPREAD, Leaf, guess_inverse, invert_large

POLISH_ORDER = 128
"""Largest order polished in doubled precision. Beyond it a step in working precision already leaves
a smaller error than LAPACK's (measured: 0.13 to 0.64 times, median), for a third of the cost."""

WORKING_ACCURACY = 2.0**-56
FLOAT32_ACCURACY = 2.0**-32


class Inversion(NamedTuple):
    """Inverses with their proofs.

    Attributes
    ----------
    inverse : (..., n, n) float64 or float32
    certificate : Certificate
        of exactly that array
    steps : (...) int64
        refinement steps taken
    """

    inverse: NDArray
    certificate: Certificate
    steps: NDArray[np.int64]


class _Scaled(NamedTuple):
    """Normalised matrices ``S`` in the layout ``axis``, and what it takes to unscale inverses."""

    S: Array
    axis: int
    exponent: NDArray[np.int64]
    uneven: NDArray[np.intp]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    def unscale(self, X: Array) -> Array:
        """Inverses of the original matrices, in the same layout."""
        if not self.uneven.size:
            return times_power(X, -spread(self.exponent, self.axis))
        # At once, lest an entry leave the range in between: rows' exponents take the norm's.
        Y = times_power(X, -spread(self.exponent, self.axis))
        rows = self.rows + self.exponent[self.uneven, None]
        part = from_layout(take(X, self.uneven, self.axis), self.axis)
        part = unequilibrate(part, rows, self.columns)
        put(Y, self.uneven, to_layout(part, self.axis), self.axis)
        return Y

    def at(self, index: NDArray[np.intp]) -> _Scaled:
        """The matrices at ``index`` (ascending)."""
        kept = np.isin(self.uneven, index)
        return _Scaled(
            take(self.S, index, self.axis),
            self.axis,
            self.exponent[index],
            np.searchsorted(index, self.uneven[kept]),
            self.rows[kept],
            self.columns[kept],
        )


def _scale(A: Array, axis: int) -> _Scaled:
    """Normalise a chunk."""
    S, exponent = normalise_layout(A, axis)
    none = np.zeros((0, A.shape[1]), dtype=np.int64)
    return _Scaled(S, axis, exponent, np.zeros(0, dtype=np.intp), none, none)


def _equilibrated(scaled: _Scaled, A: Array, candidates: NDArray[np.intp]) -> _Scaled:
    """Equilibrate those of the candidates, from the original A, whose lines differ in norm."""
    S, axis, exponent = scaled.S, scaled.axis, scaled.exponent
    fresh = np.setdiff1d(candidates, scaled.uneven)
    fresh = fresh[spread_exponent(take(S, fresh, axis), axis) > SPREAD]
    if not fresh.size:
        return scaled
    # From the original, since normalising may have cost the smallest lines their bits.
    even, rows, columns = equilibrate(from_layout(take(A, fresh, axis), axis))
    even, exponent[fresh] = normalise(even)
    put(S, fresh, to_layout(even, axis), axis)
    uneven = np.concatenate([scaled.uneven, fresh])
    order = np.argsort(uneven)
    rows = np.concatenate([scaled.rows, rows])[order]
    columns = np.concatenate([scaled.columns, columns])[order]
    return _Scaled(S, axis, exponent, uneven[order], rows, columns)


def _polished(s: Array, x: Array, axis: int, passes: int) -> Array:
    for _ in range(passes):
        x, _ = polish_layout(s, x, axis)
    return x


def _cast(X: Array, dtype: np.dtype) -> tuple[Array, NDArray]:
    """The array as it will be returned, and the same numbers in float64 first."""
    if dtype == np.float64:
        return X, X
    held = X.astype(dtype)
    return exact_float64(held), held


def _reciprocal(S: Array) -> Array:
    """Inverses of 1 x 1 matrices, which need no guess; 0 for 0, its pseudo-inverse."""
    return np.where(S != 0, 1.0 / S, 0.0)


def _invert_chunk(
    a: Array, guess: Leaf, order: int, dtype: np.dtype, tol: float | None, seed: int
) -> tuple[NDArray, NDArray[np.bool_], Array, Array, NDArray[np.int64]]:
    """Inverses, the three columns of their certificate, and steps, of a (k, n, n) chunk."""
    n = a.shape[-1]
    axis = batch_axis(n)
    # What the certificate speaks of has NaN where the processor flushes a float32 subnormal.
    original = to_layout(exact_float64(a), axis)
    values = original if a.dtype == np.float64 else to_layout(a, axis)
    scaled = _scale(values, axis)
    s = scaled.S
    doubled = 1 < n <= POLISH_ORDER and dtype == np.float64 and tol is None
    if tol is not None:
        target = tol
    elif doubled:
        target = POLISH_BELOW
    else:
        target = WORKING_ACCURACY if dtype == np.float64 else FLOAT32_ACCURACY
    if n == 1:
        x = _reciprocal(s)
        steps = np.zeros(len(a), dtype=np.int64)
    elif n <= order:
        x = to_layout(guess_inverse(from_layout(s, axis), guess, order), axis)
        x, rho, steps = newton_layout(s, x, axis, tol=target, left=not doubled)
        bad = np.flatnonzero(~(rho < 1.0))
        if bad.size:
            x = x.copy()  # it may be the guess's own array still
            scaled = _equilibrated(scaled, values, bad)
            again = np.intersect1d(bad, scaled.uneven)
            if again.size:
                part = take(s, again, axis)
                y = to_layout(guess_inverse(from_layout(part, axis), guess, order), axis)
                y, rho[again], count = newton_layout(part, y, axis, tol=target, left=not doubled)
                put(x, again, y, axis)
                steps[again] += count
                bad = np.flatnonzero(~(rho < 1.0))
            y, _, count = transpose_layout(take(s, bad, axis), take(x, bad, axis), axis)
            put(x, bad, y, axis)
            steps[bad] += count
    else:
        scaled = _equilibrated(scaled, values, np.arange(len(a)))
        x, _, steps = invert_large(
            from_layout(s, axis), guess, order, seed, tol=target, left=not doubled
        )
        x = to_layout(x, axis)
    if doubled:
        x, rho = polish_layout(s, x, axis)
        steps += 1
        # Badly conditioned matrices arrive with larger residuals than predicted.
        again = np.flatnonzero((rho > 2 * POLISH_BELOW) & (rho < 1.0))
        if again.size:
            put(x, again, _polished(take(s, again, axis), take(x, again, axis), axis, 1), axis)
            steps[again] += 1
    X, held = _cast(scaled.unscale(x), dtype)
    certified, residual_bound, error_bound = certify_layout(original, X, axis)
    inverse = from_layout(held, axis)
    if certified.all():
        return inverse, certified, residual_bound, error_bound, steps
    # What failed is badly conditioned, or had no good guess: iterate from the transpose, and
    # polish more than once, since each pass gains only a factor u kappa.
    failed = np.flatnonzero(~certified)
    part = scaled.at(failed)
    rest = part.S
    for start in (take(x, failed, axis), None):
        y = start
        if y is None:
            part = _equilibrated(part, take(values, failed, axis), np.arange(len(failed)))
            y, _, count = transpose_layout(rest, None, axis)
            steps[failed] += count
        y = _polished(rest, y, axis, 3)
        steps[failed] += 3
        X, held = _cast(part.unscale(y), dtype)
        candidate = from_layout(held, axis)
        proof = certify_layout(take(original, failed, axis), X, axis)
        better = (proof[0] & ~certified[failed]) | (
            (proof[0] == certified[failed]) & (proof[1] < residual_bound[failed])
        )
        chosen = failed[better]
        inverse[chosen] = candidate[better]
        for target_column, column in zip(
            (certified, residual_bound, error_bound), proof, strict=True
        ):
            target_column[chosen] = column[better]
        if certified[failed].all():
            break
    return inverse, certified, residual_bound, error_bound, steps


def invert(
    A: ArrayLike, guess: Leaf, order: int, *, tol: float | None = None, seed: int = 0
) -> Inversion:
    r"""Invert matrices of any order and scale, each with a rigorous error bound.

    Scaled exactly by powers of two, guessed by ``guess`` (padded with identity below ``order``,
    through `schur.invert_large` above), refined by Newton-Schulz steps, from A^T where the guess is
    no use, polished in doubled precision, unscaled, cast and certified as returned.

    Parameters
    ----------
    A : (..., n, n) float64 or float32 array_like
        never modified; a matrix with NaN or infinite entries gives NaN, uncertified
    guess : callable
        takes (k, order, order) float64 matrices of Frobenius norm in [1/2, 1) and returns
        approximate inverses; whatever it returns, only speed depends on it
    order : int
    tol : float, optional
        Frobenius residual of the scaled matrix at which refinement may stop; to working accuracy
        by default
    seed : int
        of the random butterflies that a failing recursion is retried with

    Returns
    -------
    Inversion
        ``inverse`` of A's shape and (native) dtype; where not certified, the candidate with the
        smallest residual bound, which may be anything

    Raises
    ------
    ValueError
        for another dtype or shape

    Notes
    -----
    Cost for n <= order: 1 product and 2 a refinement step, 4 for polishing, 1 for the certificate;
    above, 5 to 7 in all. What is not certified so is tried twice more. Memory: the result and
    about ten chunks of 2^17 doubles, or 6 n^2 doubles where n is larger.

    Examples
    --------
    >>> A = np.array([[2.0, 1.0], [1.0, 1.0]])
    >>> result = invert(A, guess=lambda S: np.zeros_like(S), order=2)
    >>> result.inverse.tolist(), bool(result.certificate.certified)
    ([[1.0, -1.0], [-1.0, 2.0]], True)
    """
    A = np.asarray(A)
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise ValueError(f"square matrices (..., n, n) are needed, not shape {A.shape}")
    if order < 1:
        raise ValueError(f"the guess's order must be at least 1, not {order}")
    if A.dtype.kind != "f" or A.dtype.itemsize not in (4, 8):
        raise ValueError(f"float64 or float32 matrices are needed, not {A.dtype}")
    dtype = A.dtype.newbyteorder("=")
    n = A.shape[-1]
    batch = A.shape[:-2]
    k = math.prod(batch)
    a = A.reshape(k, n, n)
    inverse = np.empty((k, n, n), dtype=dtype)
    certified = np.ones(k, dtype=bool)
    residual_bound, error_bound = np.zeros(k), np.zeros(k)
    steps = np.zeros(k, dtype=np.int64)
    if n:
        columns = (inverse, certified, residual_bound, error_bound, steps)
        with np.errstate(all="ignore"):
            for part in chunks(k, n):
                block = a[part]
                # What is not finite is inverted as the identity, so that neighbours never notice.
                finite = np.isfinite(block).all(axis=(1, 2))
                if not finite.all():
                    block = np.where(finite[:, None, None], block, np.eye(n, dtype=dtype))
                results = _invert_chunk(block, guess, order, dtype, tol, seed)
                for column, result in zip(columns, results, strict=True):
                    column[part] = result
                bad = np.flatnonzero(~finite) + part.start
                inverse[bad], certified[bad], steps[bad] = np.nan, False, 0
                residual_bound[bad] = error_bound[bad] = np.inf
    certificate = Certificate(
        certified.reshape(batch),
        residual_bound.reshape(batch),
        error_bound.reshape(batch),
        relative(error_bound, inverse).reshape(batch),
    )
    return Inversion(inverse.reshape(A.shape), certificate, steps.reshape(batch))
