"""Candidates for inverses, what is proven of them, and what is wanted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.certificate import Certificate, Comparison
from deepmatrixinversion.linalg.large import SMALLEST_ORDER
from deepmatrixinversion.linalg.newton import Refined
from deepmatrixinversion.linalg.polish import PRECISE_ORDER, Proof
from deepmatrixinversion.linalg.scaling import Scaled
from deepmatrixinversion.linalg.stack import Array, Stack

PROVABLE = 2.0**-40
"""A relative error that norms seldom prove, and two slices of residuals do."""


class Candidates(NamedTuple):
    """What one attempt, or the best of several, has come to; k matrices.

    Attributes
    ----------
    X : Stack
        inverses of the scaled matrices
    held : (k, n, n)
        as they will be returned
    certificate : Certificate
        of ``held``
    residual : (k,)
        ‖I - S X‖F, or an estimate of it
    steps : (k,) int64
    """

    X: Stack
    held: NDArray
    certificate: Certificate
    residual: Array
    steps: NDArray[np.int64]

    def at(self, index: NDArray[np.intp]) -> Candidates:
        """The candidates at ``index``."""
        X, held, certificate, residual, steps = self
        return Candidates(
            X[index], held[index], certificate.at(index), residual[index], steps[index]
        )

    def keep_better(self, index: NDArray[np.intp], others: Candidates) -> NDArray[np.bool_]:
        """Put those of ``others`` that are proven better, or fail less badly, at ``index``."""
        old, new = self.certificate.relative_error_bound[index], others.certificate
        better = new.relative_error_bound < old
        better |= np.isinf(old) & (others.residual < self.residual[index])
        where, chosen = index[better], others.at(np.flatnonzero(better))
        self.X[where], self.held[where] = chosen.X, chosen.held
        self.certificate.put(where, chosen.certificate)
        self.residual[where] = chosen.residual
        self.steps[index] += others.steps
        return better


class Problem(NamedTuple):
    """A chunk of matrices, scaled, and what is wanted of their inverses."""

    scaled: Scaled
    dtype: np.dtype
    rtol: float
    tol: float | None
    reach: Stack | None
    start: Stack | None = None

    def at(self, index: NDArray[np.intp]) -> Problem:
        """The matrices at ``index``."""
        reach = None if self.reach is None else self.reach[index]
        start = None if self.start is None else self.start[index]
        return self._replace(scaled=self.scaled.at(index), reach=reach, start=start)

    @property
    def tight(self) -> float:
        """A relative error bound that is the last rounding and little else."""
        return 1.125 * 2.0 ** (-53 if self.dtype == np.float64 else -24)

    @property
    def loose(self) -> float:
        """A relative error bound beyond which a residual of more slices is due."""
        if self.scaled.S.order <= PRECISE_ORDER:
            return self.tight
        return max(self.tight, min(PROVABLE, self.rtol))

    @property
    def by_norms(self) -> bool:
        """Whether bounds by norms may do."""
        large = self.scaled.S.order >= SMALLEST_ORDER
        return large and self.tol is None and self.rtol >= PROVABLE

    @property
    def good(self) -> float:
        """A relative error bound by norms beyond which doubled-precision residuals are due."""
        return self.tight if self.dtype == np.float32 else min(self.rtol, 2.0**-20)

    @property
    def poor(self) -> float:
        """A relative error bound beyond which another candidate is due."""
        return 2.0**-20 if self.tol is None else np.finfo(np.float64).max

    def held(self, X: Stack) -> NDArray:
        """Inverses of the scaled matrices as they will be returned, (k, n, n)."""
        return self.scaled.unscaled(X).matrices().astype(self.dtype, copy=False)

    def unproven(self, refined: Refined) -> Candidates:
        """Candidates without certificates."""
        X, residual, steps = refined.X.copy(), refined.residual.copy(), refined.steps.copy()
        return Candidates(X, self.held(X), Certificate.blank(len(steps)), residual, steps)

    def settled(self, proof: Proof, residual: Array, steps: NDArray[np.int64]) -> Candidates:
        """The inverses as they will be returned, and their certificates."""
        if self.reach is not None:
            # Structural zeros are exact, so there their error is nothing.
            proof = proof._replace(
                Z=Stack(proof.Z.array * self.reach.array + 0.0, proof.Z.last),
                known=Stack(proof.known.array * self.reach.array, proof.known.last),
            )
        held = self.held(proof.Z)
        compared = Comparison.of(self.scaled, proof, held)
        certificate = compared.certificate(proof, held, self.rtol)
        return Candidates(proof.Z, held, certificate, residual, steps)


def as_good_as_singular(S: Stack, found: Candidates) -> NDArray[np.bool_]:
    """Whether candidates that failed are as large as if their pivots were rounding errors.

    Where an elimination or two recursions say so, the long way from the transpose is no use: it
    fails beyond condition numbers of 1e15 as well.
    """
    failed = ~(found.residual < 1.0)
    if failed.any():
        failed &= ~(S.order * S.norm() * found.X.norm() < 2.0**50)  # NaN for zero matrices
    return failed
