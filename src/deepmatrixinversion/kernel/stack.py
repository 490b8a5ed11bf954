"""Stacks through the compiled kernel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.kernel.state import compiled, default_threads

METHODS = ("network", "elimination")
LARGEST_ORDER: int = 0 if compiled is None else compiled.LARGEST_ORDER


class StackInversion(NamedTuple):
    """Inverses and their proofs; each bound is inf where nothing is proven.

    Attributes
    ----------
    inverse : (k, n, n) float64 or float32
        NaN where nothing is proven
    error_bound : (k,) float64
        at least ‖A^-1 - X‖inf
    residual_bound : (k,) float64
        at least ‖I - X A‖inf and ‖I - A X‖inf
    relative_error_bound : (k,) float64
        at least ‖A^-1 - X‖inf / ‖X‖inf
    finished : (k,) bool
        proven, and the bound is the last rounding and at most u/8 of ‖X‖ beside it (2^-21 in
        float32); the others are for more careful code
    """

    inverse: NDArray
    error_bound: NDArray[np.float64]
    residual_bound: NDArray[np.float64]
    relative_error_bound: NDArray[np.float64]
    finished: NDArray[np.bool_]


def invert_stack(A: NDArray, method: str = "network", threads: int | None = None) -> StackInversion:
    r"""Invert a stack of small matrices and prove each inverse, in one pass of compiled code.

    A candidate from float32, by the network or by elimination, its residual in doubled precision,
    one correction :math:`X = X_0 (I + R + R^2 + R^3 + R^4)`, and a bound on what is left:
    ``src/kernel/series.h`` derives it. What the network leaves loose it gets once more with its
    rows, then its columns, in reverse order; what is loose still (0.1 % to 3 % of normal matrices)
    is equilibrated, eliminated in float64 and corrected in doubled precision. No result depends on
    its neighbours in the stack, on its place there, or on the number of threads.

    Parameters
    ----------
    A : (k, n, n) float64 or float32 array
        C-contiguous, 1 <= n <= ``LARGEST_ORDER``; any values, NaN and infinities included
    method : {"network", "elimination"}
        what proposes
    threads : int, optional
        OMP_NUM_THREADS by default, or else the processors at hand

    Returns
    -------
    StackInversion

    Raises
    ------
    ValueError
        where the kernel was not built, and for another method, order or number of threads
    TypeError
        for another dtype, and for an array that is not C-contiguous

    Notes
    -----
    Cost: about five matrix products, fused while in cache.
    """
    if compiled is None:
        raise ValueError("the compiled kernel was not built: install again with a C++ compiler")
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: {' or '.join(METHODS)}")
    if threads is None:
        threads = default_threads()
    elif threads < 1:
        raise ValueError(f"at least one thread is needed, not {threads}")
    count, n = A.shape[:2]
    if not 1 <= n <= LARGEST_ORDER:
        raise ValueError(f"the kernel takes orders from 1 to {LARGEST_ORDER}, not {n}")
    X = np.empty(A.shape, A.dtype)
    bounds = np.empty((3, count))
    finished = np.empty(count, dtype=bool)
    compiled.invert_into(A, X, bounds, finished, method == "network", threads)
    return StackInversion(X, bounds[0], bounds[1], bounds[2], finished)


class SingleInversion(NamedTuple):
    """`StackInversion` of one matrix: (n, n), and numbers."""

    inverse: NDArray[np.float64]
    error_bound: float
    residual_bound: float
    relative_error_bound: float
    finished: bool


def invert_one(A: NDArray[np.float64], method: str = "network") -> SingleInversion:
    """`invert_stack` for one (n, n) float64 matrix, with the same bits and less to do around it."""
    if compiled is None:
        raise ValueError("the compiled kernel was not built: install again with a C++ compiler")
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: {' or '.join(METHODS)}")
    X = np.empty(A.shape)
    return SingleInversion(X, *compiled.invert_one(A, X, method == "network"))
