"""Stacks of small matrices through the compiled kernel, held to what a certificate promises."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion import kernel
from deepmatrixinversion.linalg.arithmetic import flushed
from deepmatrixinversion.linalg.certificate import Certificate, shifted
from deepmatrixinversion.linalg.residual import ETA
from deepmatrixinversion.linalg.scaling import SPREAD
from deepmatrixinversion.linalg.structure import reachable

FAR = 2.0**400
"""Matrices larger or smaller than this are brought to a largest entry near 1 first."""


def serves(n: int) -> bool:
    """Whether the kernel was built, and takes matrices of order n."""
    return kernel.available() and 1 <= n <= kernel.LARGEST_ORDER


def kernel_inverses(
    A: NDArray, rtol: float, method: str
) -> tuple[NDArray, Certificate, NDArray[np.bool_]]:
    """Inverses, certificates, and where these are as good as the careful code's, (k,).

    Parameters
    ----------
    A : (k, n, n) float64 or float32 array
        of an order that `serves`
    rtol : float
        relative error that a certified inverse is proven to have at most
    method : {"network", "elimination"}
        what proposes

    Notes
    -----
    Left to the careful code is what the kernel could not prove to the last bits, and matrices whose
    rows or columns are uneven: their certificates also speak of the evenly scaled pair. So are
    those that can hardly be told from singular ones, by the residual bound, which is at least
    u/2 ‖X‖‖A‖ for inverses that are right to the last bit.
    """
    n = A.shape[-1]
    found = kernel.invert_stack(np.ascontiguousarray(A), method)
    # Batch-last: reductions over short axes would cost several times the kernel itself.
    modulus = np.abs(np.ascontiguousarray(A.transpose(1, 2, 0)))
    rows, columns = modulus.max(axis=1), modulus.max(axis=0)
    top = rows.max(axis=0)
    even = top < np.minimum(rows.min(axis=0), columns.min(axis=0)) * 2.0**SPREAD
    far = np.flatnonzero(even & ~((top > 1 / FAR) & (top < FAR)))
    if far.size:
        _scale_and_invert(A, top, far, method, found)
    good = found.finished & even & (4 * n * found.residual_bound < 1.0)
    odd = np.flatnonzero(good & ~(modulus.min(axis=(0, 1)) >= ETA))
    X, relative = found.inverse, found.relative_error_bound
    if odd.size:
        good[odd[flushed(A[odd])]] = False
        X[odd] = np.where(reachable(A[odd]), X[odd], 0.0)
        # A norm is smaller now, by at most what its error was.
        relative[odd] *= 1.0 + 2.0**-20
    certified = good & (relative <= rtol)
    return X, Certificate(certified, found.residual_bound, found.error_bound, relative), good


def _scale_and_invert(
    A: NDArray, top: NDArray, far: NDArray[np.intp], method: str, found: kernel.StackInversion
) -> None:
    """The matrices at ``far`` through the kernel at another scale: the same bits at every scale.

    Where a power of two cannot be undone exactly they are not finished.
    """
    exponent = np.frexp(top[far])[1].astype(np.int64)
    spread = exponent[:, None, None]
    part = kernel.invert_stack(np.ascontiguousarray(np.ldexp(A[far], -spread)), method)
    X = np.ldexp(part.inverse, -spread)
    exact = (np.ldexp(X, spread) == part.inverse).all(axis=(1, 2))
    found.inverse[far] = X
    found.error_bound[far] = shifted(np.ldexp(part.error_bound, -exponent))
    found.residual_bound[far] = part.residual_bound
    found.relative_error_bound[far] = part.relative_error_bound * (1.0 + 2.0**-50)
    found.finished[far] = part.finished & exact & np.isfinite(found.error_bound[far])
