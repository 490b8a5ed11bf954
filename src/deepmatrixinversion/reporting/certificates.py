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
BOUNDS = ("residual_bound", "error_bound", "relative_error_bound")


class CertificateSummary:
    """How many matrices are certified, the largest of their bounds, and a row for each matrix."""

    def __init__(self) -> None:
        self.certified = 0
        self.matrices = 0
        self._largest = dict.fromkeys(BOUNDS, 0.0)
        self._rows: list[NDArray] = []
        self._kept = 0
        self._extra = 0
        self._named: list[tuple[int, float]] = []

    def add(self, residuals: NDArray, certificate: Certificate, steps: NDArray[np.integer]) -> None:
        """Add a block: ‖I - AX‖F (count,), certificates and refinement steps (count,)."""
        ok = certificate.certified
        bounds = [getattr(certificate, name) for name in BOUNDS]
        index = self.matrices + np.arange(len(ok))
        self.matrices += len(ok)
        self.certified += int(ok.sum())
        for name, values in zip(BOUNDS, bounds, strict=True):
            self._largest[name] = max(self._largest[name], float(values[ok].max(initial=0.0)))
        for i in np.flatnonzero(~ok)[: NAMED - len(self._named)]:
            self._named.append((int(index[i]), float(certificate.residual_bound[i])))
        regular = np.arange(len(ok)) < MOST_ROWS - self._kept
        extra = np.flatnonzero(~ok & ~regular)[: MOST_ROWS - self._extra]
        self._kept += int(regular.sum())
        self._extra += len(extra)
        chosen = np.concatenate([np.flatnonzero(regular), extra])
        if len(chosen):
            columns = (index, ok, residuals, *bounds, steps)
            self._rows.append(np.stack([c[chosen].astype(np.float64) for c in columns], axis=1))

    @property
    def largest(self) -> dict[str, float | None]:
        """The largest of each bound over the certified matrices; None where there are none."""
        return {k: v if self.certified else None for k, v in self._largest.items()}

    @property
    def left_out(self) -> int:
        """How many matrices have no row."""
        return self.matrices - self._kept - self._extra

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each matrix, in order: index, certified, residual, bounds, steps."""
        for block in self._rows:
            for index, ok, residual, *bounds, steps in block.tolist():
                yield {
                    "index": int(index),
                    "certified": bool(ok),
                    "residual": residual,
                    **dict(zip(BOUNDS, bounds, strict=True)),
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
