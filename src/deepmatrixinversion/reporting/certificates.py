"""Certificates of many matrices, accumulated block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.certificate import Certificate

# A report with a row for each of millions of matrices serves nobody and fills the memory: beyond
# this many rows, only matrices without a certificate get one, as many again at most.
MOST_ROWS = 100_000
NAMED = 5


class CertificateSummary:
    """How many matrices are certified, the largest of their bounds, and a row for each matrix."""

    def __init__(self) -> None:
        self.certified = 0
        self.matrices = 0
        self.largest_residual_bound = 0.0
        self.largest_error_bound = 0.0
        self._rows: list[NDArray] = []
        self._kept = 0
        self._extra = 0
        self._named: list[tuple[int, float]] = []

    def add(self, residuals: NDArray, certificate: Certificate, steps: NDArray[np.integer]) -> None:
        """Add a block: ‖I - AX‖F (count,), certificates and refinement steps (count,)."""
        ok, residual_bound, error_bound, _ = certificate
        index = self.matrices + np.arange(len(ok))
        self.matrices += len(ok)
        self.certified += int(ok.sum())
        if ok.any():
            self.largest_residual_bound = max(
                self.largest_residual_bound, float(residual_bound[ok].max())
            )
            self.largest_error_bound = max(self.largest_error_bound, float(error_bound[ok].max()))
        for i in np.flatnonzero(~ok)[: NAMED - len(self._named)]:
            self._named.append((int(index[i]), float(residual_bound[i])))
        regular = np.arange(len(ok)) < MOST_ROWS - self._kept
        extra = np.flatnonzero(~ok & ~regular)[: MOST_ROWS - self._extra]
        self._kept += int(regular.sum())
        self._extra += len(extra)
        chosen = np.concatenate([np.flatnonzero(regular), extra])
        if len(chosen):
            columns = (index, ok, residuals, residual_bound, error_bound, steps)
            self._rows.append(np.stack([c[chosen].astype(np.float64) for c in columns], axis=1))

    @property
    def left_out(self) -> int:
        """How many matrices have no row."""
        return self.matrices - self._kept - self._extra

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each matrix, in order: index, certified, residual, bounds, steps."""
        for block in self._rows:
            for index, ok, residual, residual_bound, error_bound, steps in block.tolist():
                yield {
                    "index": int(index),
                    "certified": bool(ok),
                    "residual": residual,
                    "residual_bound": residual_bound,
                    "error_bound": error_bound,
                    "steps": int(steps),
                }

    def describe_uncertified(self) -> str:
        """One clause that names the first matrices without a certificate."""
        number = self.matrices - self.certified
        names = ", ".join(str(i) for i, _ in self._named)
        bounds = ", ".join(f"{b:.3g}" for _, b in self._named)
        more = f" and {number - len(self._named)} more" if number > len(self._named) else ""
        return (
            f"matrices [{names}]{more} of {self.matrices} could not be certified "
            f"(residual bound {bounds})"
        )
