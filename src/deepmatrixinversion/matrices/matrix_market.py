"""Read and write one matrix as Matrix Market ``.mtx``, through SciPy (an optional extra)."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

import numpy as np

from deepmatrixinversion.errors import MatrixFormatError
from deepmatrixinversion.matrices.elements import as_elements, check_memory, stack_shape
from deepmatrixinversion.matrices.input_file import InputFile


def _scipy_io(name: str) -> Any:
    try:
        import scipy.io
    except ImportError as error:
        raise ImportError(
            f"{name}: .mtx files need SciPy; install deepmatrixinversion[mtx]"
        ) from error
    return scipy.io


class MatrixMarketBlocks:
    """The matrix of a ``.mtx`` file, dense or sparse, with any symmetry; read as a whole."""

    count = 1

    def __init__(self, source: InputFile) -> None:
        scipy_io = _scipy_io(source.name)
        if source.size is None:
            raise MatrixFormatError(f"{source.name}: a .mtx file cannot be read from a pipe")
        try:
            # By name: SciPy 1.17 aborts the interpreter on an open file that it did not make.
            rows, cols, _, layout, field, symmetry = scipy_io.mminfo(source.name)
            stack_shape((rows, cols), source.name)
            if field == "complex":
                as_elements(np.empty((1, 1, 1), complex), source.name)  # refuses, with advice
            # A few bytes may declare a sparse matrix of any order.
            check_memory(source.name, 8 * rows * cols, f"its {rows} x {cols} matrix")
            matrix = scipy_io.mmread(source.name)
        except MatrixFormatError:
            raise
        except (ValueError, OverflowError, TypeError) as error:
            raise MatrixFormatError(
                f"{source.name}: matrix 0: no valid Matrix Market file ({error})"
            ) from error
        dense = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
        if (layout, field, symmetry) == ("array", "real", "general"):
            _restore_zero_signs(dense, source.file)
        self._stack = as_elements(dense[np.newaxis], source.name)
        self.rows, self.cols = dense.shape
        self._size = source.size or 0
        self.position = 0

    def read(self, limit: int) -> np.ndarray:
        """Return the matrix (1, rows, cols), once."""
        stack, self._stack = self._stack, self._stack[:0]
        self.position = self._size
        return stack

    def close(self) -> None:
        """Nothing of its own to close."""


def _restore_zero_signs(dense: np.ndarray, file: BinaryIO) -> None:
    """Make -0.0 of the zeros that ``file`` spells so: SciPy adds what it reads to 0.0."""
    zeros = dense == 0
    if not zeros.any():
        return
    for line in file:
        if line.strip() and not line.startswith(b"%"):
            break  # the line with the size, which is known
    try:
        numbers = np.loadtxt(file, comments="%", ndmin=1)
    except ValueError:  # an unusual spelling that SciPy takes
        return
    if numbers.size == dense.size:
        spelled = numbers.reshape(dense.shape, order="F")
        np.copysign(dense, spelled, out=dense, where=zeros)


class MatrixMarketSink:
    """A ``.mtx`` file: one dense matrix, 17 significant digits, so that float64 is exact."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._scipy_io = _scipy_io(name)
        self._file, self._name = file, name
        self._written = False

    def write(self, stack: np.ndarray) -> None:
        """Write the only matrix, (1, rows, cols)."""
        if self._written or len(stack) > 1:
            raise MatrixFormatError(
                f"{self._name}: a .mtx file holds one matrix; write several as .mx or .npy"
            )
        self._written = True
        # Without a precision SciPy writes 16 digits, which loses the last bit of 1/3. The symmetry
        # is not to be guessed: it would take 0.0 for -0.0.
        text = io.BytesIO()
        matrix = stack[0].astype(np.float64)
        self._scipy_io.mmwrite(text, matrix, precision=17, symmetry="general")
        self._file.write(text.getbuffer())

    def finish(self) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """Nothing of its own to close."""
