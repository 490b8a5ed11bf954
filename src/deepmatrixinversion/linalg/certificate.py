r"""Rigorous bounds on ‖I - XA‖ and ‖A^-1 - X‖ in the infinity norm, under every rounding.

**Model.** Write u = 2^-53, eta = 2^-1022, gamma_n = n u/(1 - n u); n <= 2^26. Every float64
operation rounds to nearest, with a relative error of at most u, plus an absolute error of at most
2 eta: 2^-1075 with gradual underflow, eta where results are flushed to zero, and eta once more
where the operation's subnormal result is read as zero by the next one. Where subnormal operands
are read as zero, the matrices seen are A', X' with |A - A'| <= eta and |X - X'| <= eta
entrywise. The bounds below therefore hold whatever the flush-to-zero and denormals-are-zero
switches of any thread, BLAS's workers among them, say; nothing needs to be probed.

**Residual.** Let R = fl(X' A'), any order of summation, with or without fused multiply-add. Of its
at most 2 n operations an entry, each underflow contributes at most 2 eta (1 + gamma_n), so

.. math:: |R - X'A'| \le \gamma_n |X'||A'| + 5 n \eta        \tag{1}

and, with 1 the matrix of ones, entrywise

.. math:: |I - XA| \le |R - I| + |R - X'A'| + \eta |X'| 1 + \eta 1 |A'| + n \eta^2 1.   \tag{2}

Sum row i, and put xi_i = sum_k |X'_ik|, a_k = sum_j |A'_kj|, tau = sum_k a_k,
pi_i = sum_k |X'_ik| a_k, delta_i = sum_j |R - I|_ij, all exact:

.. math:: \sum_j |I - XA|_{ij} \le
    \delta_i + \gamma_n \pi_i + n\eta\xi_i + \eta\tau + 6n^2\eta.                          \tag{3}

(Threads may differ in what they read as zero: (1) and the sums then speak of different A' and X',
eta apart, which doubling the terms in xi and tau covers.)

**Rounding of (3).** A computed sum of n non-negative numbers times (1 - u)^-(n-1) bounds the exact
one, in any order; subtracting 1 on the diagonal costs one more factor and 2 eta. So
delta_i <= (1 - u)^-n (fl delta_i + 2 n eta), pi_i <= (1 - u)^-2n (fl pi_i + 4 n eta), and
likewise for xi_i, a_k and tau (2n factors). Evaluating, with g = fl(gamma_n),

.. math:: v_i = fl(\delta_i + g \pi_i + 2 \eta (n \xi_i + \tau) + 16 n (n + 2) \eta)

takes at most 8 further roundings; g is off by 2 of them; the underflows of these operations, a
few eta each because g < 1, are within the 10 n^2 eta by which the last term exceeds that of (3).
Hence

.. math:: \|I - XA\| \le \max_i v_i (1 - u)^{-(2n + 10)}
    \le \max_i v_i (1 + (2n + 12) u)                                                    \tag{4}

since n u <= 2^-27, and alpha = nextafter(fl(max_i v_i (1 + (4n + 32) u)), inf), whose factor is a
float, covers its own rounding with room to spare.

**Inverse.** alpha < 1 makes XA, hence A and X, nonsingular, and A^-1 = (I - (I - XA))^-1 X gives

.. math:: \|A^{-1} - X\| \le \frac{\alpha \|X\|}{1 - \alpha},                            \tag{5}

the same with ‖I - AX‖ for alpha. ‖X‖ <= (1 - u)^-n (max_i fl xi_i + n eta); four roundings and an
underflow in the product are covered by 4 eta in the numerator and the factor (1 + (4n + 32) u).

Overflow ends in inf or NaN, and ``not (alpha < 1)``, so it is never certified. The model needs the
round-to-nearest mode and a conventional product (BLAS's, NumPy's; not Strassen's).

References
----------
Rump 2010, "Verification methods: rigorous results using floating-point arithmetic", Acta Numerica
19, theorem 10.2; Ogita, Rump & Oishi 2005, "Accurate sum and dot product", SIAM J. Sci. Comput. 26;
Higham 2002, "Accuracy and Stability of Numerical Algorithms", 2nd ed., lemma 3.1 and (3.5).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.linalg.product import (
    Array,
    add_identity,
    batch_axis,
    chunks,
    largest_line,
    product,
    put,
    spread,
    take,
    to_layout,
)

U = 2.0**-53
ETA = 2.0**-1022
LARGEST_ORDER = 1 << 26


class Certificate(NamedTuple):
    """Bounds that hold for exactly the arrays they were computed from, each of shape (...).

    Attributes
    ----------
    certified : bool
        A and X are proven nonsingular, and ``error_bound`` is finite unless it overflows
    residual_bound : float64
        at least ‖I - X A‖inf; inf where it could not be bounded
    error_bound : float64
        at least ‖A^-1 - X‖inf; inf where not certified
    relative_error_bound : float64
        ``error_bound`` over ‖X‖inf, rounded up; inf where not certified
    """

    certified: NDArray[np.bool_]
    residual_bound: Array
    error_bound: Array
    relative_error_bound: Array


def relative(error_bound: Array, X: NDArray) -> Array:
    """``error_bound`` (k,) over ‖X‖inf of a (k, n, n) stack, rounded up; 0 over 0 is 0."""
    n = X.shape[-1]
    if not n:
        return np.zeros(len(X))
    with np.errstate(all="ignore"):
        norm = np.abs(X.astype(np.float64, copy=False)).sum(axis=-1).max(axis=-1)
        bound = inflate(error_bound / norm, n)
    return np.where((error_bound == 0) & (norm >= 0), 0.0, bound)


def gamma(n: int) -> float:
    """n u/(1 - n u), rounded; `certify` covers that rounding."""
    return n * U / (1.0 - n * U)


def inflate(bound: Array, n: int) -> Array:
    """Equation (4): the bound times 1 + (4 n + 32) u, rounded up; NaN becomes inf."""
    raised = np.nextafter(bound * (1.0 + (4 * n + 32) * U), np.inf)
    return np.where(np.isnan(raised), np.inf, raised)


def exact_float64(A: ArrayLike) -> Array:
    """The same numbers in native float64; NaN for those that the processor flushes on the way.

    A float32 subnormal is read as zero where denormals are zero: its matrix must not be certified.
    """
    A = np.asarray(A)
    if A.dtype.kind == "f" and A.dtype.itemsize == 8:
        return A.astype(np.float64, copy=False)
    if A.dtype.kind != "f" or A.dtype.itemsize != 4:
        raise ValueError(f"a certificate needs float64 or float32 arrays, not {A.dtype}")
    native = np.ascontiguousarray(A, dtype=np.float32)
    converted = native.astype(np.float64)
    pattern = native.view(np.uint32).reshape(native.shape)
    flushed = (converted == 0.0) & ((pattern & np.uint32(0x7FFFFFFF)) != 0)
    if flushed.any():
        converted[flushed] = np.nan
    return converted


def _line_sums(A: Array, axis: int) -> Array:
    """Row sums, (k, n) or batch-last (n, k)."""
    if axis == 0:
        return np.matmul(A, np.ones(A.shape[-1]))
    total = A[:, 0].copy()
    for j in range(1, A.shape[1]):
        total += A[:, j]
    return total


def _row_bounds(A: Array, X: Array, axis: int) -> tuple[Array, Array]:
    """Bounds (k,) on ‖I - X A‖ by (4) and on ‖X‖, for one chunk in the layout ``axis``."""
    n = A.shape[1]
    R = product(X, A, axis)
    add_identity(R, axis, -1.0)
    delta = _line_sums(np.abs(R, out=R), axis)
    a = _line_sums(np.abs(A), axis)
    modulus = np.abs(X)
    if axis == 0:
        both = np.matmul(modulus, np.stack([a, np.ones_like(a)], axis=-1))
        pi, xi = both[..., 0], both[..., 1]
    else:
        pi, xi = modulus[:, 0] * a[0], modulus[:, 0].copy()
        for j in range(1, n):
            pi += modulus[:, j] * a[j]
            xi += modulus[:, j]
    tau = np.matmul(a, np.ones((n, 1))) if axis == 0 else a.sum(axis=0)
    v = delta + gamma(n) * pi + 2 * ETA * (n * xi + tau) + 16 * n * (n + 2) * ETA
    norm = (largest_line(xi, axis) + n * ETA) * (1.0 + (4 * n + 32) * U)
    return inflate(largest_line(v, axis), n), norm


def _error_bound(alpha: Array, norm: Array, n: int) -> Array:
    """Equation (5), inf unless alpha < 1."""
    bound = inflate((alpha * norm + 4 * ETA) / (1.0 - alpha), n)
    return np.where(alpha < 1.0, bound, np.inf)


def _balanced(A: Array, X: Array, axis: int) -> tuple[Array, Array, NDArray[np.int64]]:
    """A 2^-e, X 2^e and e (k,), where both are exact, and A, X and 0 where they are not.

    Near the ends of float64's range eta ‖X‖ or eta ‖A‖ is no small number, though nothing need
    underflow: I - XA is the same for the balanced pair. Exact is what comes back to the same bits,
    which subnormals that are read as zero do not.
    """
    lines = (1, 2) if axis == 0 else (0, 1)
    exponent = np.frexp(np.abs(A).max(axis=lines))[1].astype(np.int64)
    exponent[np.abs(exponent) > 1100] = 0
    a, x = np.ldexp(A, -spread(exponent, axis)), np.ldexp(X, spread(exponent, axis))
    for scaled, original, back in ((a, A, exponent), (x, X, -exponent)):
        again = np.ldexp(scaled, spread(back, axis))
        same = (again.view(np.int64) == original.view(np.int64)).all(axis=lines)
        exponent = np.where(same, exponent, 0)
    keep = np.flatnonzero(exponent == 0)
    put(a, keep, take(A, keep, axis), axis)
    put(x, keep, take(X, keep, axis), axis)
    return a, x, exponent


def certify_layout(A: Array, X: Array, axis: int) -> tuple[NDArray[np.bool_], Array, Array]:
    """`certify` for one chunk of float64 matrices in the layout ``axis``."""
    n = A.shape[1]
    residual_bound, norm = _row_bounds(A, X, axis)
    error_bound = _error_bound(residual_bound, norm, n)
    certified = residual_bound < 1.0
    if not certified.all():
        rest = np.flatnonzero(~certified)
        a, x, exponent = _balanced(take(A, rest, axis), take(X, rest, axis), axis)
        # ‖I - A X‖ proves the same, and is the smaller where columns of A differ much in scale.
        left, norm = _row_bounds(a, x, axis)
        right, _ = _row_bounds(x, a, axis)
        alpha = np.minimum(left, right)
        residual_bound[rest] = np.minimum(left, residual_bound[rest])
        certified[rest] = alpha < 1.0
        scaled = np.ldexp(_error_bound(alpha, norm, n), -exponent)
        error_bound[rest] = np.where(alpha < 1.0, np.nextafter(scaled + 4 * ETA, np.inf), np.inf)
    return certified, residual_bound, error_bound


def certify(A: ArrayLike, X: ArrayLike) -> Certificate:
    r"""Prove for each pair that A is nonsingular, and bound how far X is from its inverse.

    .. math:: \|I - XA\|_\infty \le \alpha, \qquad
              \|A^{-1} - X\|_\infty \le \frac{\alpha\,\|X\|_\infty}{1 - \alpha}
              \quad\text{where } \alpha < 1

    with every rounding covered (see the module's derivation). Where alpha >= 1, the bound on
    ‖I - AX‖ is tried instead for ``certified`` and ``error_bound``. An uncertified matrix is
    just that, never proven singular.

    Parameters
    ----------
    A, X : (..., n, n) float64 or float32 array_like
        exactly the arrays that the bounds speak of; any values, NaN and infinities included

    Returns
    -------
    Certificate

    Raises
    ------
    ValueError
        for another dtype, for shapes that differ or are not square, and for n > 2^26

    Notes
    -----
    Cost: 1 product (3 for matrices that the first does not certify).

    Examples
    --------
    >>> certificate = certify([[2.0, 0.0], [0.0, 4.0]], [[0.5, 0.0], [0.0, 0.25]])
    >>> bool(certificate.certified), bool(certificate.residual_bound < 1e-15)
    (True, True)
    """
    A, X = exact_float64(A), exact_float64(X)
    if A.shape != X.shape or A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise ValueError(f"A {A.shape} and X {X.shape} must be square matrices of the same shape")
    n = A.shape[-1]
    if n > LARGEST_ORDER:
        raise ValueError(f"order {n} is beyond the certificate's {LARGEST_ORDER}")
    batch = A.shape[:-2]
    k = math.prod(batch)
    a, x = A.reshape(k, n, n), X.reshape(k, n, n)
    certified = np.ones(k, dtype=bool)
    residual_bound, error_bound = np.zeros(k), np.zeros(k)
    axis = batch_axis(n)
    if n:
        with np.errstate(all="ignore"):
            for part in chunks(k, n):
                certified[part], residual_bound[part], error_bound[part] = certify_layout(
                    to_layout(a[part], axis), to_layout(x[part], axis), axis
                )
    return Certificate(
        certified.reshape(batch),
        residual_bound.reshape(batch),
        error_bound.reshape(batch),
        relative(error_bound, x).reshape(batch),
    )


def solution_error_bound(
    A: ArrayLike, X: ArrayLike, B: ArrayLike, Y: ArrayLike, residual_bound: ArrayLike
) -> Array:
    r"""Bound ‖A^-1 B - Y‖inf column by column, given a bound alpha < 1 on ‖I - XA‖inf.

    A^-1 = (I - (I - XA))^-1 X, so with the residual r = B - A Y of each column

    .. math:: \|A^{-1} b - y\|_\infty \le \frac{\||X r|\|_\infty}{1 - \alpha}, \qquad
        |X r| \le |\hat w| + |X| \left( \gamma_{n} |\hat r| + \gamma_{n+1} (|B| + |A||Y|) \right)

    where r^ = fl(B - A Y) and w^ = fl(X r^). Underflow is covered as in `certify`.

    Parameters
    ----------
    A, X : (..., n, n) float64 or float32 array_like
    B, Y : (..., n, p) float64 or float32 array_like
        right-hand sides and the approximate solutions whose error is bounded
    residual_bound : (...) array_like
        ``certify(A, X).residual_bound``

    Returns
    -------
    (..., p) float64
        inf where ``residual_bound`` is not below 1

    Notes
    -----
    Cost: 4 products of an n x n by an n x p matrix. Sharp: with r computed in working precision the
    bound is about n u cond(A) ‖Y‖ beyond the error itself.

    References
    ----------
    Rump 2010, Acta Numerica 19, section 10; Higham 2002, section 7.4.
    """
    A, X, B, Y = (exact_float64(M) for M in (A, X, B, Y))
    alpha = np.asarray(residual_bound, dtype=np.float64)
    n = A.shape[-1]
    with np.errstate(all="ignore"):
        r = B - np.matmul(A, Y)
        w = np.abs(np.matmul(X, r))
        size = np.abs(r) + np.abs(B) + np.matmul(np.abs(A), np.abs(Y))
        # Each of the n + 1 operations behind r may underflow or read a subnormal as zero: eta
        # times the other factor, for which the sums over A and Y stand.
        sums = np.abs(A).sum(axis=-1)[..., None] + np.abs(Y).sum(axis=-2, keepdims=True)
        slack = ETA * (sums + 16.0 * (n + 2))
        x_sums = np.abs(X).sum(axis=-1)[..., None]
        flushed = ETA * (np.abs(r).sum(axis=-2, keepdims=True) + x_sums + 16.0 * (n + 2))
        error = gamma(n + 1) * size + slack
        v = w + np.matmul(np.abs(X), error) + flushed
        v = v + ETA * error.sum(axis=-2, keepdims=True)
        top = inflate(v.max(axis=-2), 2 * n) if n else np.zeros((*B.shape[:-2], B.shape[-1]))
        bound = inflate((top + 4 * ETA) / (1.0 - alpha[..., None]), n)
    return np.where(alpha[..., None] < 1.0, bound, np.inf) if n else np.zeros_like(top)
