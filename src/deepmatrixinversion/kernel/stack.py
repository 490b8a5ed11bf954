"""Stacks, and single matrices, through the compiled kernel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.kernel.state import built, compiled, default_threads

METHODS = ("network", "elimination")
_CODES = {"elimination": 0, "network": 1}
_GIVEN = 2
LARGEST_ORDER: int = 0 if compiled is None else compiled.LARGEST_ORDER
LARGEST_HALVED: int = 0 if compiled is None else compiled.LARGEST_HALVED

FINISHED: int = 0 if compiled is None else compiled.FINISHED
PLAIN: int = 0 if compiled is None else compiled.PLAIN

PAGED = 1 << 17
"""Bytes of a stack whose results may be memory fresh from the system, a page fault every 4 KiB."""

WORTH_THREADS = 1 << 18
"""Multiplications below which a second thread is never worth starting."""


def threads_for(work: int, threads: int | None = None) -> int:
    """How many threads so many multiplications may take: those asked for, or the default."""
    if threads is None:
        return default_threads() if work > WORTH_THREADS else 1
    if threads < 1:
        raise ValueError(f"at least one thread is needed, not {threads}")
    return threads


class StackInversion(NamedTuple):
    """Inverses and their proofs; each bound is inf where nothing is proven.

    Attributes
    ----------
    inverse : (k, n, n) float64 or float32
        NaN where nothing is proven; zero where the pattern of a finished matrix's zeros says so
    error_bound : (k,) float64
        at least ‖A^-1 - X‖inf
    residual_bound : (k,) float64
        at least ‖I - X A‖inf, and ‖I - A X‖inf where rows and columns are of even size
    relative_error_bound : (k,) float64
        at least ‖A^-1 - X‖inf / ‖X‖inf
    state : (k,) uint8
        ``finished`` and ``plain`` as bits
    """

    inverse: NDArray
    error_bound: NDArray[np.float64]
    residual_bound: NDArray[np.float64]
    relative_error_bound: NDArray[np.float64]
    state: NDArray[np.uint8]

    @property
    def finished(self) -> NDArray[np.bool_]:
        """Proven, and the bound is the last rounding and at most u/8 of ‖X‖ beside it (2^-21 in
        float32); the others are for more careful code."""
        return (self.state & FINISHED).astype(bool)

    @property
    def settled(self) -> NDArray[np.bool_]:
        """Finished, and plain: the largest entry is between 2^-400 and 2^400, what changes entries
        by a rounding or two leaves the matrix nonsingular, and where rows or columns are of uneven
        size relative bounds hold beside the evenly scaled pair as well."""
        return self.state == FINISHED | PLAIN


def invert_stack(A: NDArray, method: str = "network", threads: int | None = None) -> StackInversion:
    r"""Invert a stack of small matrices and prove each inverse, in one pass of compiled code.

    A candidate from float32, by the network or by elimination, its residual in doubled precision,
    one correction :math:`X = X_0 (I + R + R^2 + R^3 + R^4)`, and a bound on what is left:
    ``src/kernel/series.h`` derives it. What the network leaves loose it gets once more with its
    rows, then its columns, in reverse order; what is loose still (0.1 % to 3 % of normal matrices),
    and what has uneven rows or columns, is equilibrated, eliminated in float64 and corrected in
    doubled precision: ``src/kernel/slow.cpp``. No result depends on its neighbours in the stack, on
    its place there, or on the number of threads.

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
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: {' or '.join(METHODS)}")
    if A.nbytes > PAGED:
        # As in linalg/stack.py's `chunks`: glibc keeps freed memory below a threshold that grows
        # with the largest block ever freed, and faults in anew what it gives back.
        np.empty(1 << 21)
    return _inverted(A, np.empty(A.shape, A.dtype), _CODES[method], threads)


def complete_stack(A: NDArray, X: NDArray, threads: int | None = None) -> StackInversion:
    """`invert_stack` from given candidates.

    They take a Newton step in float32 first: residuals up to 1e-2 are good enough. What that leaves
    loose is eliminated as there.

    Parameters
    ----------
    A : (k, n, n) float64 or float32 array
        as for `invert_stack`
    X : (k, n, n) array
        candidates of any quality, C-contiguous and of A's dtype, overwritten by the inverses
    threads : int, optional
        as for `invert_stack`

    Returns
    -------
    StackInversion
        whose ``inverse`` is X

    Raises
    ------
    ValueError, TypeError
        as `invert_stack` does, and where the shapes differ

    Notes
    -----
    Cost: about six matrix products, three of them in float32.
    """
    return _inverted(A, X, _GIVEN, threads)


def _inverted(A: NDArray, X: NDArray, method: int, threads: int | None) -> StackInversion:
    """Into X, which holds what was given."""
    module = compiled or built()
    count, n = A.shape[:2]
    threads = threads_for(A.size * n, threads)
    if not 1 <= n <= LARGEST_ORDER:
        raise ValueError(f"the kernel takes orders from 1 to {LARGEST_ORDER}, not {n}")
    bounds = np.empty((3, count))
    state = np.empty(count, dtype=np.uint8)
    module.invert_into(A, X, bounds, state, method, threads)
    return StackInversion(X, bounds[0], bounds[1], bounds[2], state)


def invert_one(A: NDArray) -> tuple[NDArray, float, float, float] | None:
    """`invert_stack` for one matrix by the network, with the same bits: X and its three bounds.

    None for anything but one C-contiguous float64 or float32 matrix of an order that the kernel
    takes, where the result is not settled, and in an environment of the caller's that rounds
    otherwise than to nearest or flushes subnormals to zero: all that is for more careful code. At
    order 8 everything together takes less than ``numpy.linalg.inv``.
    """
    if compiled is None or A.ndim != 2 or A.size > LARGEST_ORDER**2:
        return None
    if A.dtype.char not in "df" or not A.flags.c_contiguous:
        return None
    X = np.empty(A.shape, A.dtype)
    found = compiled.invert_one(A, X, True)
    if found is None or found[3] != FINISHED | PLAIN:
        return None
    return X, found[0], found[1], found[2]


def halve_into(A: NDArray[np.float64], X: NDArray[np.float64]) -> None:
    """One matrix's inverse into X, without a proof: recursion on halves, ends by elimination.

    Parameters
    ----------
    A, X : (n, n) float64 arrays
        of contiguous rows, 1 <= n <= ``LARGEST_HALVED``; X is garbage, NaN included, where a
        leading block of A is singular

    Raises
    ------
    ValueError
        where the kernel was not built, and for what does not fit

    Notes
    -----
    Cost: 1 product.
    """
    built().halve_into(A, X)


def usual_environment() -> bool:
    """Whether the caller's floating-point environment rounds to nearest and keeps subnormals."""
    return compiled is not None and compiled.usual_environment()
