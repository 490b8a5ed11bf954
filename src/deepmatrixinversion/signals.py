"""SIGTERM and SIGHUP end a command as Ctrl-C does: by an exception, so that all cleans up."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = ("SIGTERM", "SIGHUP")  # Windows knows no SIGHUP


class Terminated(SystemExit):
    """A signal that asks the process to end; its code is 128 plus the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.name = signal.Signals(number).name


@contextmanager
def exit_on_termination() -> Iterator[None]:
    """Within the block, raise ``Terminated`` where such a signal would kill the process.

    What is ignored, as SIGHUP is under ``nohup``, stays so. Processes that this one has started
    are told as well.
    """
    if threading.current_thread() is not threading.main_thread():  # others take no signals
        yield
        return
    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    before = {n: h for n in numbers if (h := signal.getsignal(n)) is signal.SIG_DFL}
    for number in before:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one must not disturb the cleaning up
    for process in multiprocessing.active_children():
        process.terminate()
    raise Terminated(number)
