"""Files read side by side: matrices, the true answers, right-hand sides."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from deepmatrixinversion.matrices import MatrixReader


class Beside:
    """The matrices of a second file, as many at a time as the first one's blocks have.

    Parameters
    ----------
    reader, source : MatrixReader
        The second file and the first.
    what : str
        What its matrices are, for messages.
    constant : bool
        The file's one matrix serves for all.
    """

    def __init__(
        self, reader: MatrixReader, source: MatrixReader, what: str, *, constant: bool = False
    ) -> None:
        self._reader = reader
        self._source = source
        self._what = what
        self._seen = 0
        self._waiting = next(reader)
        self._constant = constant

    def take(self, count: int) -> np.ndarray:
        """The next ``count``."""
        if self._constant:
            return np.broadcast_to(self._waiting, (count, *self._waiting.shape[1:]))
        while len(self._waiting) < count:
            more = next(self._reader, None)
            if more is None:
                raise self._uneven(self._reader, self._seen + len(self._waiting), self._source)
            self._waiting = np.concatenate([self._waiting, more]) if len(self._waiting) else more
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        self._seen += count
        return taken

    def end(self) -> None:
        """Refuse a file that goes on after the first has ended."""
        if not self._constant and (len(self._waiting) or next(self._reader, None) is not None):
            raise self._uneven(self._source, self._seen, self._reader)

    def _uneven(self, short: MatrixReader, count: int, long: MatrixReader) -> ValueError:
        return ValueError(
            f"{short.name} ends after {count} matrices, but {long.name} goes on: there must be one "
            f"{self._what} for each matrix"
        )


def side_by_side(
    source: MatrixReader, others: list[Beside | None]
) -> Iterator[tuple[np.ndarray | None, ...]]:
    """Blocks of the source, each with as many matrices of the others; None where there is none."""
    for block in source:
        yield (block, *(None if o is None else o.take(len(block)) for o in others))
    for other in others:
        if other is not None:
            other.end()
