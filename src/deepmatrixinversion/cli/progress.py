"""Progress on stderr: a bar where that is a terminal, a line now and then where it is a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

SECONDS = 30.0  # between two lines of a log: work that is over before says nothing


@contextmanager
def reading_progress(
    what: str, *, quiet: bool = False
) -> Iterator[Callable[[int, int | None], None]]:
    """The bytes of a file; the function takes (bytes read, bytes in all or None)."""
    if quiet or not sys.stderr.isatty():
        line = Line(quiet=quiet)

        def say(read: int, total: int | None) -> None:
            share = f" of {total / 1e6:.1f} MB, {100 * read / total:.0f} %" if total else " MB"
            line.say(f"{what}: {read / 1e6:.1f}{share}")

        yield say
        return
    with _bar(DownloadColumn()) as progress:
        task = progress.add_task(what, total=None)

        def show(read: int, total: int | None) -> None:
            progress.update(task, completed=read, total=total)

        yield show


@contextmanager
def counting_progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """``total`` things; the function takes how many more are done."""
    if not sys.stderr.isatty():
        line, done = Line(), 0

        def say(count: int) -> None:
            nonlocal done
            done += count
            line.say(f"{what}: {done} of {total}, {100 * done / total:.0f} %")

        yield say
        return
    with _bar(MofNCompleteColumn()) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


class Line:
    """Lines on stderr, at most one in ``SECONDS``."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._last = time.monotonic()

    def say(self, text: str) -> None:
        """Print the line, if the last one is long enough ago."""
        if not self._quiet and time.monotonic() - self._last >= SECONDS:
            self._last = time.monotonic()
            print(text, file=sys.stderr, flush=True)


def _bar(figures: ProgressColumn) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        figures,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
