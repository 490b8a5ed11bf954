"""The figures: predicted against true entries, residuals, training curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepmatrixinversion.reporting.heatmaps import draw_example
from deepmatrixinversion.reporting.metrics import ErrorAccumulator, ErrorStatistics
from deepmatrixinversion.reporting.worst import Example, Worst

BLUE, ORANGE, GREY = "#1f5a99", "#d95f02", "#777777"
DRAWN_LEAST, DRAWN_MOST = 1e-200, 1e200
NEAR_ONE = 1e-4  # residuals below lie too far from 1 for it to be on their axis


def predicted_against_true(
    target: np.ndarray,
    prediction: np.ndarray,
    errors: ErrorStatistics,
    *,
    title: str,
    matrices: int,
    truth: str = "true inverse",
    example: Example | None = None,
) -> Figure:
    """Entries of the predicted inverses against the true ones, with identity and regression line.

    Parameters
    ----------
    target, prediction : (k,) arrays
        The entries to draw, a sample of all.
    errors : ErrorStatistics
        Figures over all entries, for the box.
    title, truth : str
        Heading, and what the targets are.
    matrices : int
        Number of matrices that ``errors`` describes.
    example : Example, optional
        One matrix to draw as heat maps above.
    """
    figure, (left, right) = _figure(2, example)
    finite = np.isfinite(prediction) & np.isfinite(target)
    x, y = target[finite], prediction[finite]
    if x.size:
        _scatter(left, x, y)
    left.set(
        xlabel=f"entry of the {truth} (units of 1/entry of A)",
        ylabel="entry of the prediction (same units)",
        title="predicted against true",
    )
    left.text(
        0.03,
        0.97,
        f"matrices  {matrices:,}\n"
        f"R²        {_r2(errors.r2)}\n"
        f"MSE       {errors.mse:.2e}\n"
        f"MAE       {errors.mae:.2e}\n"
        f"max error {errors.max_abs_error:.2e}",
        transform=left.transAxes,
        va="top",
        family="monospace",
        fontsize=9,
        bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": GREY, "alpha": 0.9},
    )
    _decades(right, np.abs(y - x), "|prediction - truth| of an entry (same units)", "entries")
    right.set_title("error of an entry")
    figure.suptitle(title)
    return figure


def answers_against_true(
    A: np.ndarray, X: np.ndarray, truth: np.ndarray, *, title: str, name: str = "true inverse"
) -> Figure:
    """`predicted_against_true` of all entries of answers X to A (k, m, n), the worst one drawn."""
    errors, worst = ErrorAccumulator(), Worst()
    errors.add(X, truth)
    worst.add(1, A, X, truth, np.abs(X - truth).max(axis=(1, 2)))
    return predicted_against_true(
        truth.ravel(),
        X.ravel(),
        errors.statistics(),
        title=title,
        matrices=len(A),
        truth=name,
        example=worst.example,
    )


def residual_histogram(
    residuals: np.ndarray,
    *,
    title: str,
    residual: str = "Frobenius residual ‖I - A X‖F",
    limit: bool = True,
    example: Example | None = None,
) -> Figure:
    """Distribution of residuals over matrices, by decade.

    Parameters
    ----------
    residuals : (count,) array
        inf where a residual is not finite.
    title, residual : str
        Heading, and what the residual is.
    limit : bool
        Mark 1, from which on a residual proves nothing, where any comes near it.
    example : Example, optional
        One matrix to draw as heat maps above.
    """
    figure, (axes,) = _figure(1, example)
    _decades(axes, residuals, f"{residual} (dimensionless)", "matrices")
    if limit and (residuals > NEAR_ONE).any():
        axes.axvline(1.0, color=ORANGE, linestyle="--", label="residual 1: no inverse beyond it")
        axes.legend(loc="best", fontsize=9)
    figure.suptitle(title)
    return figure


def training_curves(rows: Sequence[Mapping[str, float]], *, title: str) -> Figure:
    """Residual median and share of failures on fresh batches against matrices seen.

    Parameters
    ----------
    rows : sequence of dict
        With keys ``member``, ``matrices`` (seen so far), ``residual_median``, ``below_one``, and
        ``validation_median`` where there is one.
    title : str
        Heading.
    """
    figure, (left, right) = _figure(2)
    members = sorted({int(row["member"]) for row in rows})
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(members)))
    drawn: dict[Axes, list[np.ndarray]] = {left: [], right: []}
    spotless: list[tuple[np.ndarray, np.ndarray]] = []  # batches without failures, by member
    for member, colour in zip(members, colours, strict=True):
        own = [row for row in rows if int(row["member"]) == member]
        seen = np.array([row["matrices"] for row in own])
        medians = np.array([row["residual_median"] for row in own])
        failures = np.array([1 - row["below_one"] for row in own])
        for axes, values, style in ((left, medians, "-"), (right, failures, ".")):
            shown = (values > 0) & np.isfinite(values)
            marker = "o" if style == "-" and shown.sum() == 1 else style
            axes.plot(seen[shown], values[shown], marker, color=colour, label=f"member {member}")
            drawn[axes].append(values[shown])
        spotless.append((seen[failures == 0], colour))
        held_out = [row for row in own if np.isfinite(row.get("validation_median") or np.nan)]
        if held_out:  # an empty curve would still be in the legend
            values = np.array([row["validation_median"] for row in held_out])
            drawn[left].append(values[values > 0])
            left.plot(
                [row["matrices"] for row in held_out],
                values,
                "x--",
                color=colour,
                label=f"member {member}, held out",
            )
    left.set(
        title="typical matrix",
        xlabel="matrices seen",
        ylabel="median ‖I - A X‖F of a batch (dimensionless)",
    )
    right.set(
        title="failures",
        xlabel="matrices seen",
        ylabel="share of a batch with ‖I - A X‖F >= 1",
    )
    for axes, parts in drawn.items():
        values = np.concatenate(parts)
        if values.size:
            axes.set_ylim(values.min() / 2, values.max() * 2)
            axes.set_yscale("log")
            axes.set_xlim(left.get_xlim())  # few failures say little of how far it went
            axes.grid(alpha=0.3)
            if len(members) <= 10:
                axes.legend(fontsize=9)
        else:
            axes.text(0.5, 0.5, "none in any batch", transform=axes.transAxes, ha="center")
            axes.set(xticks=[], yticks=[])
    if any(len(failures) for failures in drawn[right]) and any(len(s) for s, _ in spotless):
        _draw_spotless(right, spotless)
    figure.suptitle(title)
    return figure


def _draw_spotless(axes: Axes, members: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """Batches without failures, which have no place on a logarithmic axis, at its foot."""
    foot = axes.get_ylim()[0]
    for seen, colour in members:
        axes.plot(seen, np.full(len(seen), foot), "|", color=colour)
    label = "| a batch without failures"
    axes.text(0.02, 0.04, label, transform=axes.transAxes, fontsize=9, color=GREY)
    axes.set_ylim(foot / 1.5, None)


def _figure(columns: int, example: Example | None = None) -> tuple[Figure, list[Axes]]:
    if example is None:
        figure = Figure(figsize=(6.4 * columns, 5.6), layout="constrained")
        return figure, list(figure.subplots(1, columns, squeeze=False)[0])
    figure = Figure(figsize=(12.8, 9.2), layout="constrained")
    parts = figure.add_gridspec(2, 1, height_ratios=(4, 5.2))
    draw_example(figure.add_subfigure(parts[0]), example)
    below = figure.add_subfigure(parts[1])
    return figure, list(below.subplots(1, columns, squeeze=False)[0])


def _scatter(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    # Beyond these matplotlib's own arithmetic overflows; a point there is off any scale anyway.
    x, y = (np.clip(v, -DRAWN_MOST, DRAWN_MOST) for v in (x, y))
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    size = max(-low, high)
    if size < DRAWN_LEAST:
        size, low, high = 1.0, -1.0, 1.0
    # Linear where the bulk lies, logarithmic beyond: a few huge entries must not hide the rest.
    bulk = max(float(np.quantile(np.abs(x), 0.9)), 1e-6 * size)
    bulk = 10.0 ** math.ceil(math.log10(bulk))
    wide = size > 20 * bulk
    if wide:
        axes.set_xscale("symlog", linthresh=bulk)
        axes.set_yscale("symlog", linthresh=bulk)
        ticks = _symlog_ticks(low, high, bulk)
        axes.set_xticks(ticks)
        axes.set_yticks(ticks)
    margin = 1.5 if wide else 1.04
    least = 0.05 * size  # so that a single value is not the whole axis
    ends = np.array(
        [
            low * margin if low < 0 else low - least,
            high * margin if high > 0 else high + least,
        ]
    )
    axes.plot(ends, ends, color=GREY, linewidth=4, alpha=0.5, label="identity")
    axes.plot(x, y, ".", markersize=4, alpha=0.35, color=BLUE, rasterized=True, label="entries")
    if np.ptp(x) > 1e-12 * size:
        slope, intercept = _regression(x, y)
        line = np.linspace(ends[0], ends[1], 400)
        sign = "-" if intercept < 0 else "+"
        label = f"regression y = {slope:.6g} x" + f" {sign} {abs(intercept):.1e}" * (intercept != 0)
        axes.plot(line, slope * line + intercept, "--", color=ORANGE, linewidth=1, label=label)
    axes.set(xlim=ends, ylim=ends)
    axes.grid(alpha=0.3)
    for handle in axes.legend(loc="lower right", fontsize=9).legend_handles:
        if handle is not None:
            handle.set_alpha(1)


def _symlog_ticks(low: float, high: float, bulk: float) -> list[float]:
    """Zero, the ends of the linear part and at most about four decades on either side."""
    first = round(math.log10(bulk))
    last = math.floor(math.log10(max(-low, high)))
    decades = [10.0**k for k in range(first, last + 1, max(1, math.ceil((last - first) / 4)))]
    return [-d for d in decades if low <= -d][::-1] + [0.0] + [d for d in decades if d <= high]


def _regression(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    # In units of the largest entry, so that no square overflows or vanishes.
    unit_x, unit_y = float(np.abs(x).max()), float(np.abs(y).max()) or 1.0
    u, v = x / unit_x, y / unit_y
    centred = u - u.mean()
    slope = float(centred @ (v - v.mean()) / (centred @ centred))
    return slope * unit_y / unit_x, float(v.mean() - slope * u.mean()) * unit_y


def _decades(axes: Axes, values: np.ndarray, xlabel: str, what: str) -> None:
    """Histogram of non-negative values on a logarithmic axis; zeros and infinities are named."""
    positive = values[(values > 0) & np.isfinite(values)]
    if positive.size:
        positive = np.clip(positive, 10 * DRAWN_LEAST, DRAWN_MOST)
        low, high = np.floor(np.log10(positive.min())), np.ceil(np.log10(positive.max()))
        low = max(low, high - 40)
        edges = np.logspace(low, max(high, low + 1), 81)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.hist(np.clip(positive, edges[0], None), bins=edges.tolist(), color=BLUE)
    notes = []
    if zeros := int((values == 0).sum()):
        notes.append(f"exactly 0: {zeros:,} {what}")
    if infinite := int((~np.isfinite(values)).sum()):
        notes.append(f"not finite: {infinite:,} {what}")
    if notes:
        axes.text(0.03, 0.97, "\n".join(notes), transform=axes.transAxes, va="top", fontsize=9)
    axes.set(xlabel=xlabel, ylabel=f"number of {what}")
    axes.grid(alpha=0.3)


def _r2(value: float) -> str:
    """R² with its deficit from one, which is what tells good from perfect."""
    if not value > 0.999:
        return f"{value:.4f}" if value > -10 else f"{value:.1e}"
    return "1" if value == 1 else f"1 - {1 - value:.1e}"
