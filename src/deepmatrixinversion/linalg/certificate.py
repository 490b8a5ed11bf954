r"""Certificates: proofs that A is nonsingular and that X is close to its inverse.

The bounds hold in the infinity norm under every rounding, for exactly the arrays that they speak
of. They are derived where they are computed: `residual` (I - A X in several precisions), `polish`
(A^-1 - X). Here they are carried from the scaled pair back to the original.

**Model.** Write u = 2^-53, eta = 2^-1022, gamma_n = n u/(1 - n u); n <= 2^20. Every float64
operation rounds to nearest, with a relative error of at most u, plus an absolute error of at most
2 eta: 2^-1075 with gradual underflow, eta where results are flushed to zero, and eta once more
where the operation's subnormal result is read as zero by the next one. Where subnormal operands
are read as zero, the matrices seen are up to eta off, entry by entry; inputs whose subnormals are
read as zero are not certified at all (`arithmetic.flushed`), since scaling would magnify them.
The bounds therefore hold whatever the flush-to-zero and denormals-are-zero switches of any
thread, BLAS's workers among them, say. They need the round-to-nearest mode, which is probed, and a
conventional product (BLAS's, NumPy's; not Strassen's).

**Scaling.** With S_ij = 2^(-r_i - c_j) A_ij and the inverse Z of A returned, let
Y_ij = 2^(c_i + r_j) Z_ij be exact, and z = Y' - Y for the Y' whose error `polish` bounds by a
matrix |known| and row sums ``rest``: z is what rounding at the ends of float64's range, or to
float32, did, and is computed exactly, but for eta an entry. Then

.. math:: |A^{-1} - Z|_{ij} \le 2^{-c_i - r_j} E_{ij}, \qquad
    \sum_j E_{ij} w_j \le \sum_j (|known| + |z|)_{ij} w_j + rest_i \max_j w_j + n \eta \max_j w_j
                                                                                          \tag{1}

for any weights w >= 0: w_j = 2^(-r_j) gives ‖A^-1 - Z‖. Since I - Z A = (A^-1 - Z) A,
w_j = 2^(-r_j) sum_k |A_jk| gives ‖I - Z A‖. Weights are divided by their largest, which the
power of two at the end restores.

**Certified** is what is proven nonsingular (alpha < 1) and proven accurate: the error bound over
‖Z‖ is at most ``rtol``, and so is that of the scaled pair, sum_j E_ij over ‖Y‖, so that the small
entries of a badly scaled inverse count. It must also be told apart from the singular matrices
around it: 2 n u ‖|Y||S|‖ < 1, so that whatever changes entries of A by n u of themselves leaves it
nonsingular. Products of factors of lower rank, rounded, can be regular by accident; their inverse
would be proven, and say nothing.

References
----------
Rump 2010, "Verification methods: rigorous results using floating-point arithmetic", Acta Numerica
19, theorem 10.2; Higham 2002, "Accuracy and Stability of Numerical Algorithms", 2nd ed., lemma 3.1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.linalg.arithmetic import smallest_result
from deepmatrixinversion.linalg.polish import Proof, inflated
from deepmatrixinversion.linalg.residual import ETA, U, residual
from deepmatrixinversion.linalg.scaling import Scaled
from deepmatrixinversion.linalg.stack import Array, Stack

LARGEST_ORDER = 1 << 20

RTOL = {4: 1e-3, 8: 1e-6}
"""Relative error bound that a certificate asks for by default, by the dtype's bytes."""


class Certificate(NamedTuple):
    """Bounds that hold for exactly the arrays they were computed from, each of shape (...).

    Attributes
    ----------
    certified : bool
        A and X are proven nonsingular, A is told apart from singular matrices within rounding
        errors of its entries, and the relative error is proven to be at most ``rtol``
    residual_bound : float64
        at least ‖I - X A‖inf; inf where it could not be bounded
    error_bound : float64
        at least ‖A^-1 - X‖inf; inf where A is not proven nonsingular
    relative_error_bound : float64
        ``error_bound`` over ‖X‖inf, or the same for the equilibrated pair if that is larger
    """

    certified: NDArray[np.bool_]
    residual_bound: Array
    error_bound: Array
    relative_error_bound: Array

    @classmethod
    def blank(cls, count: int) -> Certificate:
        """``count`` certificates that promise nothing."""
        inf = np.full(count, np.inf)
        return cls(np.zeros(count, dtype=bool), inf, inf.copy(), inf.copy())

    def at(self, index: NDArray[np.intp] | slice) -> Certificate:
        """The certificates at ``index``."""
        certified, residual_bound, error_bound, relative = self
        return Certificate(
            certified[index], residual_bound[index], error_bound[index], relative[index]
        )

    def put(self, index: NDArray[np.intp] | slice, other: Certificate) -> None:
        """Replace the certificates at ``index``, in place."""
        for column, values in zip(self, other, strict=True):
            column[index] = values

    def reshaped(self, batch: tuple[int, ...]) -> Certificate:
        """The same certificates in another shape."""
        certified, residual_bound, error_bound, relative = self
        return Certificate(
            certified.reshape(batch),
            residual_bound.reshape(batch),
            error_bound.reshape(batch),
            relative.reshape(batch),
        )


def default_rtol(dtype: np.dtype) -> float:
    """1e-6 in float64, 1e-3 in float32."""
    return RTOL[dtype.itemsize]


