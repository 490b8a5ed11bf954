"""The report of an inversion: a JSON object and a table."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from rich.table import Table

from deepmatrixinversion.reporting.certificates import CertificateSummary
from deepmatrixinversion.reporting.metrics import ErrorStatistics, ResidualStatistics

LABELS = {
    "residual_bound": "largest bound on |I - XA|",
    "error_bound": "largest bound on |inv(A) - X|",
    "relative_error_bound": "the same, relative to |X|",
}


class InversionReport(NamedTuple):
    """What ``dmxinvert`` did: how many matrices, how, how well, in what time.

    ``model`` is None in mode ``numpy``. ``residual`` is that of the answers before any was
    replaced; ``errors`` leaves out those replaced by NaN, and is None where that leaves nothing,
    or without a target.
    """

    matrices: int
    order: int
    mode: str
    raw: bool
    model: str | None
    on_uncertified: str
    seconds: float
    residual: ResidualStatistics
    errors: ErrorStatistics | None
    certificates: CertificateSummary

    def to_json(self) -> str:
        """A JSON object, with null for infinities and NaN, which JSON lacks."""
        values: dict[str, Any] = {
            "count": self.matrices,
            "order": self.order,
            "mode": self.mode,
            "raw": self.raw,
            "model": self.model,
            "on_uncertified": self.on_uncertified,
            "seconds": self.seconds,
            "residual": _finite(self.residual._asdict()),
            "metrics": dict.fromkeys(ErrorStatistics._fields)
            if self.errors is None
            else _finite(self.errors._asdict()),
            "certified": self.certificates.certified,
            **_finite(self.certificates.largest),
            "matrices": [_finite(row) for row in self.certificates.rows()],
            "matrices_left_out": self.certificates.left_out,
        }
        return json.dumps(values, indent=2, allow_nan=False) + "\n"

    def to_table(self) -> Table:
        """The same for people."""
        table = Table(title="Inversion", show_header=False, title_justify="left")
        table.add_column(style="bold")
        table.add_column(justify="right", overflow="fold")
        how = self.mode if self.model is None else f"{self.mode}, {self.model}"
        if self.mode == "nn":
            how += ", raw" if self.raw else ", refined"
        # Plain ASCII: the output may go to a file or a terminal of any encoding.
        table.add_row("matrices", f"{self.matrices:,} of order {self.order}")
        table.add_row("mode", how)
        table.add_row("|I - AX|F median", f"{self.residual.median:.3e}")
        table.add_row("|I - AX|F 99 %", f"{self.residual.p99:.3e}")
        table.add_row("|I - AX|F largest", f"{self.residual.max:.3e}")
        table.add_row("share below 1", f"{100 * self.residual.below_one:.4f} %")
        table.add_section()
        c = self.certificates
        table.add_row("certified", f"{c.certified:,} of {self.matrices:,}")
        if c.certified:
            for name, label in LABELS.items():
                table.add_row(label, f"{c.largest[name]:.3e}")
        if self.errors is not None:
            table.add_section()
            e = self.errors
            table.add_row("R2 against target", f"{e.r2:.9f}")
            table.add_row("MSE", f"{e.mse:.3e}")
            table.add_row("MAE", f"{e.mae:.3e}")
            table.add_row("largest error", f"{e.max_abs_error:.3e}")
        table.add_section()
        rate = self.matrices / max(self.seconds, 1e-9)
        table.add_row("time", f"{self.seconds:.3f} s ({rate:,.0f} matrices/s)")
        return table


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {
        k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()
    }
