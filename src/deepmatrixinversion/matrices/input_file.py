"""An open file that matrices are read from."""

from __future__ import annotations

import os
import stat
import sys
from typing import BinaryIO, NamedTuple

from deepmatrixinversion.errors import MatrixFormatError
from deepmatrixinversion.matrices.dialect import Dialect


class InputFile(NamedTuple):
    """A binary file and what is known about it.

    ``size`` is its length in bytes, or None where it has none (a pipe, a terminal). ``finite`` and
    ``square`` refuse other matrices; ``dialect`` is what is known of a text file's spelling.
    """

    name: str
    file: BinaryIO
    size: int | None
    finite: bool
    square: bool
    dialect: Dialect

    def whole_size(self, suffix: str) -> int:
        """The size, of a format that is not read from front to back."""
        if self.size is None:
            raise MatrixFormatError(f"{self.name}: a {suffix} file cannot be read from a pipe")
        return self.size


def open_input(
    path: str | os.PathLike[str], finite: bool, square: bool, dialect: Dialect
) -> InputFile:
    """Open ``path``, or standard input for ``-``.

    Raises
    ------
    OSError
        There is no such file, it is a directory, or it may not be read.
    """
    name = os.fsdecode(path)
    if name == "-":
        return InputFile("standard input", sys.stdin.buffer, None, finite, square, dialect)
    file = open(name, "rb")  # noqa: SIM115 - the reader closes it
    status = os.fstat(file.fileno())
    size = status.st_size if stat.S_ISREG(status.st_mode) else None
    return InputFile(name, file, size, finite, square, dialect)
