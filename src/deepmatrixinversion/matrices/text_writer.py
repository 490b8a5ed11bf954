"""Write matrices as text: rows of comma-separated decimals, a line END after each matrix."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import orjson

from deepmatrixinversion.matrices.sinks import Sink

_NUMBERS = 2**16  # turned into text at a time: about 1 MB, which the cache still holds


class MxSink(Sink):
    """A ``.mx`` file: LF line ends, END after every matrix.

    Each number is the shortest decimal that reads back as the same float64. A float32 is written
    as the float64 of the same value, so that reading, which gives float64, is exact for it too.
    NaN and infinities are written as ``nan``, ``inf`` and ``-inf``.
    """

    end_after_single = True
    separator = b","

    def write(self, stack: np.ndarray) -> None:
        """Append matrices (b, rows, cols)."""
        for piece in _pieces(stack):
            if self._count:
                # END is held back until something follows: one matrix alone may go without.
                self._file.write(b"\nEND\n")
            if len(piece) == 1:
                self._write_rows(piece[0])
            else:
                self._file.write(self._spelled(piece))
            self._count += len(piece)

    def finish(self) -> None:
        """Complete the file."""
        ended = self.end_after_single or self._count > 1
        self._file.write(b"\nEND\n" if ended else b"\n")

    def _write_rows(self, matrix: np.ndarray) -> None:
        """Write one matrix, which may be too large to be turned into text at once."""
        step = max(1, _NUMBERS // matrix.shape[1])
        for start in range(0, len(matrix), step):
            if start:
                self._file.write(b"\n")
            self._file.write(self._spelled(matrix[np.newaxis, start : start + step]))

    def _spelled(self, stack: np.ndarray) -> bytes:
        text = _text(stack)
        return text if self.separator == b"," else text.replace(b",", self.separator)


class CsvSink(MxSink):
    """A ``.csv`` file: as ``.mx``, but without END where it holds a single matrix."""

    end_after_single = False


class TsvSink(CsvSink):
    """A ``.tsv`` file: as ``.csv``, with tabs."""

    separator = b"\t"


class TxtSink(CsvSink):
    """A ``.txt`` file: as ``.csv``, with spaces, as ``numpy.loadtxt`` reads it."""

    separator = b" "


def _pieces(stack: np.ndarray) -> Iterator[np.ndarray]:
    step = max(1, _NUMBERS // (stack.shape[1] * stack.shape[2]))
    for start in range(0, len(stack), step):
        yield stack[start : start + step]


def _text(stack: np.ndarray) -> bytes:
    """Return the text of a stack, without its last END.

    orjson writes a million 3x3 matrices in 0.9 s; ``repr`` takes 7.6 s and ``savetxt`` 11 s (one
    core of a 2020s Xeon).
    """
    stack = np.ascontiguousarray(stack, np.float64)
    if np.isfinite(stack).all():
        json = orjson.dumps(stack, option=orjson.OPT_SERIALIZE_NUMPY)
        return json[3:-3].replace(b"]],[[", b"\nEND\n").replace(b"],[", b"\n")
    # JSON has no NaN: orjson would write null.
    matrices = ("\n".join(",".join(map(repr, row)) for row in m) for m in stack.tolist())
    return "\nEND\n".join(matrices).encode()
