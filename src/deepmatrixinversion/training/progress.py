"""The progress of a training on stderr: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.progress import TaskID

from deepmatrixinversion.reporting.progress import Line, bars
from deepmatrixinversion.training.curve import Look
from deepmatrixinversion.training.recipe import Recipe


class TrainingProgress:
    """Loss, residual median, throughput and time left, one bar a member."""

    def __init__(self, recipe: Recipe, *, show: bool) -> None:
        self._recipe = recipe
        terminal = sys.stderr.isatty()
        self._bars = bars(disable=not (show and terminal), transient=False)
        self._line = Line(quiet=terminal or not show)
        self._tasks: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def look(self, look: Look) -> None:
        """Show a step."""
        name = f"member {look.member}/{self._recipe.n_repeats}"
        if look.member not in self._tasks:
            self._tasks[look.member] = self._bars.add_task(name, total=1.0, words="")
        figures = (
            f"loss {look.loss:.3f}  |R|F median {look.residual_median:.1e}  "
            f"{look.matrices_per_second / 1000:.0f} k matrices/s"
        )
        self._bars.update(self._tasks[look.member], completed=look.done, words=figures)
        self._line.say(f"{name}: {100 * look.done:.0f} %  {figures}")
