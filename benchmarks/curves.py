"""Curves of benchmarks that hide nothing: they show through one another, and zero has a place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import ArrayLike

GREY = "#777777"
# No two alike in two ways: where curves fall together, dashes and markers tell them apart.
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
_MARKERS = "osv^DP"
_BELOW = {"color": "black", "linewidth": 5, "alpha": 0.45, "zorder": 1}


def styles(names: Iterable[str], chosen: str = "") -> dict[str, dict[str, Any]]:
    """How to draw the curve of each name; ``chosen`` lies broad and pale below the others."""
    others = (name for name in names if name != chosen)
    return {
        name: {
            "color": f"C{k}",
            "linestyle": _DASHES[k % len(_DASHES)],
            "marker": _MARKERS[k % len(_MARKERS)],
            "markersize": 4,
        }
        for k, name in enumerate(others)
    } | {chosen: _BELOW}


def note(axes: Axes, height: float, text: str, *, side: str = "right") -> None:
    """A dotted line at a height, and what it stands for below one of its ends."""
    axes.axhline(height, color=GREY, linestyle=":", zorder=0)
    end = (0.99 if side == "right" else 0.01, height)
    axes.annotate(
        text, end, xycoords=axes.get_yaxis_transform(), xytext=(0, -3),
        textcoords="offset points", va="top", ha=side, fontsize=8, color=GREY,
    )  # fmt: skip


class Missed:
    """1 - share on a logarithmic axis, whose foot is the place of none.

    Parameters
    ----------
    axes : Axes
    of : int
        How many were tried at the most: below one of them lies the foot, and it says so.
    """

    def __init__(self, axes: Axes, of: int) -> None:
        self.axes, self.foot = axes, 0.4 / of
        axes.set(yscale="log", ylim=(self.foot / 2, 1.5))
        note(axes, self.foot, f"none of {of:,}")

    def draw(self, x: ArrayLike, shares: ArrayLike, **style: Any) -> None:
        """The curve of shares in [0, 1] that were met."""
        missed = 1 - np.asarray(shares)
        self.axes.plot(x, np.where(missed > 0, missed, self.foot), **style)


def plain_numbers(axis: Axis, subs: tuple[float, ...] = (1, 2, 5)) -> None:
    """0.5, 1, 2 instead of powers of ten, on a logarithmic axis of a few decades."""
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
