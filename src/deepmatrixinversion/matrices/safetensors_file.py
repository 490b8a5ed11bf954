"""Read and write stacks of matrices as ``.safetensors``."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from deepmatrixinversion.errors import MatrixFormatError, printable, quoted
from deepmatrixinversion.matrices.elements import KEY, chosen, stack_shape
from deepmatrixinversion.matrices.input_file import InputFile
from deepmatrixinversion.matrices.npy_file import ArrayBlocks, Header
from deepmatrixinversion.matrices.sinks import CountedSink

_READABLE = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BOOL": "?", "I8": "<i1", "I16": "<i2", "I32": "<i4",
    "I64": "<i8", "U8": "<u1", "U16": "<u2", "U32": "<u4", "U64": "<u8",
}  # fmt: skip
_LONGEST_HEADER = 2**20  # some ten thousand tensors
_HEADER = 256  # bytes that a file written here spends before its numbers


def read_safetensors(source: InputFile) -> ArrayBlocks:
    """The matrices of a ``.safetensors`` file: its tensor "matrices", or the only one it has.

    The header is parsed here and the numbers are read where they are wanted: the library would map
    the file into memory, and a map of a file that shrinks kills the process.
    """
    size = source.whole_size(".safetensors")
    length = int.from_bytes(source.file.read(8), "little")
    try:
        if length > min(_LONGEST_HEADER, size - 8):
            raise _Invalid(f"it declares a header of {length} bytes")
        tensors = _parsed(source.file.read(length))
        key = list(tensors)[chosen(list(tensors), "tensors", source.name)]
        header, begin = _header(tensors[key], source.name)
        _check_cover(tensors, size - 8 - length)
    except _Invalid as error:
        raise MatrixFormatError(
            f"{source.name}: the file is no valid .safetensors file: {error}"
        ) from error
    source.file.seek(8 + length + begin)
    return ArrayBlocks(source.file, header, source.name, seekable=True, last=False)


class _Invalid(Exception):
    """The file is no valid ``.safetensors`` file; the text says why."""


def _parsed(text: bytes) -> dict[str, dict[str, Any]]:
    """The tensors' entries of the header, by name."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) < len(pairs):
            raise ValueError("a key occurs twice")
        return table

    try:
        header = json.loads(text, object_pairs_hook=unique)
    except RecursionError:
        raise _Invalid("its header is nested too deep") from None
    except ValueError as error:
        raise _Invalid(f"its header is no JSON ({printable(error)})") from error
    if not isinstance(header, dict):
        raise _Invalid("its header is no table")
    header.pop("__metadata__", None)
    for key, tensor in header.items():
        if not _is_tensor(tensor):
            raise _Invalid(f"its header is wrong about {quoted(key)}")
    return header


def _header(tensor: dict[str, Any], name: str) -> tuple[Header, int]:
    """Shape, dtype and place of one tensor."""
    if tensor["dtype"] not in _READABLE:
        raise MatrixFormatError(
            f"{name}: entries of type {printable(tensor['dtype'])} are not supported;"
            " store F64 or F32"
        )
    dtype = np.dtype(_READABLE[tensor["dtype"]])
    begin, end = tensor["data_offsets"]
    if math.prod(tensor["shape"]) * dtype.itemsize != end - begin:
        raise _Invalid(f"{end - begin} bytes for a tensor of shape {tensor['shape'][:9]}")
    return Header(stack_shape(tensor["shape"], name), dtype, fortran=False), begin


def _check_cover(tensors: dict[str, dict[str, Any]], size: int) -> None:
    """The tensors follow each other without gaps, and the file ends with the last."""
    at = 0
    for begin, end in sorted(tensor["data_offsets"] for tensor in tensors.values()):
        if begin != at or end < begin:
            raise _Invalid("its tensors overlap or leave gaps")
        at = end
    if at != size:
        raise _Invalid(f"the header declares {at} bytes of numbers, {size} follow it")


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

    def header(self) -> bytes:
        """Padded with spaces, as the format allows."""
        size = self._count * math.prod(self._shape) * self._dtype.itemsize
        tensor = {
            "dtype": f"F{8 * self._dtype.itemsize}",
            "shape": [self._count, *self._shape],
            "data_offsets": [0, size],
        }
        text = json.dumps({KEY: tensor}, separators=(",", ":")).encode().ljust(_HEADER - 8)
        assert len(text) == _HEADER - 8
        return len(text).to_bytes(8, "little") + text
