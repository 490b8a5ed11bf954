r"""A certificate by one product and row sums, for arrays on one device or on many.

In float64, u = 2^-53, with R = fl(X A), d_i the sum of |R - I|_ij over j, and p = |X| |A| 1,

.. math:: \|I - X A\| \le \alpha = \max_i (d_i + \gamma_n p_i + 8 n (n + 4) \eta),
    \quad \gamma_n = n u / (1 - n u),                                                    \tag{1}

for a conventional product in any order of summation, with or without fused operations (Higham 2002,
section 3.5): an entry of R is off by at most gamma_n (|X||A|)_ij, and by 2 n eta where operations
underflow, n >= 1 products and sums of up to 2 eta, eta = 2^-1022, each, which covers flushing to
zero as well (`linalg.certificate`). If alpha < 1, A and X are nonsingular, and from
A^-1 - X = (I - XA)(I - (I - XA))^-1 X

.. math:: \|A^{-1} - X\| \le \frac{\alpha}{1 - \alpha} \|X\|.                            \tag{2}

The bounds themselves are made of sums of up to n moduli and a few operations more, in any order:
the factor 1 + (4 n + 64) u covers them. Subnormal entries may be read as zero: where there are any,
nothing is certified; their bits tell. A float32 matrix is a float64 one, exactly.

This bound is of order n u ‖|X||A|‖, whatever the error; `deepmatrixinversion.certify` has a tight
one. **Certified** is what has a relative error bound of at most ``rtol``, and is told apart from
singular matrices: 2 n u max p < 1.

References
----------
Rump 2010, Acta Numerica 19, theorem 10.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, dtypes, lax

from deepmatrixinversion.jax.iterations import full_precision
from deepmatrixinversion.linalg.certificate import LARGEST_ORDER, RTOL
from deepmatrixinversion.linalg.residual import ETA, U, gamma

CONVENTIONAL = ("cpu", "gpu", "cuda", "rocm")
"""Platforms whose float64 product is one of IEEE operations; a TPU's is put together."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["inverse", "certified", "residual_bound", "error_bound", "relative_error_bound"],
    meta_fields=["reason"],
)
@dataclass(frozen=True)
class InverseResult:
    """Inverses with bounds in the infinity norm, a pytree.

    Attributes
    ----------
    inverse : (..., n, n) Array
    certified : (...) bool Array
        A and X are proven nonsingular, and the relative error at most ``rtol``
    residual_bound, error_bound, relative_error_bound : (...) Array
        upper bounds on ‖I - XA‖, ‖A^-1 - X‖ and the latter over ‖X‖; inf where nothing is proven
    reason : str or None
        why nothing could be certified here, whatever the matrices
    """

    inverse: Array
    certified: Array
    residual_bound: Array
    error_bound: Array
    relative_error_bound: Array
    reason: str | None = None


def x64() -> bool:
    """Whether JAX holds float64."""
    return dtypes.canonicalize_dtype(jnp.float64) == jnp.float64


def why_not(order: int) -> str | None:
    """What keeps any matrix from being certified here; None where nothing does."""
    if not x64():
        return "float64 is off: jax.config.update('jax_enable_x64', True) switches it on"
    if jax.default_backend() not in CONVENTIONAL:
        return f"float64 products on {jax.default_backend()} are not conventional ones"
    if order > LARGEST_ORDER:
        return f"the order {order} is beyond the certificate's {LARGEST_ORDER}"
    return None


def uncertified(X: Array, batch: tuple[int, ...], reason: str) -> InverseResult:
    """Promises nothing, and says why."""
    inf = jnp.full(batch, jnp.inf, dtype=X.dtype)
    return InverseResult(X, jnp.zeros(batch, dtype=bool), inf, inf, inf, reason)


class Sums(NamedTuple):
    """How arrays lie: their product, row sums of moduli (n, 1), sums over all rows, the identity.

    ``weighted(X, a)`` is sum_k |X|_ik a_k for the column ``a`` of row sums, and ``largest`` the
    largest of a column (1, 1).
    """

    product: Callable[[Array, Array], Array]
    rows: Callable[[Array], Array]
    weighted: Callable[[Array, Array], Array]
    largest: Callable[[Array], Array]
    one: Array


def bounds(s: Sums, A: Array, X: Array, order: int) -> tuple[Array, Array, Array, Array]:
    """alpha of (1), the bound (2), that over ‖X‖, and max p, for float64 A and X, (..., 1, 1)."""
    n = order
    factor = 1 + (4 * n + 64) * U
    d = s.rows(s.product(X, A) - s.one)
    p = s.weighted(X, s.rows(A))
    alpha = _up(s.largest(d + gamma(n) * p + 8 * n * (n + 4) * ETA) * factor)
    alpha = jnp.where(_normal(s, A) & _normal(s, X) & (alpha < jnp.inf), alpha, jnp.inf)
    size = s.largest(s.rows(X))
    relative = jnp.where(alpha < 1, _up(alpha / (1 - alpha) * (1 + 8 * U)), jnp.inf)
    error = jnp.where(alpha < 1, _up(relative * size * factor) + ETA, jnp.inf)
    return alpha, error, relative, s.largest(p) * factor


def _up(x: Array) -> Array:
    return jnp.nextafter(x, jnp.inf)


def _normal(s: Sums, A: Array) -> Array:
    """Whether no entry is subnormal, by their bits, since some arithmetic reads those as zero."""
    integer, exponent = (jnp.int64, 0x7FF0000000000000), 0x000FFFFFFFFFFFFF
    bits = lax.bitcast_convert_type(A, integer[0])
    subnormal = ((bits & integer[1]) == 0) & ((bits & exponent) != 0)
    return s.largest(s.rows(subnormal.astype(jnp.float64))) == 0


MATRICES = Sums(
    lambda X, A: X @ A,
    lambda A: abs(A).sum(axis=-1, keepdims=True),
    lambda X, a: abs(X) @ a,
    lambda x: x.max(axis=-2, keepdims=True),
    jnp.zeros(()),
)


@full_precision
def certified(A: Array, X: Array, rtol: float | None) -> InverseResult:
    """The certificates of X, on whatever devices JAX puts the product."""
    n = A.shape[-1]
    if not n:
        zero = jnp.zeros(A.shape[:-2])
        return InverseResult(X, zero == 0, zero, zero, zero)
    s = MATRICES._replace(one=jnp.eye(n))
    wide = doubled(lax.stop_gradient(A)), doubled(lax.stop_gradient(X))
    alpha, error, relative, p = (x[..., 0, 0] for x in bounds(s, *wide, n))
    return judged(X, alpha, error, relative, p, rtol)


def doubled(A: Array) -> Array:
    """In float64; NaN for what is subnormal in float32, which the conversion may read as zero."""
    if A.dtype == jnp.float64:
        return A
    bits = lax.bitcast_convert_type(A, jnp.int32)
    subnormal = ((bits & 0x7F800000) == 0) & ((bits & 0x007FFFFF) != 0)
    return jnp.where(subnormal, jnp.nan, A.astype(jnp.float64))


def judged(
    X: Array, alpha: Array, error: Array, relative: Array, p: Array, rtol: float | None
) -> InverseResult:
    """The result that these bounds amount to."""
    if rtol is None:
        rtol = RTOL[X.dtype.itemsize]
    n = X.shape[-1]
    sound = (relative <= rtol) & (2 * n * U * p < 1)
    return InverseResult(X, sound, alpha, error, relative)
