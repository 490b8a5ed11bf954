"""Linear systems by a certified inverse, each solution with a bound on its error."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.inference.arrays import embed, from_parts, real_form
from deepmatrixinversion.inference.results import Solution
from deepmatrixinversion.linalg.certificate import default_rtol
from deepmatrixinversion.linalg.engine import Inversion
from deepmatrixinversion.linalg.solution import solutions
from deepmatrixinversion.linalg.stack import chunks


def solve_by(
    invert: Callable[[NDArray], Inversion], A: ArrayLike, B: ArrayLike, rtol: float | None = None
) -> Solution:
    """The solution of A Y = B by ``invert``, which inverts stacks of real matrices.

    See ``Inverter.solve_ex``, whose work this is.
    """
    form, right = real_form(A), real_form(B, square=False, vectors=True, name="B")
    vector = np.ndim(B) == 1
    _check_fit(np.shape(A), np.shape(B))
    E, F = form.array, right.array
    is_complex = form.is_complex or right.is_complex
    if is_complex:
        E = E if form.is_complex else embed(E + 0j)
        # The left half of a complex B's embedding, or a real B over zeros.
        half = F[..., : F.shape[-1] // 2]
        F = half if right.is_complex else np.concatenate([F, np.zeros_like(F)], axis=-2)
    dtype = np.result_type(E.dtype, F.dtype)
    E, F = np.ascontiguousarray(E, dtype=dtype), np.ascontiguousarray(F, dtype=dtype)
    inversion = invert(E)
    Y, bound, relative = _broadcast(E, inversion, F)
    if is_complex:
        Y = from_parts(Y)
        # |re| and |im| are each within the bound; sqrt(2), rounded up. |y| is at least either.
        bound = np.nextafter(bound * 1.4142135623730951, np.inf)
        relative = np.nextafter(relative * 1.4142135623730951, np.inf)
    tolerance = default_rtol(dtype) if rtol is None else rtol
    certified = (relative <= tolerance) & inversion.certificate.certified[..., None]
    if vector:
        Y, bound, relative, certified = (M[..., 0] for M in (Y, bound, relative, certified))
    return Solution(Y, bound, inversion, relative, certified)


def _broadcast(A: NDArray, inversion: Inversion, B: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """`solutions` of each matrix of A with each of B that broadcasting pairs it with."""
    n, p = B.shape[-2:]
    batch = np.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    k = math.prod(batch)
    a, x = A.reshape(-1, n, n) if n else A, inversion.inverse.reshape(-1, n, n) if n else A
    b = B.reshape(-1, n, p) if n and p else B
    Y = np.full((k, n, p), np.nan, dtype=A.dtype)
    bound, relative = np.full((k, p), np.inf), np.full((k, p), np.inf)
    if not (n and p and k):
        zero = np.zeros((*batch, p))
        return Y.reshape(*batch, n, p), zero, zero.copy()
    proofs = inversion.certificate.reshaped((len(a),))
    which_a, which_b = (
        np.broadcast_to(np.arange(len(M)).reshape(shape), batch).ravel()
        for M, shape in ((a, A.shape[:-2]), (b, B.shape[:-2]))
    )
    usable = np.isfinite(x).all(axis=(1, 2))[which_a]
    with np.errstate(all="ignore"):
        for part in chunks(k, max(n, p)):
            index = np.arange(part.start, part.stop)[usable[part]]
            if not index.size:
                continue
            i, j = which_a[index], which_b[index]
            # A column that is not finite is solved as zero, so that the others never notice.
            right = b[j]
            finite = np.isfinite(right).all(axis=1)
            right = np.where(finite[:, None, :], right, 0.0)
            y, e, r = solutions(a[i], x[i], proofs.at(i), right, A.dtype)
            Y[index] = np.where(finite[:, None, :], y, np.nan)
            bound[index], relative[index] = np.where(finite, e, np.inf), np.where(finite, r, np.inf)
    return Y.reshape(*batch, n, p), bound.reshape(*batch, p), relative.reshape(*batch, p)


def _check_fit(A: tuple[int, ...], B: tuple[int, ...]) -> None:
    message = f"A of shape {A} and B of shape {B} do not fit together"
    if A[-1] != (B[0] if len(B) == 1 else B[-2]):
        raise ValueError(message)
    try:
        np.broadcast_shapes(A[:-2], B[:-2])
    except ValueError:
        raise ValueError(message) from None
