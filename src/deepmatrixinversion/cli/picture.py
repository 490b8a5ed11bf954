"""The picture of ``dmxinvert --plotout``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepmatrixinversion.reporting.report import InversionReport

if TYPE_CHECKING:
    from deepmatrixinversion.cli.inversion import Seen


def draw(where: str, report: InversionReport, seen: Seen) -> None:
    """Answers against targets, or residuals by decade."""
    # Matplotlib takes long to import: only who asks for a plot waits for it.
    from deepmatrixinversion.reporting.figure_files import save_figure
    from deepmatrixinversion.reporting.plots import predicted_against_true, residual_histogram

    how = "LAPACK" if report.mode == "numpy" else report.how.removeprefix("nn, ")
    title = f"{report.matrices:,} matrices {report.size}: {how}"
    if report.errors is None:
        figure = residual_histogram(
            seen.residuals.values(),
            title=title,
            residual=report.wording.residual,
            limit=report.wording.proves,
            example=seen.worst.example,
        )
    else:
        others = report.matrices - report.answers.count
        if others and report.on_uncertified == "nan":
            title += f", {report.answers.count:,} of them {report.wording.good} and shown"
        elif others and report.on_uncertified == "pinv":
            title += f"; pseudo-inverses for {others:,} that are not certified"
        figure = predicted_against_true(
            seen.entries.targets,
            seen.entries.predictions,
            report.errors,
            title=title,
            matrices=report.matrices,
            truth="target",
            example=seen.worst.example,
        )
    save_figure(figure, where)
