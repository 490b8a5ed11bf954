"""The iterations of `linalg` on JAX arrays, in full precision on every device.

The number of steps is fixed beforehand and nothing branches on data.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
from jax import Array, lax

from deepmatrixinversion.linalg import balance, minimal_residual, purification
from deepmatrixinversion.linalg.algebra import Algebra, candidate
from deepmatrixinversion.linalg.polynomial import MATRICES

P = ParamSpec("P")
T = TypeVar("T")


def full_precision(function: Callable[P, T]) -> Callable[P, T]:
    """Keep products from being rounded (TF32, bfloat16): a residual would be nothing else."""

    @wraps(function)
    def exact(*args: P.args, **kwargs: P.kwargs) -> T:
        with jax.default_matmul_precision("highest"):
            return function(*args, **kwargs)

    return exact


def algebra(order: int, one: Array, space: Any = MATRICES) -> Algebra:
    """For matrices of this order, of the identity's dtype, that lie as ``space`` has it."""
    eps = float(jnp.finfo(one.dtype).eps)
    return Algebra(order, eps, one, jnp.where, space, constant=lax.stop_gradient)


def plain_algebra(A: Array) -> Algebra:
    """For matrices of the order of A's rows, that lie on one device each."""
    n = A.shape[-2]
    return algebra(n, jnp.eye(n, dtype=A.dtype))


def floor_power(x: Array) -> Array:
    """The power of two below x > 0, the smallest normal one for subnormal x, and 1 for 0.

    By its bits, since a library's ``frexp`` takes long to compile; constant to the gradient.
    """
    x = lax.stop_gradient(x)
    integer, exponent = BITS[x.dtype.itemsize]
    bits = lax.bitcast_convert_type(jnp.maximum(x, jnp.finfo(x.dtype).tiny), integer)
    power = lax.bitcast_convert_type(bits & exponent, x.dtype)
    return jnp.where(jnp.isfinite(x), jnp.where(x > 0, power, jnp.ones_like(x)), x)


BITS = {4: (jnp.int32, 0x7F800000), 8: (jnp.int64, 0x7FF0000000000000)}
"""By the bytes of a number: integers of as many, and where its exponent is."""

POWERS = balance.Powers(floor_power, lambda x, axis: x.max(axis=axis, keepdims=True))


@partial(jax.jit, static_argnums=(1, 2))
@full_precision
def minimal_residual_inverse(A: Array, blocks: int, refine: int = 0) -> Array:
    """Approximate inverses by ``blocks`` minimal residual steps from A^T, for n > 0.

    Cost: 1 + 5 ``blocks`` + 2 ``refine`` products. The blocks are alike, in a loop, so that the
    compiled program is short.
    """
    S, r, c = balance.equilibrated(POWERS, A)
    S, e, f = balance.scaled(POWERS, S, MATRICES.norm)
    a = plain_algebra(S)
    found = candidate(a, S, S.mT)
    found = lax.fori_loop(0, blocks, lambda _, old: minimal_residual.step(a, S, old), found)
    X = minimal_residual.newton_schulz(a, S, found.X, refine) if refine else found.X
    return X / f / e / c.mT / r.mT


@partial(jax.jit, static_argnums=1)
@full_precision
def pseudo_inverse(A: Array, rtol: float) -> Array:
    """`linalg.purification` for matrices with at least one entry."""
    if A.shape[-2] > A.shape[-1]:
        return pseudo_inverse(A.mT, rtol).mT
    S, c, d = balance.scaled(POWERS, A, MATRICES.norm)
    return purification.pseudo_inverse(plain_algebra(S), S, rtol) / d / c
