"""``.npy`` files that several processes read and write at once, each its own part."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from deepmatrixinversion.atomic import atomic_write
from deepmatrixinversion.errors import MatrixFormatError
from deepmatrixinversion.linalg.engine import Inversion
from deepmatrixinversion.matrices.elements import as_elements, element_type
from deepmatrixinversion.matrices.npy_file import check_size, fill, read_header


class NpySource(NamedTuple):
    """The matrices of a ``.npy`` file in C order."""

    name: str
    shape: tuple[int, int, int]
    dtype: np.dtype
    granule: int
    stored: str
    offset: int

    @classmethod
    def of(cls, path: str) -> NpySource:
        """The file at ``path``.

        Raises
        ------
        MatrixFormatError
            for another format, a file of another size than its header says, and Fortran order
        """
        with open(path, "rb") as file:
            header = read_header(file, path)
            offset = file.tell()
            size = file.seek(0, os.SEEK_END) - offset
        check_size(header, size, path)
        if header.fortran:
            raise MatrixFormatError(
                f"{path}: an array in Fortran order is not read in parts; save it in C order"
            )
        dtype = element_type(header.dtype, path)
        return cls(path, header.shape, dtype, 1, header.dtype.str, offset)

    def read(self, start: int, stop: int) -> NDArray:
        """Matrices ``start`` to ``stop`` - 1."""
        block = np.empty((stop - start, *self.shape[1:]), np.dtype(self.stored))
        with open(self.name, "rb") as file:
            file.seek(self.offset + start * block[:1].nbytes)
            if fill(file, block) < block.nbytes:
                raise MatrixFormatError(f"{self.name}: the file became shorter while it was read")
        return as_elements(block, self.name, start)


class NpySink(NamedTuple):
    """A file whose header is written, and whose matrices go to their places."""

    path: str
    offset: int

    def kept(self, number: int, start: int, A: NDArray) -> Inversion | None:
        """Nothing: what an earlier run had begun is gone."""
        return None

    def write(self, number: int, start: int, A: NDArray, result: Inversion) -> None:
        """Inverses alone."""
        X = np.ascontiguousarray(result.inverse, result.inverse.dtype.newbyteorder("<"))
        with open(self.path, "r+b") as file:
            file.seek(self.offset + start * X[:1].nbytes)
            file.write(X.data)


@contextlib.contextmanager
def npy_parts(path: str, shape: tuple[int, int, int], dtype: np.dtype) -> Iterator[NpySink]:
    """A `NpySink` that becomes the file at ``path`` when the block ends well, or nothing."""
    with atomic_write(path) as file:
        if not isinstance(file.name, str):
            raise MatrixFormatError(f"{path}: only a file can be written by several processes")
        descr = npy.dtype_to_descr(dtype.newbyteorder("<"))
        npy.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
        file.flush()
        offset = file.tell()
        file.truncate(offset + dtype.itemsize * int(np.prod(shape)))
        yield NpySink(file.name, offset)
