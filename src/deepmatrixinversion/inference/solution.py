"""Linear systems by an inverse, each solution with a bound on its error."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.inference.arrays import embed, from_parts, real_form
from deepmatrixinversion.inference.results import Solution
from deepmatrixinversion.linalg.arithmetic import flushed
from deepmatrixinversion.linalg.certificate import default_rtol
from deepmatrixinversion.linalg.compiled import kernel_solutions, serves
from deepmatrixinversion.linalg.engine import Inversion
from deepmatrixinversion.linalg.solution import Columns, solve_columns
from deepmatrixinversion.linalg.stack import Array, chunks


def solve_by(
    invert: Callable[[NDArray], Inversion], A: ArrayLike, B: ArrayLike, rtol: float | None = None
) -> Solution:
    """The solution of A Y = B by ``invert``, which inverts stacks of real matrices.

    See ``Inverter.solve_ex``, whose work this is.
    """
    form, right = real_form(A), real_form(B, square=False, vectors=True, name="B")
    vector = np.ndim(B) == 1
    _check_fit(np.shape(A), np.shape(B))
    is_complex = form.is_complex or right.is_complex
    E = embed(form.array + 0j) if is_complex and not form.is_complex else form.array
    F = right.array
    if right.is_complex:
        F = F[..., : F.shape[-1] // 2]  # the left half of an embedding
    elif is_complex:
        F = np.concatenate([F, np.zeros_like(F)], axis=-2)
    dtype = np.result_type(E.dtype, F.dtype)
    E, F = E.astype(dtype, copy=False), F.astype(dtype, copy=False)
    inversion = invert(E)
    Y, bound = _columns(E, F, inversion)
    if is_complex:
        Y = from_parts(Y)
        # |re| and |im| are each within the bound; sqrt(2), rounded up.
        bound = np.nextafter(bound * 1.4142135623730951, np.inf, where=bound > 0, out=bound.copy())
    relative = _relative(bound, Y)
    certified = relative <= (default_rtol(dtype) if rtol is None else rtol)
    certified &= inversion.certificate.certified[..., None]
    if vector:
        Y, bound = Y[..., 0], bound[..., 0]
        relative, certified = relative[..., 0], certified[..., 0]
    return Solution(Y, bound, inversion, np.asarray(relative), np.asarray(certified))


def _columns(E: NDArray, F: NDArray, inversion: Inversion) -> Columns:
    """Solutions and bounds of the broadcast stack; NaN and inf where something is not finite."""
    n, p = F.shape[-2:]
    batch = np.broadcast_shapes(E.shape[:-2], F.shape[:-2])
    k = math.prod(batch)
    if not (k and n and p):
        return Columns(np.empty((*batch, n, p), dtype=E.dtype), np.zeros((*batch, p)))
    a, x = E.reshape(-1, n, n), inversion.inverse.reshape(-1, n, n)
    f = F.reshape(-1, n, p)
    of_E, of_F = (_places(M.shape[:-2], batch) for M in (E, F))
    proof = inversion.certificate
    # A residual bound of inf: not finite, or flushed, or not rounded to nearest.
    sound = np.isfinite(proof.residual_bound).ravel()
    with np.errstate(all="ignore"):
        if serves(n):
            matrices = _one_or_each(k, of_E, a, x, proof.error_bound.ravel())
            Y, bound = kernel_solutions(*matrices, *_one_or_each(k, of_F, f))
            todo = np.flatnonzero((bound == np.inf).any(axis=1))
        else:
            Y, bound, todo = np.empty((k, n, p), dtype=E.dtype), np.empty((k, p)), np.arange(k)
        for part in chunks(len(todo), max(n, math.isqrt(n * p))):
            where = todo[part]
            of_A = of_E[where]
            found = _carefully(a[of_A], x[of_A], f[of_F[where]], sound[of_A])
            Y[where], bound[where] = found
    return Columns(Y.reshape(*batch, n, p), bound.reshape(*batch, p))


def _one_or_each(k: int, places: NDArray[np.intp], *stacks: NDArray) -> tuple[NDArray, ...]:
    """The stacks as they are where they hold one or k, and otherwise broadcast to k."""
    return stacks if len(stacks[0]) in (1, k) else tuple(s[places] for s in stacks)


def _carefully(A: NDArray, X: NDArray, B: NDArray, sound: NDArray[np.bool_]) -> Columns:
    """A chunk of systems, whatever is in them."""
    # What is not finite is solved as something that is: neighbours never notice.
    good = np.asarray(np.isfinite(A).all(axis=(1, 2)))
    safe_A = np.where(good[:, None, None], A, np.eye(A.shape[-1], dtype=A.dtype))
    fine = np.asarray(np.isfinite(B).all(axis=1))
    safe = np.where(fine[:, None, :], B, 0)
    found = solve_columns(safe_A.astype(np.float64), X, safe.astype(np.float64), A.dtype)
    fine &= good[:, None]
    Y = np.where(fine[:, None, :], found.solution, np.nan)
    fine &= sound[:, None] & ~flushed(safe)[:, None] & ~flushed(found.solution)[:, None]
    return Columns(Y, np.where(fine, found.error_bound, np.inf))


def _places(shape: tuple[int, ...], batch: tuple[int, ...]) -> NDArray[np.intp]:
    """Which matrix of a stack of this shape each of the broadcast stack is."""
    return np.broadcast_to(np.arange(math.prod(shape)).reshape(shape), batch).ravel()


def _relative(bound: Array, Y: NDArray) -> Array:
    """The bound over each column's largest modulus, rounded up; 0 over 0 is 0."""
    if not Y.shape[-2]:
        return np.zeros_like(bound)
    with np.errstate(all="ignore"):
        moduli = np.moveaxis(np.abs(Y), -2, 0)  # short columns, one after the other, are slow
        largest = np.ascontiguousarray(moduli, dtype=np.float64).max(axis=0)
        # The modulus of a complex number is off by a few roundings of its dtype.
        slack = 8 * float(np.finfo(Y.dtype).eps) if Y.dtype.kind == "c" else 2.0**-50
        relative = np.nextafter(bound / largest * (1 + slack), np.inf)
    relative = np.where(bound == 0, 0.0, relative)
    return np.where(np.isfinite(largest) & np.isfinite(relative), relative, np.inf)


def _check_fit(A: tuple[int, ...], B: tuple[int, ...]) -> None:
    message = f"A of shape {A} and B of shape {B} do not fit together"
    if A[-1] != (B[0] if len(B) == 1 else B[-2]):
        raise ValueError(message)
    try:
        np.broadcast_shapes(A[:-2], B[:-2])
    except ValueError:
        raise ValueError(message) from None
