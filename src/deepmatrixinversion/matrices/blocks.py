"""Open files of matrices, from which blocks are read."""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.matrices.elements import as_elements, stack_shape
from deepmatrixinversion.matrices.input_file import InputFile


class Blocks:
    """An open file of matrices (``rows``, ``cols``), ``count`` of them where it says so."""

    rows: int
    cols: int
    count: int | None = None

    @property
    def position(self) -> int:
        """Bytes of the file that the matrices read so far take, about."""
        raise NotImplementedError

    def read(self, limit: int) -> np.ndarray:
        """Return the next ``limit`` matrices, or as many as are left, (b, rows, cols)."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of whatever it holds besides the file."""


class WholeArray(Blocks):
    """The matrices of an array (count, rows, cols) or (rows, cols) that was read as a whole."""

    def __init__(self, array: np.ndarray, source: InputFile) -> None:
        self.count, self.rows, self.cols = shape = stack_shape(array.shape, source.name)
        # Arrow's arrays may not be written to.
        self._stack = np.require(as_elements(array.reshape(shape), source.name), None, "W")
        self._size = source.size or 0
        self._next = 0

    @property
    def position(self) -> int:
        return self._size * self._next // len(self._stack)

    def read(self, limit: int) -> np.ndarray:
        block = self._stack[self._next : self._next + limit]
        self._next += len(block)
        return block
