"""Files of matrices as they are written."""

from __future__ import annotations

import io
from typing import BinaryIO

import numpy as np

from deepmatrixinversion.errors import MatrixFormatError


class Sink:
    """A file being written: stacks of one shape and dtype, then ``finish``; ``close`` always."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self._count = 0

    def write(self, stack: np.ndarray) -> None:
        """Append matrices (b, rows, cols) of one dtype."""
        raise NotImplementedError

    def finish(self) -> None:
        """Complete the file."""

    def close(self) -> None:
        """Let go of whatever it holds besides the file."""


class CountedSink(Sink):
    """A file that begins with the number of its matrices, which is filled in at the end."""

    suffix: str

    def __init__(self, file: BinaryIO, name: str) -> None:
        super().__init__(file, name)
        if not file.seekable():
            raise MatrixFormatError(
                f"{name}: a {self.suffix} file begins with the number of matrices, so it cannot be"
                " streamed; write .mx instead"
            )
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype(np.float64)

    def write(self, stack: np.ndarray) -> None:
        """Append matrices, in little-endian numbers; a header goes before the first."""
        if not self._count:
            self._shape, self._dtype = stack.shape[1:], stack.dtype.newbyteorder("<")
            self._file.write(self.header())
        self._count += len(stack)
        self._file.write(np.ascontiguousarray(self.arranged(stack), self._dtype).data)

    def finish(self) -> None:
        """Fill in the number of matrices."""
        self._file.seek(0)
        self._file.write(self.header())
        self._file.seek(0, io.SEEK_END)

    def header(self) -> bytes:
        """What stands before the numbers, of one length whatever the number of matrices."""
        raise NotImplementedError

    def arranged(self, stack: np.ndarray) -> np.ndarray:
        """The numbers in the order of the file."""
        return stack
