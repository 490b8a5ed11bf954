"""Read and write stacks of matrices as NumPy's ``.npy``."""

from __future__ import annotations

import io
import shutil
import struct
import tempfile
import warnings
from typing import BinaryIO, NamedTuple, cast

import numpy as np
from numpy.lib import format as npy

from deepmatrixinversion.errors import MatrixFormatError
from deepmatrixinversion.matrices.blocks import Blocks
from deepmatrixinversion.matrices.elements import as_elements, element_type, stack_shape
from deepmatrixinversion.matrices.input_file import InputFile
from deepmatrixinversion.matrices.sinks import CountedSink

_LONGEST_HEADER = 64 * 2**10
_SLAB = 64 * 2**10  # bytes worth reading at once rather than seeking between them


class Header(NamedTuple):
    """What the header of a ``.npy`` file declares."""

    shape: tuple[int, int, int]  # count, rows, cols
    dtype: np.dtype
    fortran: bool

    @property
    def size(self) -> int:
        """Bytes that the array takes."""
        count, rows, cols = self.shape
        return count * rows * cols * self.dtype.itemsize


def read_npy(source: InputFile) -> ArrayBlocks:
    """The matrices of a ``.npy`` file: an array (count, rows, cols), or (rows, cols) for one.

    Versions 1 to 3, any byte order, C or Fortran order. Pickled objects are refused.
    """
    header = read_header(source.file, source.name)
    if source.size is not None:
        check_size(header, source.size - source.file.tell(), source.name)
    return ArrayBlocks(source.file, header, source.name, source.size is not None)


def check_size(header: Header, left: int, name: str, what: str = "") -> None:
    """Refuse a header that does not declare as many bytes as follow it."""
    if header.size != left:
        raise MatrixFormatError(
            f"{name}: the header{what} declares {header.size} bytes of numbers, but {left} bytes"
            " follow it; the file is damaged or was not written to its end"
        )


def read_header(file: BinaryIO, name: str) -> Header:
    """Read the header of a ``.npy`` file and leave ``file`` at its numbers.

    Raises
    ------
    MatrixFormatError
        No ``.npy`` header, or one of an array that is no stack of real matrices.
    """
    magic = file.read(8)
    if magic[:6] != npy.MAGIC_PREFIX or magic[6:] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise MatrixFormatError(f"{name}: the file does not begin as a .npy file does")
    # Versions 2 and 3 differ in the encoding of field names, which are refused anyway.
    width, parse = (
        ("<H", npy.read_array_header_1_0) if magic[6] == 1 else ("<I", npy.read_array_header_2_0)
    )
    length = file.read(struct.calcsize(width))
    if len(length) < struct.calcsize(width):
        raise MatrixFormatError(f"{name}: the file ends within its .npy header")
    (size,) = struct.unpack(width, length)
    if size > _LONGEST_HEADER:
        raise MatrixFormatError(f"{name}: a .npy header of {size} bytes is not one of an array")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python's, about the literal
            shape, fortran, dtype = parse(io.BytesIO(length + file.read(size)))
    except Exception as error:  # NumPy evaluates a literal here: what that raises is not documented
        raise MatrixFormatError(f"{name}: the .npy header is malformed") from error
    element_type(dtype, name)
    return Header(stack_shape(shape, name), dtype, bool(fortran))


