"""Read matrices from a file: all at once, or block by block."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np

from deepmatrixinversion.errors import MatrixFormatError, NotSquareError
from deepmatrixinversion.matrices.dialect import Dialect
from deepmatrixinversion.matrices.formats import format_of
from deepmatrixinversion.matrices.input_file import open_input
from deepmatrixinversion.matrices.memory import check_memory

BLOCK_BYTES = 64 * 2**20

Progress = Callable[[int, int | None], None]


class MatrixReader(Iterator[np.ndarray]):
    """Iterate over the matrices of a file in blocks (b, rows, cols), in constant memory.

    All matrices of a file have one shape. Text gives float64; binary files give the float32 or
    float64 they hold, float32 for float16, float64 for integers. Use it as a context manager, or
    iterate to the end: either closes the file.

    Parameters
    ----------
    path : path-like
        A file in one of ``FORMATS``, or ``-`` for standard input in the ``.mx`` format.
    block_matrices : int, optional
        Matrices in a block; the last block may have fewer. By default about 64 MiB, and at least
        one matrix.
    finite : bool
        Refuse NaN and infinities; by default they are read as they are.
    square : bool
        Refuse matrices that are not square.
    dialect : Dialect, optional
        How a text file spells its matrices; what it leaves open is found out.
    first, last : int, int or None
        Give the matrices of a slice ``first:last`` alone.
    progress : callable, optional
        Called after every block with ``bytes_read`` and ``bytes_total``.

    Attributes
    ----------
    name : str
        The file, as messages call it.
    rows, cols : int
        The shape of every matrix.
    count : int or None
        How many matrices the file holds; None for text, which does not say.
    bytes_read : int
        How much of the file has been read.
    bytes_total : int or None
        The size of the file; None for a pipe.
    spelling : str
        How a text file spells its numbers, in words, where that had to be found out or said.

    Raises
    ------
    MatrixFormatError
        The file is malformed; the message names the file, the matrix (counted from 0) and, for
        text, the line (counted from 1).
    OSError
        There is no such file, it is a directory, or it may not be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "a.mx"
    ...     _ = path.write_text("1,2\\n3,4\\nEND\\n5,6\\n7,8\\n")
    ...     with MatrixReader(path, block_matrices=1) as reader:
    ...         [block[0, 0].tolist() for block in reader]
    [[1.0, 2.0], [5.0, 6.0]]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        block_matrices: int | None = None,
        finite: bool = False,
        square: bool = False,
        dialect: Dialect | None = None,
        first: int = 0,
        last: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        if block_matrices is not None and block_matrices < 1:
            raise ValueError(f"block_matrices is {block_matrices}; it must be at least 1")
        opener = format_of(path).reader
        self._source = open_input(path, finite, square, dialect or Dialect())
        self._blocks = None
        self._last_position = 0
        try:
            self._blocks = opener(self._source)
            self.name = self._source.name
            self.rows, self.cols = self._blocks.rows, self._blocks.cols
            self.count = self._blocks.count
            self.spelling = getattr(self._blocks, "spelling", "")
            if square and self.rows != self.cols:
                raise NotSquareError(
                    f"{self.name}: matrix 0 is {self.rows} x {self.cols}, but only square matrices"
                    " will do here"
                )
            size = 8 * self.rows * self.cols
            check_memory(self.name, size, f"one matrix of {self.rows} x {self.cols}")
            self._limit = block_matrices or max(1, BLOCK_BYTES // size)
            self._end = self.count if last is None else min(last, self.count or last)
            self._given = 0
            self._skip(first)
        except BaseException:
            self.close()
            raise
        self._finite = finite
        self._progress = progress

    @property
    def bytes_read(self) -> int:
        """How much of the file has been read."""
        return self._blocks.position if self._blocks is not None else self._last_position

    @property
    def bytes_total(self) -> int | None:
        """The size of the file, or None for a pipe."""
        return self._source.size

    @property
    def _bytes_due(self) -> int | None:
        """How much of the file the matrices asked for take, where that is known."""
        if self._end == self.count or self.bytes_total is None:
            return self.bytes_total
        if not self.count or self._end is None:
            return None
        return self.bytes_total * self._end // self.count

    def __next__(self) -> np.ndarray:
        if self._blocks is None:
            raise StopIteration
        try:
            left = self._limit if self._end is None else self._end - self._given
            block = self._read(left)
            if self._finite:
                _check_finite(block, self.name, self._given)
        except BaseException:
            self.close()
            raise
        if not len(block):
            self.close()
            raise StopIteration
        self._given += len(block)
        if self._progress is not None:
            self._progress(self.bytes_read, self._bytes_due)
        return block

    def _skip(self, first: int) -> None:
        """Go to matrix ``first``, and refuse a file that ends before it."""
        assert self._blocks is not None
        while self._given < first and (block := self._read(first - self._given)).size:
            self._given += len(block)
        if first and (self._given < first or self._given == self.count):
            raise MatrixFormatError(
                f"{self.name}: there are only {self._given} matrices, so none from {first} on"
            )

    def _read(self, most: int) -> np.ndarray:
        assert self._blocks is not None
        limit = min(self._limit, most)
        return self._blocks.read(limit) if limit else np.empty((0, self.rows, self.cols))

    def __enter__(self) -> MatrixReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; reading on ends at once. Standard input stays open."""
        if self._blocks is not None:
            self._last_position = self._blocks.position
            self._blocks.close()
            self._blocks = None
        if self._source.name != "standard input":
            self._source.file.close()


read_blocks = MatrixReader


def read_matrices(
    path: str | os.PathLike[str],
    *,
    finite: bool = False,
    square: bool = False,
    dialect: Dialect | None = None,
) -> np.ndarray:
    """Read every matrix of a file.

    Parameters
    ----------
    path : path-like
        A file in one of ``FORMATS``, or ``-`` for standard input in the ``.mx`` format. A 2-D
        array in a binary file is one matrix.
    finite : bool
        Refuse NaN and infinities; by default they are read as they are.
    square : bool
        Refuse matrices that are not square.
    dialect : Dialect, optional
        How a text file spells its matrices; what it leaves open is found out.

    Returns
    -------
    ndarray, shape (count, rows, cols), float32 or float64
        At least one matrix. Text gives float64; binary files give the float32 or float64 they
        hold, float32 for float16, float64 for integers.

    Raises
    ------
    MatrixFormatError
        The file is malformed, or larger than the memory of this machine.
    OSError
        There is no such file, it is a directory, or it may not be read.

    Warns
    -----
    MatrixFormatWarning
        A text file does not end in a newline: if it was cut off, its last number is wrong.

    Notes
    -----
    Of ``.mat`` files the matrices are the pages A(:, :, k), as in MATLAB. A ``.parquet`` file holds
    one matrix as a table of numbers, or a stack as a column of lists of rows.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "a.mx"
    ...     _ = path.write_text("1,2\\n3,4\\nEND\\n5,6\\n7,8\\nEND\\n")
    ...     read_matrices(path).shape
    (2, 2, 2)
    """
    advice = "; read it in blocks (read_blocks)"
    with MatrixReader(path, finite=finite, square=square, dialect=dialect) as reader:
        matrix = 8 * reader.rows * reader.cols
        if reader.count is not None:
            check_memory(reader.name, reader.count * matrix, "the array in it", advice)
            result, at = None, 0
            for block in reader:
                if len(block) == reader.count:
                    return block
                if result is None:
                    result = np.empty((reader.count, *block.shape[1:]), block.dtype)
                result[at : at + len(block)] = block
                at += len(block)
            assert result is not None
            return result
        blocks: list[np.ndarray] = []
        for block in reader:
            blocks.append(block)
            check_memory(reader.name, sum(b.nbytes for b in blocks), "what it holds", advice)
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _check_finite(block: np.ndarray, name: str, first: int) -> None:
    finite = np.isfinite(block)
    if finite.all():
        return
    index, row, col = (int(i) for i in np.argwhere(~finite)[0])
    value = block[index, row, col]
    raise MatrixFormatError(
        f"{name}: matrix {first + index}: {value} in row {row}, column {col} is not finite"
    )
