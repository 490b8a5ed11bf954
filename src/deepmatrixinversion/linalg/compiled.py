"""Stacks of small matrices through the compiled kernel, held to what a certificate promises."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion import kernel
from deepmatrixinversion.linalg.arithmetic import flushed
from deepmatrixinversion.linalg.certificate import Certificate
from deepmatrixinversion.linalg.residual import ETA
from deepmatrixinversion.linalg.scaling import SPREAD
from deepmatrixinversion.linalg.structure import reachable


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
    modulus = np.abs(A)
    lines = np.concatenate([modulus.max(axis=2), modulus.max(axis=1)], axis=1)
    even = lines.max(axis=1) < lines.min(axis=1) * 2.0**SPREAD
    good = found.finished & even & (4 * n * found.residual_bound < 1.0)
    odd = np.flatnonzero(good & ~(modulus.min(axis=(1, 2)) >= ETA))
    X, relative = found.inverse, found.relative_error_bound
    if odd.size:
        good[odd[flushed(A[odd])]] = False
        X[odd] = np.where(reachable(A[odd]), X[odd], 0.0)
        # A norm is smaller now, by at most what its error was.
        relative[odd] *= 1.0 + 2.0**-20
    certified = good & (relative <= rtol)
    return X, Certificate(certified, found.residual_bound, found.error_bound, relative), good
