"""Blocks of an array that was read as a whole, for formats that cannot be read in parts."""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.matrices.elements import as_elements, stack_shape
from deepmatrixinversion.matrices.input_file import InputFile


class WholeArray:
    """The matrices of an array (count, rows, cols) or (rows, cols) that came out of a file."""

    def __init__(self, array: np.ndarray, source: InputFile) -> None:
        self.count, self.rows, self.cols = shape = stack_shape(array.shape, source.name)
        # Arrow's arrays may not be written to.
        self._stack = np.require(as_elements(array.reshape(shape), source.name), None, "W")
        self._size = source.size or 0
        self._next = 0

    @property
    def position(self) -> int:
        """Bytes of the file that the matrices handed out take, about."""
        return self._size * self._next // self.count

    def read(self, limit: int) -> np.ndarray:
        """Return the next ``limit`` matrices, or as many as are left."""
        block = self._stack[self._next : self._next + limit]
        self._next += len(block)
        return block

    def close(self) -> None:
        """Nothing of its own to close."""
