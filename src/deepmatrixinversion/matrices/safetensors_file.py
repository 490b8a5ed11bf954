"""Read and write stacks of matrices as ``.safetensors``."""

from __future__ import annotations

import io
import json
from typing import BinaryIO

import numpy as np
from safetensors import SafetensorError, safe_open

from deepmatrixinversion.errors import MatrixFormatError
from deepmatrixinversion.matrices.elements import as_elements, stack_shape
from deepmatrixinversion.matrices.input_file import InputFile

KEY = "matrices"
_READABLE = {"F64", "F32", "F16", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "BOOL"}
_HEADER = 256  # bytes that a file written here spends before its numbers


class SafetensorsBlocks:
    """The matrices of a ``.safetensors`` file: its tensor "matrices", or the only one it has."""

    def __init__(self, source: InputFile) -> None:
        self._source = source
        if source.size is None:
            raise MatrixFormatError(
                f"{source.name}: a .safetensors file cannot be read from a pipe"
            )
        try:
            # The library checks the header: its length, the offsets, that they cover the file.
            self._file = safe_open(source.name, framework="numpy")
        except SafetensorError as error:
            raise MatrixFormatError(
                f"{source.name}: the file is no valid .safetensors file ({error})"
            ) from error
        keys = list(self._file.keys())
        if KEY not in keys and len(keys) != 1:
            some = ", ".join(keys[:5]) or "none"
            raise MatrixFormatError(
                f"{source.name}: the file holds {len(keys)} tensors ({some}); name the one to be"
                f" read '{KEY}'"
            )
        self._tensor = self._file.get_slice(KEY if KEY in keys else keys[0])
        dtype = self._tensor.get_dtype()
        if dtype not in _READABLE:
            raise MatrixFormatError(
                f"{source.name}: entries of type {dtype} are not supported; store F64 or F32"
            )
        shape = self._tensor.get_shape()
        self.count, self.rows, self.cols = stack_shape(shape, source.name)
        self._single = len(shape) == 2
        self._next = 0

    @property
    def position(self) -> int:
        """Bytes that the matrices read so far take, as a share of the file."""
        return (self._source.size or 0) * self._next // self.count

    def read(self, limit: int) -> np.ndarray:
        """Return the next ``limit`` matrices, or as many as are left."""
        first, last = self._next, min(self._next + limit, self.count)
        if first == last:
            return np.empty((0, self.rows, self.cols))
        block = self._tensor[:][np.newaxis] if self._single else self._tensor[first:last]
        self._next = last
        return as_elements(block, self._source.name, first)

    def close(self) -> None:
        """Let go of the mapped file."""
        del self._tensor, self._file


class SafetensorsSink:
    """A ``.safetensors`` file with one tensor "matrices" (count, rows, cols), F32 or F64."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        if not file.seekable():
            raise MatrixFormatError(
                f"{name}: a .safetensors file begins with the number of matrices, so it cannot be"
                " streamed; write .mx instead"
            )
        self._file = file
        self._count = 0
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype(np.float64)

    def write(self, stack: np.ndarray) -> None:
        """Append matrices (b, rows, cols) of one dtype."""
        if not self._count:
            self._shape = stack.shape[1:]
            self._dtype = stack.dtype.newbyteorder("<")
            self._file.write(bytes(_HEADER))
        self._count += len(stack)
        self._file.write(np.ascontiguousarray(stack, self._dtype).data)

    def finish(self) -> None:
        """Fill in the header, padded with spaces as the format allows."""
        size = self._file.tell() - _HEADER
        tensor = {
            "dtype": f"F{8 * self._dtype.itemsize}",
            "shape": [self._count, *self._shape],
            "data_offsets": [0, size],
        }
        header = json.dumps({KEY: tensor}, separators=(",", ":")).encode().ljust(_HEADER - 8)
        assert len(header) == _HEADER - 8
        self._file.seek(0)
        self._file.write(len(header).to_bytes(8, "little") + header)
        self._file.seek(0, io.SEEK_END)

    def close(self) -> None:
        """Nothing of its own to close."""
