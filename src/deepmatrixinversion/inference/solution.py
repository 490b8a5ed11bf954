"""Linear systems by a certified inverse, each solution with a bound on its error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.inference.arrays import embed, from_parts, real_form
from deepmatrixinversion.inference.results import Solution
from deepmatrixinversion.linalg.solution_bound import solution_error_bound
from deepmatrixinversion.linalg.engine import Inversion


def solve_by(invert: Callable[[NDArray], Inversion], A: ArrayLike, B: ArrayLike) -> Solution:
    """The solution of A Y = B by ``invert``, which inverts stacks of real matrices.

    Y = X B is refined once, Y <- Y + X (B - A Y) (Higham 2002, section 12.1), before its error is
    bounded. See ``Inverter.solve_ex``, whose work this is.
    """
    form, right = real_form(A), real_form(B, square=False, vectors=True, name="B")
    B = np.asarray(B)
    vector = B.ndim == 1
    _check_fit(np.shape(A), B.shape)
    is_complex = form.is_complex or right.is_complex
    E = embed(form.array + 0j) if is_complex and not form.is_complex else form.array
    if is_complex:
        # The left half of a complex B's embedding, or a real B over zeros.
        F = right.array
        F = (
            F[..., : F.shape[-1] // 2]
            if right.is_complex
            else np.concatenate([F, np.zeros_like(F)], axis=-2)
        )
    else:
        F = right.array
    dtype = np.result_type(E.dtype, right.array.dtype)
    # Contiguous: the bits of a product may depend on its factors' strides.
    E, F = np.ascontiguousarray(E, dtype=dtype), np.ascontiguousarray(F, dtype=dtype)
    inversion = invert(E)
    X, E64, F64 = (M.astype(np.float64, copy=False) for M in (inversion.inverse, E, F))
    with np.errstate(all="ignore"):
        Y = X @ F64
        Y = (Y + X @ (F64 - E64 @ Y)).astype(dtype)
    bound = _solution_bound(E, inversion, F, Y)
    if is_complex:
        Y = from_parts(Y)
        # |re| and |im| are each within the bound; sqrt(2), rounded up.
        bound = np.nextafter(bound * 1.4142135623730951, np.inf)
    if vector:
        Y, bound = Y[..., 0], bound[..., 0]
    return Solution(Y, bound, inversion)


def _solution_bound(A: NDArray, inversion: Inversion, B: NDArray, Y: NDArray) -> NDArray:
    """Bounds on the largest |A⁻¹B - Y| of each column, finite wherever A is certified."""
    X, (certified, alpha, error, _) = inversion.inverse, inversion.certificate
    bound = solution_error_bound(A, X, B, Y, alpha)
    bound = np.broadcast_to(bound, (*Y.shape[:-2], Y.shape[-1])).copy()
    weak = certified & ~(alpha < 1)
    if not weak.any():
        return bound
    # Certified by ‖I - AX‖: with r = b - Ay there is |A⁻¹r| <= |Xr| + ‖A⁻¹ - X‖ ‖r‖, and with
    # 0 for ‖I - XA‖ the function bounds |Xr| alone, and ‖r‖ for X = I.
    none, identity = np.zeros_like(alpha), np.eye(A.shape[-1])
    with np.errstate(all="ignore"):
        by_X = solution_error_bound(A, X, B, Y, none)
        by_error = error[..., None] * solution_error_bound(A, identity, B, Y, none)
        # Three roundings, and an underflow of the product, are covered.
        other = (by_X + by_error + 2.0**-1021) * (1 + 2.0**-50)
    return np.where(weak[..., None], np.where(np.isnan(other), np.inf, other), bound)


def _check_fit(A: tuple[int, ...], B: tuple[int, ...]) -> None:
    message = f"A of shape {A} and B of shape {B} do not fit together"
    if A[-1] != (B[0] if len(B) == 1 else B[-2]):
        raise ValueError(message)
    try:
        np.broadcast_shapes(A[:-2], B[:-2])
    except ValueError:
        raise ValueError(message) from None
