"""Write stacks of matrices as MATLAB's ``.mat``, version 5: see `mat_file` for the format."""

from __future__ import annotations

import struct

import numpy as np

from deepmatrixinversion.errors import MatrixFormatError
from deepmatrixinversion.matrices.elements import KEY
from deepmatrixinversion.matrices.sinks import CountedSink

_HEADER = b"MATLAB 5.0 MAT-file, written by deepmatrixinversion".ljust(124) + b"\x00\x01IM"
_CLASS_AND_TYPE = {8: (6, 9), 4: (7, 7)}  # of double and single
_MOST = 2**31 - 1  # bytes that MATLAB reads from an array in this version


class MatSink(CountedSink):
    """A ``.mat`` file with one array "matrices" (rows, columns, count), not deflated."""

    suffix = ".mat"

    def arranged(self, stack: np.ndarray) -> np.ndarray:
        """Column by column; refused where MATLAB would not read so many."""
        if self._count * self._shape[0] * self._shape[1] * self._dtype.itemsize > _MOST:
            raise MatrixFormatError(
                f"{self._name}: a .mat file of this version holds 2 GiB at most; write .npy"
            )
        return stack.transpose(0, 2, 1)

    def finish(self) -> None:
        """Pad the numbers and fill in their number."""
        self._file.write(bytes(-self._file.tell() % 8))
        super().finish()

    def header(self) -> bytes:
        """The file's header, and the array's with its dimensions."""
        rows, cols = self._shape
        size = self._count * rows * cols * self._dtype.itemsize
        kind, number = _CLASS_AND_TYPE[self._dtype.itemsize]
        parts = struct.pack(
            "<IIII IIiiii II8s II",
            *(6, 8, kind, 0),  # flags
            *(5, 12, rows, cols, self._count, 0),  # dimensions, and padding
            *(1, 8, KEY.encode()),  # eight bytes: no padding
            *(number, size % 2**32),
        )
        whole = len(parts) + size + -size % 8
        return _HEADER + struct.pack("<II", 14, whole % 2**32) + parts
