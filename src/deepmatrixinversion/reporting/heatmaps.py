"""A matrix, its answer and the answer's error, entry by entry in colours."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from deepmatrixinversion.reporting.worst import Example

WRITTEN = 6  # the largest order whose entries are written into their cells


def draw_example(figure: Figure | SubFigure, example: Example) -> None:
    """Heat maps of A, of X, and of |X - truth| or, where no truth is known, of |I - A X|."""
    A, X, truth = example.A, example.X, example.truth
    if truth is not None:
        error, label = np.abs(X - truth), "|prediction - truth|"
    else:
        with np.errstate(all="ignore"):
            error, label = np.abs(np.eye(len(A)) - A @ X), "|I - A X|"
    panels = figure.subplots(1, 3)
    _signed(panels[0], A, f"matrix {example.number}, the one furthest off")
    _signed(panels[1], X, "its answer")
    _sizes(panels[2], error, f"{label}: largest {np.nanmax(error, initial=0.0):.1e}")


def _signed(axes: Axes, M: np.ndarray, title: str) -> None:
    largest = float(np.abs(M[np.isfinite(M)]).max(initial=0.0)) or 1.0
    shown = axes.imshow(M, cmap="RdBu_r", vmin=-largest, vmax=largest)
    _finish(axes, M, title, np.abs(M) > 0.6 * largest)
    axes.figure.colorbar(shown, ax=axes, fraction=0.046)


def _sizes(axes: Axes, E: np.ndarray, title: str) -> None:
    positive = E[(E > 0) & np.isfinite(E)]
    if positive.size:
        high = float(np.log10(positive.max()))
        low = max(float(np.log10(positive.min())), high - 16) - 1
        with np.errstate(divide="ignore"):
            logs = np.clip(np.log10(E), low, high)
        shown = axes.imshow(logs, cmap="viridis", vmin=low, vmax=high)
        axes.figure.colorbar(shown, ax=axes, fraction=0.046, label="log10; exact entries darkest")
        dark = logs < (low + high) / 2
    else:
        axes.imshow(np.zeros_like(E), cmap="viridis", vmin=0, vmax=1)
        dark = np.ones(E.shape, dtype=bool)
        title = title.split(":")[0] + ": 0 everywhere"
    _finish(axes, E, title, dark)


def _finish(axes: Axes, M: np.ndarray, title: str, dark: np.ndarray) -> None:
    axes.set(title=title, xlabel="column", ylabel="row")
    axes.set_xticks(_ticks(M.shape[1]))
    axes.set_yticks(_ticks(M.shape[0]))
    if max(M.shape) > WRITTEN:
        return
    for (i, j), value in np.ndenumerate(M):
        colour = "white" if dark[i, j] else "black"
        axes.text(j, i, _short(value), ha="center", va="center", fontsize=9, color=colour)


def _short(value: float) -> str:
    """Two digits, and no exponent where whole numbers are as short."""
    return f"{value:.0f}" if 99.5 <= abs(value) < 9999.5 else f"{value:.2g}"


def _ticks(n: int) -> list[int]:
    """At most nine places at even distances."""
    return list(range(0, n, -(-n // 9)))
