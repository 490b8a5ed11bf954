"""Progress on stderr: a bar where that is a terminal, a line now and then where it is a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS = 30.0  # between two lines of a log: work that is over before says nothing

Show = Callable[[float, float | None, str], None]


@contextmanager
def shown(what: str, *, quiet: bool = False) -> Iterator[Show]:
    """The function takes how much is done, of how much if that is known, and both in words."""
    if quiet or not sys.stderr.isatty():
        line = Line(quiet=quiet)

        def say(done: float, total: float | None, words: str) -> None:
            line.say(f"{what}: {words}" + (f", {100 * done / total:.0f} %" if total else ""))

        yield say
        return
    with bars() as progress:
        task = progress.add_task(what, total=None, words="")
        yield lambda done, total, words: progress.update(
            task, completed=done, total=total, words=words
        )


@contextmanager
def reading_progress(
    what: str, *, quiet: bool = False
) -> Iterator[Callable[[int, int | None], None]]:
    """The bytes of a file; the function takes (bytes read, bytes in all or None)."""
    with shown(what, quiet=quiet) as show:

        def read(count: int, total: int | None) -> None:
            share = f" of {total / 1e6:.1f}" if total else ""
            show(count, total, f"{count / 1e6:.1f}{share} MB")

        yield read


@contextmanager
def counting_progress(
    what: str, total: int, *, quiet: bool = False
) -> Iterator[Callable[[int], None]]:
    """``total`` things; the function takes how many more are done."""
    done = 0
    with shown(what, quiet=quiet) as show:

        def add(count: int) -> None:
            nonlocal done
            done += count
            show(done, total, f"{done} of {total}")

        yield add


class Line:
    """Lines on stderr, at most one in ``SECONDS``."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._last = time.monotonic()

    def say(self, text: str) -> None:
        """Print the line, if the last one is long enough ago."""
        if not self._quiet and time.monotonic() - self._last >= SECONDS:
            self._last = time.monotonic()
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


def bars(*, transient: bool = True, disable: bool = False) -> Progress:
    """Bars each with its description and its ``words``, which leave nothing behind."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f}%"),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=transient,
        disable=disable,
    )
