"""Proofs of pairs of arrays that somebody has: is X close to the inverse of A?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.linalg.arithmetic import flushed, warn_unless_nearest
from deepmatrixinversion.linalg.certificate import (
    Certificate,
    Comparison,
    checked,
    default_rtol,
    measured_residual,
)
from deepmatrixinversion.linalg.compiled import kernel_certificates, serves
from deepmatrixinversion.linalg.polish import Proof, prove, slices_needed
from deepmatrixinversion.linalg.scaling import Scaled
from deepmatrixinversion.linalg.stack import Array, Stack, chunks

LOOSE = 0.05
"""A bound on the rest, relative to what is known of the error, beyond which residuals of three
slices are due: two leave 0.2 of the error of an X that LAPACK computed well, order 300, and all of
the error of an X that is right to the last bit."""


def _compared(A: NDArray, X: NDArray) -> tuple[Comparison, Proof]:
    """What is proven of X beside the scaled matrices of one chunk."""
    scaled = Scaled.of(A.astype(np.float64))
    Y = scaled.scaled(Stack.of(X))
    slices = slices_needed(scaled.S, Y)
    proof = prove(scaled.S, Y, slices)
    axis = 0 if proof.Z.last else 1
    known, rest = proof.known.row_sums().max(axis=axis), proof.rest.max(axis=axis)
    again = np.flatnonzero((rest > LOOSE * known) & (rest < np.inf) & (slices < 3))
    if again.size:
        proof.put(again, prove(scaled.S[again], Y[again], np.full(again.size, 3)))
    return Comparison.of(scaled, proof, X), proof


def _pairs(A: ArrayLike, X: ArrayLike) -> tuple[NDArray, NDArray]:
    """(k, n, n) stacks of both."""
    A, X = checked(A), checked(X)
    if A.shape != X.shape:
        raise ValueError(f"A {A.shape} and X {X.shape} must be of the same shape")
    k, n = math.prod(A.shape[:-2]), A.shape[-1]
    return A.reshape(k, n, n), X.reshape(k, n, n)


def _hopeful(a: NDArray, x: NDArray) -> NDArray[np.bool_]:
    """Where a bound may be hoped for."""
    hopeful = np.full(len(a), warn_unless_nearest())
    for M in (a, x):
        hopeful &= np.isfinite(M).all(axis=(1, 2)) & ~flushed(M)
    return hopeful


def certify(A: ArrayLike, X: ArrayLike, *, rtol: float | None = None) -> Certificate:
    r"""Prove for each pair that A is nonsingular, and bound how far X is from its inverse.

    .. math:: |A^{-1} - X| \le |X (r + r^2 + \dots + r^d)| + \text{rest}

    with r close to I - A X in extended precision, for the pair with its rows and columns scaled
    evenly by powers of two, and every rounding covered (`polish`, `residual`). An uncertified
    matrix is just that, never proven singular.

    Parameters
    ----------
    A, X : (..., n, n) float64 or float32 array_like
        exactly the arrays that the bounds speak of; any values, NaN and infinities included
    rtol : float, optional
        relative error that a certified X must be proven to have at most; 1e-6 by default, or 1e-3
        where X is float32

    Returns
    -------
    Certificate

    Raises
    ------
    ValueError
        for another dtype, for shapes that differ or are not square, and for n > 2^20

    Notes
    -----
    Cost: 5 products in the compiled kernel, to order 64. Elsewhere 5 to 8, as far as rounding
    errors of the residual matter, 13 where X is so good that they matter more, and 1 more where
    the residual's norm exceeds 2^-29. The bound is within a few percent of the error itself.

    Examples
    --------
    >>> certificate = certify([[2.0, 0.0], [0.0, 4.0]], [[0.5, 0.0], [0.0, 0.25]])
    >>> bool(certificate.certified), bool(certificate.relative_error_bound < 1e-20)
    (True, True)
    """
    a, x = _pairs(A, X)
    k, n = a.shape[:2]
    tolerance = default_rtol(x.dtype) if rtol is None else rtol
    if not n:
        return Certificate(np.ones(k, dtype=bool), *np.zeros((3, k))).reshaped(np.shape(A)[:-2])
    with np.errstate(all="ignore"):
        if serves(n) and k:
            certificate, good = kernel_certificates(a, x, tolerance)
            todo = np.flatnonzero(~good)
            certificate.put(todo, Certificate.blank(todo.size))
        else:
            certificate, todo = Certificate.blank(k), np.arange(k)
        todo = todo[_hopeful(a[todo], x[todo])] if todo.size else todo
        for part in chunks(len(todo), n):
            index = todo[part]
            compared, proof = _compared(a[index], x[index])
            certificate.put(index, compared.certificate(proof, x[index], tolerance))
            # An error that is more than the last rounding says little of the residual.
            measured = measured_residual(a[index], x[index])
            residual_bound = np.minimum(certificate.residual_bound[index], measured)
            certificate.residual_bound[index] = residual_bound
    return certificate.reshaped(np.shape(A)[:-2])


def entrywise_error_bound(A: ArrayLike, X: ArrayLike) -> Array:
    r"""At least :math:`|A^{-1} - X|_{ij}` for each entry, in the manner of `certify`.

    Parameters
    ----------
    A, X : (..., n, n) float64 or float32 array_like

    Returns
    -------
    (..., n, n) float64
        inf where A is not proven nonsingular

    Raises
    ------
    ValueError
        as for `certify`

    Notes
    -----
    Cost: as `certify`.

    Examples
    --------
    >>> entrywise_error_bound(np.diag([2.0, 4.0]), np.diag([0.5, 0.2])).round(12).tolist()
    [[0.0, 0.0], [0.0, 0.05]]
    """
    a, x = _pairs(A, X)
    hopeful = _hopeful(a, x)
    bound = np.full(a.shape, np.inf)
    with np.errstate(all="ignore"):
        for part in chunks(len(a), a.shape[-1]) if a.shape[-1] else ():
            index = np.arange(part.start, part.stop)[hopeful[part]]
            if index.size:
                compared, proof = _compared(a[index], x[index])
                sound = (proof.alpha < 1.0)[:, None, None]
                bound[index] = np.where(sound, compared.entrywise(), np.inf)
    return bound.reshape(np.shape(A))
