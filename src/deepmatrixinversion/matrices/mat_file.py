"""Read and write stacks of matrices as MATLAB's ``.mat``, versions 5 to 7.

As in MATLAB the matrices of a stack are pages: matrix k of A (rows, columns, count) is A(:, :, k).
The format (MathWorks, "MAT-File Format", 2024) is a row of elements, each with its type and size;
an array is an element of elements: flags, dimensions, name, numbers. An element may be deflated.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from deepmatrixinversion.errors import MatrixFormatError, printable
from deepmatrixinversion.matrices.blocks import WholeArray
from deepmatrixinversion.matrices.elements import as_elements, chosen, stack_shape
from deepmatrixinversion.matrices.inflated import Inflated
from deepmatrixinversion.matrices.input_file import InputFile
from deepmatrixinversion.matrices.memory import check_memory
from deepmatrixinversion.matrices.npy_file import ArrayBlocks, Header

_TYPES = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_ARRAY, _DEFLATED = 14, 15
_SPARSE, _SINGLE, _NUMERIC = 5, 7, range(5, 16)  # classes of arrays: sparse, double, single, ints
_COMPLEX = 0x0800
_MOST_ELEMENTS = 10_000
_LONGEST = 2**12  # bytes of a name, of dimensions
_MOST_SQUEEZED, _LARGE = 200, 2**30  # as for .npz


class _Variable(NamedTuple):
    """A numeric array of the file; its numbers follow in ``stream``."""

    name: str
    kind: int
    is_complex: bool
    shape: tuple[int, ...]
    stream: BinaryIO
    packed: int  # bytes that it takes in the file


class _Damaged(Exception):
    """The file is no valid ``.mat`` file; the text says why."""


def read_mat(source: InputFile) -> _Pages | WholeArray:
    """The matrices of a ``.mat`` file: its array "matrices", or the only numeric one."""
    name = source.name
    whole = source.whole_size(".mat")
    try:
        order = _byte_order(source.file.read(128), name)
        found = {
            at: v.name
            for at in _places(source, whole, order)
            if (v := _variable(source, at, order))
        }
        place = list(found)[chosen(list(found.values()), "numeric arrays", name)]
        variable = cast(_Variable, _variable(source, place, order))
        if variable.is_complex:
            as_elements(np.empty((1, 1, 1), complex), name)  # refuses, with advice
        size = 8 * math.prod(variable.shape)
        if size > max(_LARGE, _MOST_SQUEEZED * variable.packed) and variable.kind != _SPARSE:
            raise _Damaged(f"{variable.packed} bytes for an array of {size}")
        if variable.kind == _SPARSE:
            check_memory(name, 3 * size, f"its array {printable(variable.name)}")
            return WholeArray(_dense(variable, order), source)
        return _Pages(variable, order, source)
    except (_Damaged, zlib.error, struct.error) as error:
        raise MatrixFormatError(f"{name}: no valid .mat file: {printable(error)}") from error


class _Pages(ArrayBlocks):
    """The matrices of a full array, one after the other, each column after column."""

    def __init__(self, variable: _Variable, order: str, source: InputFile) -> None:
        shape = variable.shape
        # The last axis counts: (rows, columns, count).
        stack_axes = (shape[2], *shape[:2]) if len(shape) == 3 else shape
        count, rows, cols = stack_shape(stack_axes, source.name)
        dtype, size, stream = _numbers(variable.stream, order)
        if size != dtype.itemsize * math.prod(shape):
            raise _Damaged(f"{size} bytes for an array of shape {shape}")
        header = Header((count, cols, rows), dtype, fortran=False)
        super().__init__(stream, header, source.name, seekable=False, last=False)
        self.rows, self.cols = rows, cols
        self._stored = np.float32 if variable.kind == _SINGLE else np.float64
        self._size = source.size or 0

    @property
    def position(self) -> int:
        return self._size * self._next // self._header.shape[0]

    def read(self, limit: int) -> np.ndarray:
        try:
            block = super().read(limit)
        except zlib.error as error:
            raise MatrixFormatError(f"{self._name}: no valid .mat file: {error}") from error
        return np.ascontiguousarray(block.transpose(0, 2, 1), self._stored)


def _byte_order(head: bytes, name: str) -> str:
    order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
    if order is None:
        raise _Damaged("it does not begin as one of version 5 to 7 does")
    (version,) = struct.unpack(order + "H", head[124:126])
    if version != 0x0100:
        raise MatrixFormatError(
            f"{name}: this version of .mat is not read (7.3 is HDF5); in MATLAB:"
            " save('a.mat', 'A', '-v7')"
        )
    return order


def _places(source: InputFile, size: int, order: str) -> Iterator[int]:
    """Where the elements of the file begin."""
    at = 128
    for _ in range(_MOST_ELEMENTS):
        if at >= size:
            return
        source.file.seek(at)
        _, length = struct.unpack(order + "II", source.file.read(8))
        if at + 8 + length > size:
            raise _Damaged("it ends within an element")
        yield at
        at += 8 + length
    raise _Damaged(f"it has more than {_MOST_ELEMENTS} elements")


def _variable(source: InputFile, at: int, order: str) -> _Variable | None:
    """The array that begins at ``at``, unless what is there is none of numbers."""
    source.file.seek(at)
    kind, packed = struct.unpack(order + "II", source.file.read(8))
    stream = source.file
    if kind == _DEFLATED:
        stream = cast(BinaryIO, Inflated(source.file, packed))
        kind, _ = struct.unpack(order + "II", stream.read(8))
    if kind != _ARRAY:
        return None
    flags = _small(stream, order)
    (word,) = struct.unpack_from(order + "I", flags)
    if word & 0xFF not in _NUMERIC:
        return None
    dimensions = _small(stream, order)
    shape = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions)
    if min(shape, default=-1) < 0:
        raise _Damaged("an array without dimensions")
    name = _small(stream, order).decode("ascii", "backslashreplace")
    return _Variable(name, word & 0xFF, bool(word & _COMPLEX), shape, stream, packed)


def _tag(stream: BinaryIO, order: str) -> tuple[int, int, bytes | None]:
    """Type, size and, of small elements, the bytes themselves."""
    tag = stream.read(8)
    kind, size = struct.unpack(order + "II", tag)
    if kind >> 16:  # four bytes at most stand in the tag
        if kind >> 16 > 4:
            raise _Damaged("an element of an impossible size")
        return kind & 0xFFFF, kind >> 16, tag[4 : 4 + (kind >> 16)]
    return kind, size, None


def _small(stream: BinaryIO, order: str) -> bytes:
    """The bytes of a short element: flags, dimensions or a name."""
    _, size, data = _tag(stream, order)
    if data is None:
        if size > _LONGEST:
            raise _Damaged("an element of an impossible size")
        data = stream.read(size + -size % 8)[:size]
        if len(data) < size:
            raise _Damaged("it ends within an array")
    return data


def _numbers(stream: BinaryIO, order: str) -> tuple[np.dtype, int, BinaryIO]:
    """Dtype, size in bytes and stream of an element of numbers."""
    kind, size, data = _tag(stream, order)
    if kind not in _TYPES:
        raise _Damaged(f"numbers of the unknown type {kind}")
    return np.dtype(order + _TYPES[kind]), size, stream if data is None else io.BytesIO(data)


def _dense(variable: _Variable, order: str) -> np.ndarray:
    """A sparse array, in full."""
    if len(variable.shape) != 2:
        raise _Damaged("a sparse array that is no matrix")
    rows, cols = variable.shape
    parts = []
    for most in (None, cols + 1, None):
        dtype, size, stream = _numbers(variable.stream, order)
        if size > 16 * (rows * cols + cols + 1) or (most and size != most * dtype.itemsize):
            raise _Damaged("a sparse array with too many entries")
        data = stream.read(size)
        if stream is variable.stream:
            stream.read(-size % 8)
        if len(data) < size or size % dtype.itemsize:
            raise _Damaged("it ends within an array")
        parts.append(np.frombuffer(data, dtype))
    row, starts, values = parts
    starts = starts.astype(np.int64)
    entries = int(starts[-1])
    ordered = starts[0] == 0 and (np.diff(starts) >= 0).all()
    if not (ordered and entries <= min(len(row), len(values))):
        raise _Damaged("a sparse array whose columns overlap")
    row = row[:entries].astype(np.int64)
    if entries and not (row.min() >= 0 and row.max() < rows):
        raise _Damaged("an entry outside its matrix")
    matrix = np.zeros((rows, cols))
    matrix[row, np.repeat(np.arange(cols), np.diff(starts))] = values[:entries]
    return matrix
