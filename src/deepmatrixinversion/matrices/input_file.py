"""An open file that matrices are read from."""

from __future__ import annotations

import os
import stat
import sys
from typing import BinaryIO, NamedTuple


class InputFile(NamedTuple):
    """A binary file and what is known about it.

    ``size`` is its length in bytes, or None where it has none (a pipe, a terminal).
    """

    name: str
    file: BinaryIO
    size: int | None
    finite: bool


def open_input(path: str | os.PathLike[str], finite: bool) -> InputFile:
    """Open ``path``, or standard input for ``-``.

    Raises
    ------
    OSError
        There is no such file, it is a directory, or it may not be read.
    """
    name = os.fsdecode(path)
    if name == "-":
        return InputFile("standard input", sys.stdin.buffer, None, finite)
    file = open(name, "rb")  # noqa: SIM115 - the reader closes it
    status = os.fstat(file.fileno())
    return InputFile(name, file, status.st_size if stat.S_ISREG(status.st_mode) else None, finite)
