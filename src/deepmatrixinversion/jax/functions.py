"""The functions that stand in for their namesakes in ``jax.numpy.linalg``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from deepmatrixinversion.jax.certificate import InverseResult, certified, uncertified, why_not, x64
from deepmatrixinversion.jax.iterations import (
    full_precision,
    minimal_residual_inverse,
    pseudo_inverse,
)
from deepmatrixinversion.linalg.minimal_residual import default_blocks, solution
from deepmatrixinversion.linalg.purification import default_rtol, smallest_rtol

DTYPES = (jnp.float32, jnp.float64, jnp.complex64, jnp.complex128)


def _checked(A: Any, name: str = "A", square: bool = True, axes: int = 2) -> Array:
    A = jnp.asarray(A)
    if A.dtype not in DTYPES:
        raise ValueError(
            f"{name} has dtype {A.dtype}; float32, float64 (with jax_enable_x64) and complex "
            f"matrices are inverted: pass {name}.astype(jax.numpy.float32)"
        )
    if A.ndim < axes or (square and A.shape[-1] != A.shape[-2]):
        kind = "square matrices (..., n, n)" if square else "matrices (..., m, n)"
        raise ValueError(f"{name} must hold {kind}, not be of shape {A.shape}")
    return A


def _over_reals(function: Callable[[Array], Array], A: Array) -> Array:
    """``function`` of [[Re A, -Im A], [Im A, Re A]], which is a complex matrix in real numbers."""
    if not jnp.iscomplexobj(A):
        return function(A)
    re, im = A.real, A.imag
    X = function(jnp.block([[re, -im], [im, re]]))
    n, m = A.shape[-1], A.shape[-2]
    return jax.lax.complex(X[..., :n, :m], X[..., n:, :m])


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _real_inverse(A: Array, blocks: int, refine: int) -> Array:
    return minimal_residual_inverse(A, blocks, refine) if A.shape[-1] else A


@_real_inverse.defjvp
@full_precision
def _of_inverse(blocks: int, refine: int, at: tuple[Array], moved: tuple[Array]) -> Any:
    X = _real_inverse(*at, blocks, refine)
    return X, -X @ moved[0] @ X


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _real_pseudo_inverse(A: Array, rtol: float) -> Array:
    return pseudo_inverse(A, rtol) if A.size or all(A.shape[-2:]) else A.mT


@_real_pseudo_inverse.defjvp
@full_precision
def _of_pseudo_inverse(rtol: float, at: tuple[Array], moved: tuple[Array]) -> Any:
    """The derivative at constant rank (Golub & Pereyra 1973, equation 4.12)."""
    (A,), (dA,) = at, moved
    X = _real_pseudo_inverse(A, rtol)
    V, W = X.mT @ dA.mT, dA.mT @ X.mT
    return X, -X @ dA @ X + X @ (V - (V @ A) @ X) + (W - X @ (A @ W)) @ X


def inv(A: Any, *, blocks: int | None = None, refine: int = 0) -> Array:
    r"""Inverses by matrix products, under jit, vmap, grad and on stacks spread over devices.

    Minimal residual steps from A^T, see `linalg.minimal_residual`; the derivative is the implicit
    one, dX = -X dA X, of which there are derivatives again. Never raises for singular matrices, and
    proves nothing: `inv_ex` does.

    Parameters
    ----------
    A : (..., n, n) array_like
        float32, complex64; float64 and complex128 where ``jax_enable_x64`` is on
    blocks : int, optional
        steps, `linalg.minimal_residual.default_blocks` without; a matrix of singular values that
        spread over many decades may need more
    refine : int
        Newton-Schulz steps after that

    Returns
    -------
    (..., n, n) Array
        of A's dtype; for singular matrices finite, and of no meaning

    Raises
    ------
    ValueError
        for another shape or dtype

    Notes
    -----
    Cost: 1 + 5 ``blocks`` + 2 ``refine`` products, of order 2 n for complex matrices; 2 for a
    derivative. Products are in full precision, whatever the device's default.

    Examples
    --------
    >>> from deepmatrixinversion.jax import inv
    >>> (100 * inv([[2.0, 0.0], [0.0, 4.0]])).round().tolist()
    [[50.0, 0.0], [0.0, 25.0]]
    """
    A = _checked(A)

    def function(M: Array) -> Array:
        count = default_blocks(M.shape[-1], M.dtype == jnp.float64) if blocks is None else blocks
        return _real_inverse(M, count, refine)

    return _over_reals(function, A)


def inv_ex(
    A: Any, *, blocks: int | None = None, refine: int = 0, rtol: float | None = None
) -> InverseResult:
    """`inv` with a certificate of each matrix where JAX computes in conventional float64.

    That is on CPU and GPU with ``jax_enable_x64``. Elsewhere ``certified`` is False, bounds are
    inf, and ``reason`` says why. ``deepmatrixinversion.inv_ex`` has tight bounds, on the CPU.

    Parameters
    ----------
    A, blocks, refine
        see `inv`; real matrices
    rtol : float, optional
        relative error that a certified inverse is proven to have at most; 1e-6 by default, 1e-3
        for float32

    Returns
    -------
    InverseResult

    Raises
    ------
    ValueError
        for another shape or dtype

    Notes
    -----
    Cost: one product more than `inv`, and three passes over n² entries. See `certificate`.
    """
    A = _checked(A)
    if jnp.iscomplexobj(A):
        raise ValueError(
            "certificates are for real matrices here; pass [[Re A, -Im A], [Im A, Re A]], or A to "
            "deepmatrixinversion.inv_ex"
        )
    X = inv(A, blocks=blocks, refine=refine)
    reason = why_not(A.shape[-1])
    return certified(A, X, rtol) if reason is None else uncertified(X, A.shape[:-2], reason)


@full_precision
def solve(A: Any, B: Any, *, blocks: int | None = None, refine: int = 0) -> Array:
    """The solution of A Y = B as X B, X = `inv` (A), with one step of iterative refinement.

    Parameters
    ----------
    A, blocks, refine
        see `inv`
    B : (n,) or (..., n, p) array_like
        one vector, or matrices whose stacks broadcast against A's, as in NumPy

    Returns
    -------
    (..., n) or (..., n, p) Array
        of the dtype that A and B promote to

    Raises
    ------
    ValueError
        for another dtype or shapes that do not fit

    Notes
    -----
    Cost: `inv` and three products with B.
    """
    A, B = _checked(A), _checked(B, "B", square=False, axes=1)
    vector = B.ndim == 1
    if B.shape[-1 if vector else -2] != A.shape[-1]:
        raise ValueError(f"A of shape {A.shape} and B of shape {B.shape} do not fit together")
    dtype = jnp.promote_types(A.dtype, B.dtype)
    A, B = A.astype(dtype), B.astype(dtype)
    Y = solution(A, inv(A, blocks=blocks, refine=refine), B[:, None] if vector else B)
    return Y[..., 0] if vector else Y


def pinv(A: Any, *, rtol: float | None = None) -> Array:
    """Moore-Penrose inverses by matrix products, differentiable where the rank is constant.

    See `linalg.purification`.

    Parameters
    ----------
    A : (..., m, n) array_like
        see `inv`
    rtol : float, optional
        singular values of at least rtol ‖A‖2 are inverted, those below 0.4 rtol ‖A‖2 dropped: put
        it into a gap between them. By default max(m, n) eps of A's dtype, but at least 8 √(2 eps)
        of that in which is computed: 1.7e-7 with ``jax_enable_x64``, 3.9e-3 without.

    Returns
    -------
    (..., n, m) Array
        of A's dtype

    Raises
    ------
    ValueError
        for another shape or dtype, and a smaller ``rtol``

    Notes
    -----
    Cost: 2 log2(1/rtol) + 28 products or so, in float64 where that is on; 10 for a derivative.
    """
    A = _checked(A, square=False)
    # The widest that is on.
    wide = A.astype(jnp.complex128 if jnp.iscomplexobj(A) else jnp.float64) if x64() else A
    inside = float(jnp.finfo(wide.dtype).eps)
    smallest = smallest_rtol(inside)
    if rtol is None:
        rtol = default_rtol(A.shape[-2], A.shape[-1], float(jnp.finfo(A.dtype).eps), inside)
    if not smallest <= rtol < 1:
        raise ValueError(f"rtol must be at least {smallest:.2g} and below 1, not {rtol}")
    return _over_reals(lambda M: _real_pseudo_inverse(M, rtol), wide).astype(A.dtype)
