"""A deflated part of a file, unpacked as it is read."""

from __future__ import annotations

import zlib
from typing import BinaryIO


class Inflated:
    """What the next ``size`` bytes of ``file`` unpack to, read from front to back."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size
        self._inflate = zlib.decompressobj()

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; fewer only at the end."""
        pieces, wanted = [], size
        while wanted and not self._inflate.eof:
            packed = self._inflate.unconsumed_tail
            if not packed:
                packed = self._file.read(min(self._left, 2**16))
                self._left -= len(packed)
            piece = self._inflate.decompress(packed, wanted)
            if not (piece or packed):
                break
            pieces.append(piece)
            wanted -= len(piece)
        return b"".join(pieces)

    def tell(self) -> int:
        """Not known: nothing is to be read anew."""
        return 0