def _vectors(values: NDArray, last: bool) -> NDArray:
    """One value a row (k, n), or one a matrix (k, 1), as the vectors of a stack."""
    return np.ascontiguousarray(values.T) if last else values


def _largest_row(E: Stack, rest: Array, weights: Array | None, exponents: NDArray) -> Array:
    """At least max_i 2^exponents_i (sum_j E_ij w_j + rest_i max_j w_j), (k,); NaN becomes inf."""
    if weights is None:
        rows = E.row_sums() + rest
    else:
        rows = E.moduli(weights)[0] + rest * E.rowwise(E.largest(weights))
    return shifted(E.largest(np.ldexp(inflated(rows, E.order), exponents)))


def shifted(bound: Array) -> Array:
    """A bound that a power of two may have made subnormal, rounded up; NaN becomes inf."""
    return inflated(bound, 0) + smallest_result()


def _relative(bound: Array, size: Array, n: int) -> Array:
    """``bound`` over ‖Z‖inf, rounded up; inf where the norm is 0 or overflows."""
    return np.where(np.isfinite(size), inflated(bound / size, n), np.inf)


class Comparison(NamedTuple):
    """|A^-1 - Z| of the scaled pair: moduli ``E`` and row sums ``rest``, for (1).

    ``size`` is ‖Y‖inf (k,), and ``distinct`` says whether no change of A's entries by n u of
    themselves makes it singular.
    """

    scaled: Scaled
    E: Stack
    rest: Array
    size: Array
    distinct: NDArray[np.bool_]

    @classmethod
    def of(cls, scaled: Scaled, proof: Proof, held: NDArray) -> Comparison:
        """For the (k, n, n) inverses ``held``, which round proof.Z unscaled.

        The proof's ``known`` is overwritten.
        """
        Y = scaled.scaled(Stack.of(held))
        n = Y.order
        size = Y.largest(Y.row_sums())
        sums = scaled.S.row_sums()
        spread = Y.largest(Y.moduli(sums)[0])
        E = proof.known
        np.abs(E.array, out=E.array)
        np.subtract(proof.Z.array, Y.array, out=Y.array)
        E.array += np.abs(Y.array, out=Y.array)
        return cls(scaled, E, proof.rest + n * ETA, size, 2 * n * U * spread < 1.0)

    def error_bound(self) -> Array:
        """At least ‖A^-1 - Z‖inf."""
        last = self.E.last
        shift = (-self.scaled.rows).max(axis=1, keepdims=True)
        weights = None
        if not self.scaled.uniform:
            weights = np.ldexp(1.0, np.maximum(-self.scaled.rows - shift, -1022))
            weights = _vectors(weights, last)
        exponents = _vectors(shift - self.scaled.columns, last)
        return _largest_row(self.E, self.rest, weights, exponents)

    def residual_bound(self) -> Array:
        """At least ‖I - Z A‖inf."""
        S, c = self.scaled.S, self.scaled.columns
        shift = c.max(axis=1, keepdims=True)
        if self.scaled.uniform:
            weights = S.row_sums()
        else:
            powers = np.ldexp(1.0, np.maximum(c - shift, -1022))
            (weights,) = S.moduli(_vectors(powers, S.last))
        return _largest_row(self.E, self.rest, weights, _vectors(shift - c, S.last))

    def scaled_relative_bound(self) -> Array:
        """The relative error of the scaled pair."""
        bound = _largest_row(self.E, self.rest, None, np.zeros((1, 1), dtype=np.int64))
        return _relative(bound, self.size, self.E.order)

    def certificate(self, proof: Proof, held: NDArray, rtol: float) -> Certificate:
        """The certificates of Z, the (k, n, n) array ``held``."""
        sound = np.isfinite(held).all(axis=(1, 2)) & (proof.alpha < 1.0)
        bound = np.where(sound, self.error_bound(), np.inf)
        scaled = np.where(sound, self.scaled_relative_bound(), np.inf)
        Z = Stack.of(held)
        relative = np.maximum(_relative(bound, Z.largest(Z.row_sums()), Z.order), scaled)
        residual_bound = np.where(sound, self.residual_bound(), np.inf)
        certified = sound & self.distinct & (relative <= rtol)
        return Certificate(certified, residual_bound, bound, relative)

    def entrywise(self) -> Array:
        """At least |A^-1 - Z|_ij each, (k, n, n)."""
        E = self.E.array + (self.rest[:, None] if self.E.last else self.rest[:, :, None])
        E = shifted(np.ldexp(inflated(E, 0), -self.scaled.exponents()))
        return Stack(E, self.E.last).matrices()


def measured_residual(A: NDArray, X: NDArray) -> Array:
    """At least ‖I - X A‖inf (k,), by a product in working precision; inf where it is not finite."""
    found = residual(Stack.of(X), Stack.of(A), 1)
    return inflated(found.r.largest(found.rho + found.delta), A.shape[-1])


def checked(A: ArrayLike) -> NDArray:
    """Native float64 or float32 matrices (..., n, n)."""
    A = np.asarray(A)
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise ValueError(f"square matrices (..., n, n) are needed, not shape {A.shape}")
    if A.dtype.kind != "f" or A.dtype.itemsize not in RTOL:
        raise ValueError(f"float64 or float32 matrices are needed, not {A.dtype}")
    if A.shape[-1] > LARGEST_ORDER:
        raise ValueError(f"order {A.shape[-1]} is beyond the certificate's {LARGEST_ORDER}")
    return A.astype(A.dtype.newbyteorder("="), copy=False)
