"""The progress of a training on stderr: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from deepmatrixinversion.training.curve import Look
from deepmatrixinversion.training.recipe import Recipe

SECONDS = 30.0  # between two lines of a log


class TrainingProgress:
    """Loss, residual median, throughput and time left, one bar a member."""

    def __init__(self, recipe: Recipe, *, show: bool) -> None:
        self._recipe = recipe
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}%"),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not (show and sys.stderr.isatty()),
        )
        self._logs = show and not sys.stderr.isatty()
        self._last = time.monotonic()
        self._tasks: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def look(self, look: Look) -> None:
        """Show a step."""
        if look.member not in self._tasks:
            name = f"member {look.member}/{self._recipe.n_repeats}"
            self._tasks[look.member] = self._bar.add_task(name, total=1.0, figures="")
        figures = (
            f"loss {look.loss:.3f}  |R|F median {look.residual_median:.1e}  "
            f"{look.matrices_per_second / 1000:.0f} k matrices/s"
        )
        self._bar.update(self._tasks[look.member], completed=look.done, figures=figures)
        if self._logs and time.monotonic() - self._last >= SECONDS:
            self._last = time.monotonic()
            name = self._bar.tasks[self._tasks[look.member]].description
            line = f"{name}: {100 * look.done:.0f} %  {figures}"
            print(line, file=sys.stderr, flush=True)
