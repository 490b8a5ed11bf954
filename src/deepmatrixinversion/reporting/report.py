"""The report of what ``dmxinvert`` did: a JSON object and a table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from rich.table import Table

from deepmatrixinversion.reporting.answers import AnswerSummary
from deepmatrixinversion.reporting.metrics import ErrorStatistics, ResidualStatistics


class Wording(NamedTuple):
    """What the figures of one kind of answer are called, in plain ASCII."""

    kind: str
    residual: str  # of one matrix
    bounds: Mapping[str, str]  # columns whose largest values are shown
    good: str = "certified"
    proves: bool = False  # whether a residual below 1 means something


INVERSE = Wording(
    "inverse",
    "|I - AX|F",
    {
        "residual_bound": "largest bound on |I - XA|",
        "error_bound": "largest bound on |inv(A) - X|",
        "relative_error_bound": "the same, relative to |X|",
    },
    proves=True,
)
SOLUTION = Wording(
    "solve",
    "|B - AY|F/|B|F",
    {
        "relative_error_bound": "largest bound on a relative error",
        "error_bound": "largest bound on an error",
    },
)
PSEUDOINVERSE = Wording(
    "pinv",
    "|AXA - A|F/|A|F",
    {"penrose": "largest Penrose residual", "rank": "largest rank"},
    good="finite",
)


class InversionReport(NamedTuple):
    """What ``dmxinvert`` did: how many matrices, how, how well, in what time.

    ``model`` is None where no network had a part. ``residual`` is that of the answers before any
    was replaced; ``errors`` leaves out those replaced by NaN, and is None where that leaves
    nothing, or without a target.
    """

    wording: Wording
    shape: tuple[int, int]
    mode: str
    raw: bool
    model: str | None
    on_uncertified: str
    seconds: float
    residual: ResidualStatistics
    errors: ErrorStatistics | None
    answers: AnswerSummary

    @property
    def matrices(self) -> int:
        """How many there were."""
        return self.answers.matrices

    @property
    def how(self) -> str:
        """The method in words."""
        if self.wording.kind == "pinv":
            return "matrix products"
        how = self.mode if self.model is None else f"{self.mode}, {self.model}"
        if self.mode == "nn":
            how += ", raw" if self.raw else ", refined"
        return how

    @property
    def size(self) -> str:
        """The matrices' order, or their shape."""
        rows, cols = self.shape
        return f"of order {cols}" if rows == cols else f"{rows}x{cols}"

    def to_json(self) -> str:
        """A JSON object, with null for infinities and NaN, which JSON lacks."""
        rows, cols = self.shape
        values: dict[str, Any] = {
            "kind": self.wording.kind,
            "count": self.matrices,
            "order": cols if rows == cols else None,
            "shape": [rows, cols],
            "mode": self.mode,
            "raw": self.raw,
            "model": self.model,
            "on_uncertified": self.on_uncertified,
            "seconds": self.seconds,
            "residual": _finite(self.residual._asdict()),
            "metrics": dict.fromkeys(ErrorStatistics._fields)
            if self.errors is None
            else _finite(self.errors._asdict()),
            self.wording.good: self.answers.count,
            **_finite(self.answers.largest),
            "matrices": [_finite(row) for row in self.answers.rows()],
            "matrices_left_out": self.answers.left_out,
        }
        return json.dumps(values, indent=2, allow_nan=False) + "\n"

    def to_table(self) -> Table:
        """The same for people."""
        table = Table(title=self.wording.kind.capitalize(), show_header=False, title_justify="left")
        table.add_column(style="bold")
        table.add_column(justify="right", overflow="fold")
        # Plain ASCII: the output may go to a file or a terminal of any encoding.
        table.add_row("matrices", f"{self.matrices:,} {self.size}")
        table.add_row("mode", self.how)
        label = self.wording.residual
        table.add_row(f"{label} median", f"{self.residual.median:.3e}")
        table.add_row(f"{label} 99 %", f"{self.residual.p99:.3e}")
        table.add_row(f"{label} largest", f"{self.residual.max:.3e}")
        if self.wording.proves:
            table.add_row("share below 1", f"{100 * self.residual.below_one:.4f} %")
        table.add_section()
        table.add_row(self.wording.good, f"{self.answers.count:,} of {self.matrices:,}")
        for name, label in self.wording.bounds.items():
            if (value := self.answers.largest[name]) is not None:
                table.add_row(label, f"{value:.0f}" if name == "rank" else f"{value:.3e}")
        if self.errors is not None:
            table.add_section()
            e = self.errors
            table.add_row("R2 against target", f"{e.r2:.9f}" if e.r2 > -10 else f"{e.r2:.1e}")
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
