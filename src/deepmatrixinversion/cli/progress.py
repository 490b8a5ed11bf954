"""Progress bars: on stderr, and only where that is a terminal."""

from __future__ import annotations

import sys
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


@contextmanager
def reading_progress(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar over the bytes of a file; the function takes (bytes read, bytes in all or None)."""
    with _bar(DownloadColumn()) as progress:
        task = progress.add_task(what, total=None)

        def show(read: int, total: int | None) -> None:
            progress.update(task, completed=read, total=total)

        yield show


@contextmanager
def counting_progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar over ``total`` things; the function takes how many more are done."""
    with _bar(MofNCompleteColumn()) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


def _bar(figures: ProgressColumn) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        figures,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
