"""Read and write stacks of matrices as ``.safetensors``."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np

from deepmatrixinversion.errors import MatrixFormatError, listed, printable, quoted
from deepmatrixinversion.matrices.elements import stack_shape
from deepmatrixinversion.matrices.input_file import InputFile
from deepmatrixinversion.matrices.npy_file import ArrayBlocks, Header
from deepmatrixinversion.matrices.sinks import CountedSink

KEY = "matrices"
_READABLE = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BOOL": "?", "I8": "<i1", "I16": "<i2", "I32": "<i4",
    "I64": "<i8", "U8": "<u1", "U16": "<u2", "U32": "<u4", "U64": "<u8",
}  # fmt: skip
_LONGEST_HEADER = 2**20  # some ten thousand tensors
_HEADER = 256  # bytes that a file written here spends before its numbers


class SafetensorsBlocks:
    """The matrices of a ``.safetensors`` file: its tensor "matrices", or the only one it has.

    The header is parsed here and the numbers are read where they are wanted: the library would map
    the file into memory, and a map of a file that shrinks kills the process.
    """

    def __init__(self, source: InputFile) -> None:
        self._name, self._size = source.name, source.size
        if source.size is None:
            raise MatrixFormatError(
                f"{source.name}: a .safetensors file cannot be read from a pipe"
            )
        length = int.from_bytes(source.file.read(8), "little")
        if length > min(_LONGEST_HEADER, source.size - 8):
            raise self._invalid(f"it declares a header of {length} bytes")
        tensors = self._parse(source.file.read(length))
        keys = list(tensors)
        if KEY not in keys and len(keys) != 1:
            raise MatrixFormatError(
                f"{source.name}: the file holds {len(keys)} tensors ({listed(keys)}); name"
                f" the one to be read '{KEY}'"
            )
        header, begin = self._header(tensors[KEY if KEY in keys else keys[0]])
        self._check_cover(tensors, source.size - 8 - length)
        source.file.seek(8 + length + begin)
        self._array = ArrayBlocks(source.file, header, source.name, seekable=True, last=False)
        self.count, self.rows, self.cols = header.shape

    @property
    def position(self) -> int:
        """Bytes up to the end of the matrices read so far."""
        return self._array.position

    def read(self, limit: int) -> np.ndarray:
        """Return the next ``limit`` matrices, or as many as are left."""
        return self._array.read(limit)

    def close(self) -> None:
        """Nothing of its own to close."""

    def _invalid(self, why: str) -> MatrixFormatError:
        return MatrixFormatError(f"{self._name}: the file is no valid .safetensors file: {why}")

    def _parse(self, text: bytes) -> dict[str, dict[str, Any]]:
        """The tensors' entries of the header, by name."""

        def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            table = dict(pairs)
            if len(table) < len(pairs):
                raise ValueError("a key occurs twice")
            return table

        try:
            header = json.loads(text, object_pairs_hook=unique)
        except RecursionError:
            raise self._invalid("its header is nested too deep") from None
        except ValueError as error:
            raise self._invalid(f"its header is no JSON ({printable(error)})") from error
        if not isinstance(header, dict):
            raise self._invalid("its header is no table")
        header.pop("__metadata__", None)
        for key, tensor in header.items():
            if not _is_tensor(tensor):
                raise self._invalid(f"its header is wrong about {quoted(key)}")
        return header

    def _header(self, tensor: dict[str, Any]) -> tuple[Header, int]:
        """Shape, dtype and place of one tensor."""
        if tensor["dtype"] not in _READABLE:
            raise MatrixFormatError(
                f"{self._name}: entries of type {printable(tensor['dtype'])} are not supported;"
                " store F64 or F32"
            )
        dtype = np.dtype(_READABLE[tensor["dtype"]])
        begin, end = tensor["data_offsets"]
        if math.prod(tensor["shape"]) * dtype.itemsize != end - begin:
            raise self._invalid(f"{end - begin} bytes for a tensor of shape {tensor['shape'][:9]}")
        return Header(stack_shape(tensor["shape"], self._name), dtype, fortran=False), begin

    def _check_cover(self, tensors: dict[str, dict[str, Any]], size: int) -> None:
        """The tensors follow each other without gaps, and the file ends with the last."""
        at = 0
        for begin, end in sorted(tensor["data_offsets"] for tensor in tensors.values()):
            if begin != at or end < begin:
                raise self._invalid("its tensors overlap or leave gaps")
            at = end
        if at != size:
            raise self._invalid(f"the header declares {at} bytes of numbers, {size} follow it")


def _is_tensor(tensor: Any) -> bool:
    """Is this an entry of a header, with its three keys and their types?"""
    if not isinstance(tensor, dict) or set(tensor) != {"dtype", "shape", "data_offsets"}:
        return False
    shape, offsets = tensor["shape"], tensor["data_offsets"]
    if not (isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2):
        return False
    # JSON's true is an int in Python; a size beyond 2^63 is no file's.
    whole = all(type(number) is int and 0 <= number < 2**63 for number in [*shape, *offsets])
    return whole and len(shape) < 100 and isinstance(tensor["dtype"], str)


class SafetensorsSink(CountedSink):
    """A ``.safetensors`` file with one tensor "matrices" (count, rows, cols), F32 or F64."""

    suffix = ".safetensors"

    def finish(self) -> None:
        """Fill in the header."""
        self._file.seek(0)
        self.write_header()
        self._file.seek(0, io.SEEK_END)

    def write_header(self) -> None:
        """Padded with spaces, as the format allows."""
        size = self._count * math.prod(self._shape) * self._dtype.itemsize
        tensor = {
            "dtype": f"F{8 * self._dtype.itemsize}",
            "shape": [self._count, *self._shape],
            "data_offsets": [0, size],
        }
        header = json.dumps({KEY: tensor}, separators=(",", ":")).encode().ljust(_HEADER - 8)
        assert len(header) == _HEADER - 8
        self._file.write(len(header).to_bytes(8, "little") + header)
