r"""A certificate by one product and row sums, for arrays on one device or on many.

In float64, u = 2^-53, with R = I - A X, R' = I - fl(A X) and any w > 0,

.. math:: |R|\, w \le |R'|\, w + \gamma_n |A| |X|\, w + 8 n (n + 4) \eta (1 + w_1 + ... + w_n),
    \quad \gamma_n = n u / (1 - n u),                                                    \tag{1}

for a conventional product in any order of summation, with or without fused operations (Higham 2002,
section 3.5): an entry of R' is off by at most gamma_n (|A||X|)_ij, and by 2 n eta where operations
underflow, n >= 1 products and sums of up to 2 eta, eta = 2^-1022, each, which covers flushing to
zero as well (`linalg.certificate`). Let r be (1) for w = e = (1, ..., 1)^T, and (1) for w = r at
most alpha r. If alpha < 1, A and X are nonsingular, and A^-1 - X = X R (I - R)^-1, so that

.. math:: |A^{-1} - X|\, e \le |X|\, r / (1 - \alpha),                                   \tag{2}

row by row. No scaling of A's rows or columns changes (2) over the row sums of |X| by much. R, not
I - X A, is what the iterations make small.

The bounds themselves are made of sums of up to n moduli and a few operations more, in any order:
the factor 1 + (4 n + 64) u covers them. Subnormal entries may be read as zero: where there are any,
nothing is certified; their bits tell. A float32 matrix is a float64 one, exactly.

This bound is of order n u ‖|A||X|‖, whatever the error; `deepmatrixinversion.certify` has a tight
one. **Certified** is what has a relative error bound of at most ``rtol``, and is told apart from
singular matrices: 2 n u |A||X| r < r, so that no change of entries by n u of themselves makes A
singular.

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
    """Inverses with bounds, a pytree.

    Attributes
    ----------
    inverse : (..., n, n) Array
    certified : (...) bool Array
        A and X are proven nonsingular, and the relative error at most ``rtol``
    residual_bound, error_bound, relative_error_bound : (...) Array
        upper bounds on ‖I - AX‖ and ‖A^-1 - X‖ in the infinity norm, and on the sums of each row of
        abs(A^-1 - X) over those of abs(X); inf where nothing is proven
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
    """How arrays lie: their product, row sums of moduli (n, 1), |X| a for such a column a, the
    largest and the sum of a column (1, 1), the identity."""

    product: Callable[[Array, Array], Array]
    rows: Callable[[Array], Array]
    weighted: Callable[[Array, Array], Array]
    largest: Callable[[Array], Array]
    total: Callable[[Array], Array]
    one: Array


class Bounds(NamedTuple):
    """Of ‖R‖, ‖A^-1 - X‖, its rows over those of X, and of |A||X| r over r, each (..., 1, 1)."""

    residual: Array
    error: Array
    relative: Array
    spread: Array


def bounds(s: Sums, A: Array, X: Array, n: int) -> Bounds:
    """By (1) and (2), for float64 A and X of order n."""
    factor, tiny = 1 + (4 * n + 64) * U, 8 * n * (n + 4) * ETA
    R = s.one - s.product(A, X)

    def through(w: Array) -> tuple[Array, Array]:
        """(1), and |A||X| w."""
        spread = s.weighted(A, s.weighted(X, w) + 4 * n * ETA)
        return (s.weighted(R, w) + gamma(n) * spread + tiny * (1 + s.total(w))) * factor, spread

    size = s.rows(X)
    r, _ = through(jnp.ones_like(size))
    left, spread = through(r)
    sound = _conventional() & _normal(s, A) & _normal(s, X)
    alpha = _finite(s.largest(left / r) * factor, sound)
    rows = (s.weighted(X, r) + tiny) / (1 - alpha) * factor
    error, relative = (_finite(s.largest(x) * factor, alpha < 1) for x in (rows, rows / size))
    return Bounds(_finite(s.largest(r), alpha < jnp.inf), error, relative, s.largest(spread / r))


def _conventional() -> Array:
    """Whether the platform that this is compiled for is one of those, not only the default one."""
    yes, no = (lambda: jnp.array(True)), (lambda: jnp.array(False))
    return lax.platform_dependent(default=no, **dict.fromkeys(("cpu", "cuda", "rocm"), yes))


def _finite(x: Array, sound: Array) -> Array:
    """A bound, rounded up; inf where it is NaN or not sound."""
    return jnp.where(sound & (x < jnp.inf), _up(x), jnp.inf)


def _up(x: Array) -> Array:
    return jnp.nextafter(x, jnp.inf)


def _normal(s: Sums, A: Array) -> Array:
    """Whether no entry is subnormal, by their bits, since some arithmetic reads those as zero."""
    integer, exponent = (jnp.int64, 0x7FF0000000000000), 0x000FFFFFFFFFFFFF
    bits = lax.bitcast_convert_type(A, integer[0])
    subnormal = ((bits & integer[1]) == 0) & ((bits & exponent) != 0)
    return s.largest(s.rows(subnormal.astype(jnp.float64))) == 0


def _matrices(n: int) -> Sums:
    """For stacks, each matrix on one device."""
    return Sums(
        lambda A, X: A @ X,
        lambda A: abs(A).sum(axis=-1, keepdims=True),
        lambda A, w: abs(A) @ w,
        lambda x: x.max(axis=-2, keepdims=True),
        lambda x: x.sum(axis=-2, keepdims=True),
        jnp.eye(n),
    )


@partial(jax.jit, static_argnums=2)
@full_precision
def certified(A: Array, X: Array, rtol: float | None) -> InverseResult:
    """The certificates of X, on whatever devices JAX puts the product."""
    n = A.shape[-1]
    if not n:
        zero = jnp.zeros(A.shape[:-2])
        return InverseResult(X, zero == 0, zero, zero, zero)
    found = bounds(_matrices(n), doubled(lax.stop_gradient(A)), doubled(lax.stop_gradient(X)), n)
    return judged(X, Bounds(*(x[..., 0, 0] for x in found)), rtol)


def doubled(A: Array) -> Array:
    """In float64; NaN for what is subnormal in float32, which the conversion may read as zero."""
    if A.dtype == jnp.float64:
        return A
    bits = lax.bitcast_convert_type(A, jnp.int32)
    subnormal = ((bits & 0x7F800000) == 0) & ((bits & 0x007FFFFF) != 0)
    return jnp.where(subnormal, jnp.nan, A.astype(jnp.float64))


def judged(X: Array, found: Bounds, rtol: float | None) -> InverseResult:
    """The result that these bounds amount to."""
    if rtol is None:
        rtol = RTOL[X.dtype.itemsize]
    sound = (found.relative <= rtol) & (2 * X.shape[-1] * U * found.spread < 1)
    return InverseResult(X, sound, *found[:3])
