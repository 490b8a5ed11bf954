"""Write matrices to a file, block by block, completely or not at all."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from deepmatrixinversion.atomic import atomic_write
from deepmatrixinversion.matrices.elements import as_elements, element_type, stack_shape
from deepmatrixinversion.matrices.formats import format_of
from deepmatrixinversion.matrices.sinks import Sink


class MatrixWriter:
    """Write matrices to a file as they come; the file appears when the block ends well.

    Until then the matrices are in a temporary file in the same directory; after an exception that
    is removed, and what was at ``path`` stays.

    Parameters
    ----------
    path : path-like
        The suffix names the format, one of ``FORMATS``. ``-`` is standard output, in the ``.mx``
        format, and is written at once.

    Raises
    ------
    MatrixFormatError
        The suffix is unknown.
    ValueError
        On writing: matrices of another shape or dtype than the first ones, complex or otherwise
        unsupported entries, no matrix at all.
    OSError
        The file cannot be written.

    Notes
    -----
    float32 and float64 are kept in binary files; integers and booleans are written as float64,
    float16 as float32. Text holds the value as a float64, exactly.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "a.mx"
    ...     with MatrixWriter(path) as writer:
    ...         writer.write([[1, 0.1], [0, 1]])
    ...         writer.write(2 * np.eye(2))
    ...     path.read_text()
    '1.0,0.1\\n0.0,1.0\\nEND\\n2.0,0.0\\n0.0,2.0\\nEND\\n'
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        name = os.fsdecode(path)
        self.name = "standard output" if name == "-" else name
        self.count = 0
        self._shape: tuple[int, ...] = ()
        self._dtype: np.dtype | None = None
        self._sink: Sink | None = None
        self._session = self._open(name, format_of(path).writer)

    def write(self, stack: npt.ArrayLike) -> None:
        """Append matrices.

        Parameters
        ----------
        stack : array_like, shape (b, rows, cols) or (rows, cols)
            ``b`` may be 0. The first call fixes rows, columns and dtype.
        """
        if self._sink is None:
            raise ValueError(f"{self.name}: the writer is not open; use it in a with statement")
        if hasattr(stack, "toarray"):
            raise ValueError(f"{self.name}: a sparse matrix is not written; pass A.toarray()")
        array = np.asarray(stack)
        if array.ndim == 3 and not len(array):
            return
        if array.dtype == object:
            element_type(array.dtype, self.name)  # refuses, with advice
        array = array.reshape(stack_shape(array.shape, self.name))
        array = as_elements(array, self.name, self.count)
        if self._dtype is None:
            self._shape, self._dtype = array.shape[1:], array.dtype
        if (array.shape[1:], array.dtype) != (self._shape, self._dtype):
            raise ValueError(
                f"{self.name}: matrix {self.count} is {_kind(array.shape[1:], array.dtype)}, but"
                f" the ones before are {_kind(self._shape, self._dtype)}; a file holds one kind"
            )
        self._sink.write(array)
        self.count += len(array)

    def __enter__(self) -> MatrixWriter:
        self._session.__enter__()
        return self

    def __exit__(self, *exception) -> bool | None:
        try:
            return self._session.__exit__(*exception)
        finally:
            self._sink = None

    @contextlib.contextmanager
    def _open(self, name: str, writer) -> Iterator[None]:
        with _standard_output() if name == "-" else atomic_write(name) as file:
            self._sink = sink = writer(file, self.name)
            try:
                yield
                if not self.count:
                    raise ValueError(f"{self.name}: there is no matrix to write")
                sink.finish()
            finally:
                sink.close()


@contextlib.contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    sys.stdout.flush()
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


def write_matrices(path: str | os.PathLike[str], stack: npt.ArrayLike) -> None:
    """Write a stack of matrices (count, rows, cols), or one (rows, cols), to a file.

    The file is written completely or not at all: see :class:`MatrixWriter`, also for what is
    raised.
    """
    with MatrixWriter(path) as writer:
        writer.write(stack)


def _kind(shape: tuple[int, ...], dtype: np.dtype) -> str:
    return f"{shape[0]} x {shape[1]} {dtype}"
