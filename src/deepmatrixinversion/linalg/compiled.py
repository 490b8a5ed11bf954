"""Small matrices through the compiled kernel, held to what a certificate promises."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion import kernel
from deepmatrixinversion.linalg.arithmetic import flushed
from deepmatrixinversion.linalg.certificate import Certificate, shifted
from deepmatrixinversion.linalg.scaling import normalise, times_power
from deepmatrixinversion.linalg.stack import chunks

Inverse = Callable[[NDArray], kernel.StackInversion]

GIVEN = "guess"
"""The method by which a guess that is not built into the kernel proposes."""

FAR = 2.0**400
"""Matrices larger or smaller than this are brought to a largest entry near 1 first."""


def serves(n: int) -> bool:
    """Whether the kernel was built, and takes matrices of order n."""
    return 1 <= n <= kernel.LARGEST_ORDER  # which is 0 without it


def kernel_inverses(
    A: NDArray, rtol: float, method: str, guess: Callable[[NDArray], NDArray]
) -> tuple[NDArray, Certificate, NDArray[np.bool_]]:
    """Inverses, certificates, and where these are as good as the careful code's, (k,).

    Parameters
    ----------
    A : (k, n, n) float64 or float32 array
        of an order that `serves`
    rtol : float
        relative error that a certified inverse is proven to have at most
    method : {"network", "elimination", "guess"}
        what proposes
    guess : callable
        which does so by the last: approximate inverses of matrices of Frobenius norm near one

    Notes
    -----
    Left to the careful code is what the kernel could not prove to the last bits, and matrices whose
    rows or columns are uneven: their certificates also speak of the evenly scaled pair. So are
    those that can hardly be told from singular ones, by the residual bound, which is at least
    u/2 ‖X‖‖A‖ for inverses that are right to the last bit.
    """

    def inverses(A: NDArray) -> kernel.StackInversion:
        if method == GIVEN:
            return kernel.complete_stack(A, _guessed(A, guess))
        return kernel.invert_stack(A, method)

    found = inverses(np.ascontiguousarray(A))
    good = found.settled
    if not good.all():
        _invert_far(A, inverses, found, good)
    if not kernel.usual_environment():
        good &= ~flushed(A)
    relative = found.relative_error_bound
    certified = good & (relative <= rtol)
    certificate = Certificate(certified, found.residual_bound, found.error_bound, relative)
    return found.inverse, certificate, good


def kernel_certificates(
    A: NDArray, X: NDArray, rtol: float
) -> tuple[Certificate, NDArray[np.bool_]]:
    """Certificates of (k, n, n) pairs, and where they are as good as the careful code's, (k,).

    Nothing is where this thread's arithmetic is not the usual one.
    """
    if not kernel.usual_environment():
        return Certificate.blank(len(A)), np.zeros(len(A), dtype=bool)
    found = kernel.certify_stack(_float64(A), _float64(X))
    relative = found.relative_error_bound
    good = found.settled
    return Certificate(
        good & (relative <= rtol), found.residual_bound, found.error_bound, relative
    ), good


def kernel_solutions(
    A: NDArray, X: NDArray, error_bound: NDArray[np.float64], B: NDArray
) -> tuple[NDArray, NDArray[np.float64]]:
    """Solutions (k, n, p) of A's dtype by inverses (k, n, n) or (1, n, n), and bounds (k, p).

    B is (k, n, p) or (1, n, p). A bound of inf is for the careful code; all are where this thread's
    arithmetic is not the usual one.
    """
    Y, bound = kernel.solve_stack(_float64(A), _float64(X), error_bound, _float64(B))
    if A.dtype != Y.dtype:
        held = Y.astype(A.dtype)
        rounding = np.abs(Y - held).max(axis=1)
        together = np.nextafter((bound + rounding) * (1.0 + 2.0**-50), np.inf)
        bound = np.where(bound == 0, 0.0, np.where(together < np.inf, together, np.inf))
        Y = held
    if not kernel.usual_environment():
        bound[...] = np.inf
    return Y, bound


def _guessed(A: NDArray, guess: Callable[[NDArray], NDArray]) -> NDArray:
    """Raw guesses for (k, n, n), of A's dtype."""
    X = np.empty(A.shape, A.dtype)
    for part in chunks(len(A), A.shape[-1]):
        S, exponent = normalise(A[part])
        X[part] = times_power(guess(S), -exponent[:, None, None])
    return X


def _float64(A: NDArray) -> NDArray[np.float64]:
    return np.ascontiguousarray(A, dtype=np.float64)


def _invert_far(
    A: NDArray, inverses: Inverse, found: kernel.StackInversion, good: NDArray[np.bool_]
) -> None:
    """Matrices far from 1 through the kernel at another scale: the same bits at every scale.

    Where a power of two cannot be undone exactly the careful code takes over.
    """
    index = np.flatnonzero(~good)
    top = np.abs(A[index]).max(axis=(1, 2))
    far = (top >= FAR) | (top <= 1 / FAR)
    index, top = index[far & (top > 0) & (top < np.inf)], top[far & (top > 0) & (top < np.inf)]
    if not index.size:
        return
    exponent = np.frexp(top)[1].astype(np.int64)
    spread = exponent[:, None, None]
    part = inverses(np.ascontiguousarray(np.ldexp(A[index], -spread)))
    X = np.ldexp(part.inverse, -spread)
    exact = (np.ldexp(X, spread) == part.inverse).all(axis=(1, 2))
    found.inverse[index] = X
    found.error_bound[index] = shifted(np.ldexp(part.error_bound, -exponent))
    found.residual_bound[index] = part.residual_bound
    found.relative_error_bound[index] = part.relative_error_bound * (1.0 + 2.0**-50)
    good[index] = part.settled & exact & np.isfinite(found.error_bound[index])
