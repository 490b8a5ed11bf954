"""Figures into files, or onto the screen."""

from __future__ import annotations

import io
import os
from pathlib import Path

from matplotlib.figure import Figure

from deepmatrixinversion.atomic import atomic_bytes
from deepmatrixinversion.errors import ModelError

SCREEN = "screen"
SUFFIXES = (".png", ".pdf", ".svg")


def save_figure(figure: Figure, where: str | os.PathLike[str]) -> None:
    """Write a figure to a .png, .pdf or .svg file atomically, or show it (``"screen"``).

    Raises
    ------
    ModelError
        When the suffix is unknown, or there is no screen to show it on.
    """
    if os.fspath(where) == SCREEN:
        _show(figure)
        return
    check_plot_target(where)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=Path(where).suffix.lower()[1:], dpi=150)
    atomic_bytes(where, buffer.getvalue())


def check_plot_target(where: str | os.PathLike[str] | None) -> None:
    """Raise ``ModelError`` unless a plot can be written there, before any work is done."""
    if where is None:
        return
    if os.fspath(where) == SCREEN:
        _check_screen()
        return
    path = Path(where)
    if path.suffix.lower() not in SUFFIXES:
        raise ModelError(f"{path}: a plot's name must end in {', '.join(SUFFIXES)}, or be 'screen'")
    if not path.resolve().parent.is_dir():
        raise ModelError(f"{path}: there is no folder {path.resolve().parent} to write the plot to")


def _check_screen() -> None:
    import matplotlib.pyplot

    if matplotlib.get_backend().lower() == "agg":
        raise ModelError("no screen to show the plot on: give a file name, such as fit.png")


def _show(figure: Figure) -> None:
    import matplotlib.pyplot as plt

    _check_screen()
    manager = plt.figure().canvas.manager
    assert manager is not None
    manager.canvas.figure = figure
    figure.set_canvas(manager.canvas)
    plt.show()
