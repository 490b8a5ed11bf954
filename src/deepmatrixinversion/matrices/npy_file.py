"""Read and write stacks of matrices as NumPy's ``.npy``."""

from __future__ import annotations

import io
import shutil
import struct
import tempfile
from typing import BinaryIO, NamedTuple, cast

import numpy as np
from numpy.lib import format as npy

from deepmatrixinversion.errors import MatrixFormatError
from deepmatrixinversion.matrices.elements import as_elements, element_type, stack_shape
from deepmatrixinversion.matrices.input_file import InputFile

_LONGEST_HEADER = 64 * 2**10


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


class NpyBlocks:
    """The matrices of a ``.npy`` file: an array (count, rows, cols), or (rows, cols) for one.

    Versions 1 to 3, any byte order, C or Fortran order. Pickled objects are refused.
    """

    def __init__(self, source: InputFile) -> None:
        header = read_header(source.file, source.name)
        if source.size is not None:
            left = source.size - source.file.tell()
            if header.size != left:
                raise MatrixFormatError(
                    f"{source.name}: the header declares {header.size} bytes of numbers, but"
                    f" {left} bytes follow it; the file is damaged or was not written to its end"
                )
        self._array = ArrayBlocks(source.file, header, source.name, source.size is not None)
        self.count, self.rows, self.cols = header.shape

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._array.position

    def read(self, limit: int) -> np.ndarray:
        """Return the next ``limit`` matrices, or as many as are left."""
        return self._array.read(limit)

    def close(self) -> None:
        """Release the map of a file in Fortran order."""
        self._array.close()


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
        shape, fortran, dtype = parse(io.BytesIO(length + file.read(size)))
    except Exception as error:  # NumPy evaluates a literal here: what that raises is not documented
        raise MatrixFormatError(f"{name}: the .npy header is malformed") from error
    element_type(dtype, name)
    return Header(stack_shape(shape, name), dtype, bool(fortran))


class ArrayBlocks:
    """The matrices of an array that is stored from the position of ``file`` on.

    Reads sequentially, so ``file`` may be a member of an archive. In Fortran order one matrix is
    spread over the whole file, which is then mapped; where it cannot be (``mappable`` is false),
    a temporary copy is.
    """

    def __init__(self, file: BinaryIO, header: Header, name: str, mappable: bool) -> None:
        self._file, self._header, self._name = file, header, name
        self._next = 0
        self._map: np.ndarray | None = None
        self._copy: BinaryIO | None = None
        self._start = start = file.tell() if mappable else 0
        if header.fortran and header.shape[0] > 1:
            if not mappable:
                self._copy = file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115
                shutil.copyfileobj(self._file, file)
                file.flush()
                if file.tell() != header.size:
                    raise self._truncated(file.tell() // (header.size // header.shape[0]))
            self._map = np.memmap(
                file, header.dtype, mode="r", offset=start, shape=header.shape, order="F"
            )

    @property
    def position(self) -> int:
        """Bytes that the matrices read so far take, header included."""
        return self._start + self._header.size // self._header.shape[0] * self._next

    def read(self, limit: int) -> np.ndarray:
        """Return the next ``limit`` matrices, or as many as are left."""
        count, rows, cols = self._header.shape
        first = self._next
        size = min(limit, count - first)
        if self._map is not None:
            block = np.array(self._map[first : first + size], order="C")
        else:
            block = np.empty((size, rows, cols), self._header.dtype)
            got = _fill(self._file, block.reshape(-1).view(np.uint8).data)
            if got < block.nbytes:
                raise self._truncated(first + got // (block.nbytes // size))
            if size and first + size == count and self._file.read(1):
                raise MatrixFormatError(f"{self._name}: bytes follow the end of the array")
            if self._header.fortran:  # a single matrix, column after column
                block = block.reshape(size, cols, rows).transpose(0, 2, 1)
        self._next += size
        return as_elements(block, self._name, first)

    def close(self) -> None:
        """Release the map and its temporary file."""
        self._map = None
        if self._copy is not None:
            self._copy.close()

    def _truncated(self, matrix: int) -> MatrixFormatError:
        return MatrixFormatError(
            f"{self._name}: matrix {matrix}: the file ends here, but its header declares"
            f" {self._header.shape[0]} matrices"
        )


def _fill(file: BinaryIO, buffer: memoryview) -> int:
    """Read into ``buffer`` until it is full or the file ends; return the bytes read."""
    got = 0
    while got < len(buffer):
        # In slices: a pipe and an archive make a temporary copy of what one call asks for.
        piece = file.read(min(len(buffer) - got, 2**20))
        if not piece:
            break
        buffer[got : got + len(piece)] = piece
        got += len(piece)
    return got


class NpySink:
    """A ``.npy`` file of shape (count, rows, cols), C order, little-endian float32 or float64."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        if not file.seekable():
            raise MatrixFormatError(
                f"{name}: a .npy file begins with the number of matrices, so it cannot be"
                " streamed; write .mx instead"
            )
        self._file = file
        self._count = 0
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype(np.float64)
        self._header_size = 0

    def write(self, stack: np.ndarray) -> None:
        """Append matrices (b, rows, cols) of one dtype."""
        if not self._count:
            self._shape = stack.shape[1:]
            self._dtype = stack.dtype.newbyteorder("<")
            self._write_header()
            self._header_size = self._file.tell()
        self._count += len(stack)
        self._file.write(np.ascontiguousarray(stack, self._dtype).data)

    def finish(self) -> None:
        """Fill in the number of matrices."""
        self._file.seek(0)
        self._write_header()
        # NumPy pads the header so that the first axis can grow in place.
        assert self._file.tell() == self._header_size
        self._file.seek(0, io.SEEK_END)

    def close(self) -> None:
        """Nothing of its own to close."""

    def _write_header(self) -> None:
        npy.write_array_header_1_0(
            self._file,
            {
                "descr": npy.dtype_to_descr(self._dtype),
                "fortran_order": False,
                "shape": (self._count, *self._shape),
            },
        )