class ArrayBlocks(Blocks):
    """The matrices of an array that is stored from the position of ``file`` on.

    Reads sequentially, so ``file`` may be a member of an archive. In Fortran order one matrix is
    spread over the whole file, and every block is gathered from it; where ``seekable`` is false,
    from a temporary copy. Nothing is mapped into memory: a map of a file that shrinks kills the
    process.
    """

    def __init__(
        self, file: BinaryIO, header: Header, name: str, seekable: bool, last: bool = True
    ) -> None:
        self._file, self._header, self._name = file, header, name
        self.count, self.rows, self.cols = header.shape
        self._last = last  # nothing may follow the array
        self._next = 0
        self._copy: BinaryIO | None = None
        self._start = file.tell() if seekable else 0
        self._gathers = header.fortran and header.shape[0] > 1
        if self._gathers and not seekable:
            self._file = self._copy = self._copied(file)

    @property
    def position(self) -> int:
        return self._start + self._header.size // self._header.shape[0] * self._next

    def read(self, limit: int) -> np.ndarray:
        count, rows, cols = self._header.shape
        first = self._next
        size = min(limit, count - first)
        if self._gathers:
            block = self._gathered(first, size)
        else:
            block = np.empty((size, rows, cols), self._header.dtype)
            got = fill(self._file, block)
            if got < block.nbytes:
                raise self._truncated(first + got // (block.nbytes // size))
            if size and first + size == count:
                self._check_end(self._file)
            if self._header.fortran:  # a single matrix, column after column
                block = block.reshape(size, cols, rows).transpose(0, 2, 1)
        self._next += size
        return as_elements(block, self._name, first)

    def close(self) -> None:
        if self._copy is not None:
            self._copy.close()

    def _gathered(self, first: int, size: int) -> np.ndarray:
        """Matrices ``first`` to ``first + size - 1`` of an array in Fortran order.

        Entry (k, i, j) is number k + count (i + rows j): for each place (i, j) the matrices'
        entries stand together. Where those of all matrices are few, many places are read at once.
        """
        count, rows, cols = self._header.shape
        itemsize = self._header.dtype.itemsize
        block = np.empty((cols * rows, size), self._header.dtype)
        step = max(1, _SLAB // (count * itemsize))
        for place in range(0, rows * cols, step):
            places = min(step, rows * cols - place)
            whole = step > 1
            slab = np.empty((places, count if whole else size), self._header.dtype)
            self._file.seek(self._start + itemsize * (place * count + (not whole) * first))
            if fill(self._file, slab) < slab.nbytes:
                raise MatrixFormatError(
                    f"{self._name}: the file became shorter while it was read, or its header"
                    f" declares too much: the {count} matrices in Fortran order end within matrix"
                    f" entries of row {place % rows}, column {place // rows}"
                )
            block[place : place + places] = slab[:, first : first + size] if whole else slab
        return block.reshape(cols, rows, size).transpose(2, 1, 0)

    def _copied(self, file: BinaryIO) -> BinaryIO:
        """A temporary file with as many bytes as the header declares."""
        folder = tempfile.gettempdir()
        left, free = self._header.size, shutil.disk_usage(folder).free
        if left > free:
            raise MatrixFormatError(
                f"{self._name}: an array in Fortran order is copied first, and its {left} bytes are"
                f" more than the {free} that are free in {folder}; save it in C order"
            )
        copy = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115
        while left and (piece := file.read(min(left, 2**20))):
            copy.write(piece)
            left -= len(piece)
        if left:
            copy.close()
            each = self._header.size // self._header.shape[0]
            raise self._truncated((self._header.size - left) // each)
        self._check_end(file)
        return copy

    def _check_end(self, file: BinaryIO) -> None:
        if self._last and file.read(1):
            raise MatrixFormatError(
                f"{self._name}: bytes follow the end of the array that its header declares"
            )

    def _truncated(self, matrix: int) -> MatrixFormatError:
        return MatrixFormatError(
            f"{self._name}: matrix {matrix}: the file ends here, but its header declares"
            f" {self._header.shape[0]} matrices"
        )


def fill(file: BinaryIO, array: np.ndarray) -> int:
    """Read into a contiguous array until it is full or the file ends; return the bytes read."""
    buffer = array.reshape(-1).view(np.uint8).data
    got = 0
    while got < len(buffer):
        # In slices: a pipe and an archive make a temporary copy of what one call asks for.
        piece = file.read(min(len(buffer) - got, 2**20))
        if not piece:
            break
        buffer[got : got + len(piece)] = piece
        got += len(piece)
    return got


class NpySink(CountedSink):
    """A ``.npy`` file of shape (count, rows, cols), C order, little-endian float32 or float64."""

    suffix = ".npy"

    def header(self) -> bytes:
        """NumPy's, version 1.0, which it pads so that the first axis can grow in place."""
        text = io.BytesIO()
        descr = npy.dtype_to_descr(self._dtype)
        shape = (self._count, *self._shape)
        npy.write_array_header_1_0(text, {"descr": descr, "fortran_order": False, "shape": shape})
        return text.getvalue()
