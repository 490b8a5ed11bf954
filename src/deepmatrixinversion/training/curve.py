"""The training curve: the rows of ``training.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from deepmatrixinversion.atomic import atomic_text
from deepmatrixinversion.errors import ModelError


class Look(NamedTuple):
    """What is recorded of a step.

    ``selection`` is the mean log10(‖R‖F + 1e-6) on the selection set, at the end of an epoch
    only, by which the best weights are chosen; ``validation_loss`` and ``validation_median`` are
    the loss and the median of ‖R‖F there; ``skipped`` counts steps since the start whose
    gradient was not finite; ``done`` is the fraction of the member's training that lies behind.
    """

    member: int
    epoch: int
    step: int
    done: float
    loss: float
    residual_median: float
    below_one: float
    lr: float
    skipped: int
    matrices_per_second: float
    selection: float | None
    validation_loss: float | None = None
    validation_median: float | None = None


def write_curve(path: Path, rows: Sequence[Look]) -> None:
    """Write the rows as CSV, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Look._fields)
    for row in rows:
        writer.writerow("" if value is None else repr(value) for value in row)
    atomic_text(path, text.getvalue())


def read_curve(path: Path) -> list[Look]:
    """Read back what ``write_curve`` wrote; a missing file is an empty curve."""
    if not path.exists():
        return []
    rows = []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        if tuple(next(reader, ())) != Look._fields:
            raise ModelError(f"{path}: not a training curve of this release")
        for line in reader:
            try:
                integers = {"member", "epoch", "step", "skipped"}
                values = [
                    None if text == "" else int(text) if name in integers else float(text)
                    for name, text in zip(Look._fields, line, strict=True)
                ]
            except ValueError as error:
                raise ModelError(f"{path}, line {reader.line_num}: {error}") from None
            rows.append(Look(*values))  # type: ignore[arg-type]
    return rows


def before(rows: Sequence[Look], member: int, step: int) -> list[Look]:
    """The rows up to a position of the run: what a resumed run keeps."""
    return [row for row in rows if (row.member, row.step) <= (member, step)]
