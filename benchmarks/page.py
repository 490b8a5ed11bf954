"""How benchmarks tell what they measured: their arguments, tables, pages and figures.

The pages themselves are in ``pages``: Markdown with fields for what was measured.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepmatrixinversion.atomic import atomic_text


def arguments(doc: str | None, **numbers: float) -> argparse.ArgumentParser:
    """A parser with --markdown and --plot, and an option of each name and default."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--markdown", metavar="FILE", help="write the page there")
    parser.add_argument("--plot", metavar="FILE", help="write the figure there")
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"{default}")
    return parser


def table(heads: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table, in lines that end."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def records(rows: Iterable[Mapping[str, Any]]) -> str:
    """A Markdown table with a row for each of some dicts, whose keys are the heads."""
    rows = list(rows)
    return table(rows[0], (row.values() for row in rows)) if rows else ""


def machine() -> str:
    """What times depend on."""
    return f"{platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}"


def write_page(where: str | None, name: str, **values: Any) -> None:
    """Print a text of ``pages`` with its fields, and write it where it was asked for.

    ``made`` is a field of every text: by which command, on which machine.
    """
    command = " ".join([f"python benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    made = f"Made by `{command}` ({machine()})."
    shown = {k: v.strip("\n") if isinstance(v, str) else v for k, v in values.items()}
    text = (Path(__file__).parent / "pages" / f"{name}.md").read_text("utf-8")
    text = text.format(made=made, **shown)
    print(text, end="", flush=True)
    if where:
        atomic_text(where, text)


def panels(
    width: float, height: float, rows: int = 1, columns: int = 1, *, shared: bool = False
) -> tuple[Figure, list]:
    """A figure and its axes, row after row, each with a grid; ``shared`` limits, or their own."""
    figure = Figure(figsize=(width, height), layout="constrained")
    found: list[Axes] = list(
        figure.subplots(rows, columns, sharex=shared, sharey=shared, squeeze=False).flat
    )
    for axes in found:
        axes.grid(alpha=0.3)
    return figure, found
