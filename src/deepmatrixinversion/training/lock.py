"""One writer to a training's directory."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from deepmatrixinversion.errors import TrainingError

FAR = 1 << 30  # Windows locks bytes, and none that anybody reads


@contextlib.contextmanager
def one_writer(file: Path) -> Iterator[None]:
    """Hold the lock of a training by its recipe's file; the system releases it with the process.

    Raises
    ------
    TrainingError
        When another process holds it.
    """
    with open(file, "r+b") as opened:
        try:
            _lock(opened)
        except OSError:
            raise TrainingError(
                f"{file.parent}: another process is training there; wait for it, or end it first"
            ) from None
        yield


def _lock(file: BinaryIO) -> None:
    try:
        fcntl = importlib.import_module("fcntl")
    except ImportError:
        msvcrt = importlib.import_module("msvcrt")
        file.seek(FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
