"""A text file in pieces of whole lines, whatever its encoding and its line ends."""

from __future__ import annotations

import codecs
import warnings

from deepmatrixinversion.errors import MatrixFormatError, MatrixFormatWarning, printable
from deepmatrixinversion.matrices.input_file import InputFile

CHUNK = 2**20  # bytes parsed at a time: small enough for the cache
LONGEST_LINE = 64 * 2**20  # bytes: about three million numbers


class LineChunks:
    """Whole lines of a file, about ``CHUNK`` bytes at a time, in ASCII or UTF-8.

    A byte-order mark is taken away, and UTF-16 (with or without one) becomes UTF-8: spreadsheets
    write either. The last line gets its newline.

    Attributes
    ----------
    position : int
        Bytes read so far.
    line : int
        Lines handed out so far.
    ended : bool
        Nothing follows what was handed out.
    """

    def __init__(self, source: InputFile) -> None:
        self._source = source
        self._tail = b""  # the beginning of a line whose rest has not been read
        self._decoder: codecs.IncrementalDecoder | None = None
        self._unterminated = False
        self.position = 0
        self.line = 0
        self.ended = False

    def read(self) -> bytes:
        """Return the next lines; nothing at the end."""
        text = self._lines()
        self.line += text.count(b"\n")
        return text

    def warn_if_cut(self) -> None:
        """Warn where the last line has no newline: the number at its end may be half of one."""
        if self._unterminated:
            warnings.warn(
                f"{printable(self._source.name)}: line {self.line}: the file does not end in a"
                " newline; if it was cut off, its last number is wrong",
                MatrixFormatWarning,
                stacklevel=2,
            )

    def _lines(self) -> bytes:
        pieces, length = [self._tail], len(self._tail)
        while not self.ended:
            piece = self._piece()
            cut = piece.rfind(b"\n") + 1
            if cut:
                pieces.append(piece[:cut])
                self._tail = piece[cut:]
                return b"".join(pieces)
            pieces.append(piece)
            length += len(piece)
            if length > LONGEST_LINE:
                raise MatrixFormatError(
                    f"{self._source.name}: line {self.line + 1}: the line is longer than"
                    f" {LONGEST_LINE // 2**20} MiB; is this a text file of matrices?"
                )
        self._tail = b""
        text = b"".join(pieces)
        if not text:
            return b""
        self._unterminated = bool(text.strip())
        return text + b"\n"

    def _piece(self) -> bytes:
        """Read and decode; sets ``ended``."""
        first = self.position == 0
        piece = self._source.file.read(max(CHUNK, 4))
        self.position += len(piece)
        self.ended = not piece
        if first:
            encoding = _encoding(piece)
            if encoding != "utf-8":
                self._decoder = codecs.getincrementaldecoder(encoding)()
            piece = piece.removeprefix(codecs.BOM_UTF8)
        if self._decoder is None:
            return piece
        try:
            return self._decoder.decode(piece, final=self.ended).encode()
        except UnicodeError as error:
            raise MatrixFormatError(
                f"{self._source.name}: line {self.line + 1}: the text is neither UTF-8 nor whole"
                " UTF-16"
            ) from error


def _encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # Every other byte of digits in UTF-16 is zero.
    even, odd = head[:64:2], head[1:64:2]
    if len(head) >= 4 and not any(odd) and all(even):
        return "utf-16-le"
    if len(head) >= 4 and not any(even) and all(odd):
        return "utf-16-be"
    return "utf-8"
