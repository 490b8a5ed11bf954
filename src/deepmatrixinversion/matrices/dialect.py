"""How a text file spells its matrices: delimiter, decimal point, header, index column.

One spelling is plain: numbers with a decimal point, commas between them, nothing else. Chunks in
any other are brought to it (:meth:`Dialect.plain`), so that there is one fast parser.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

from deepmatrixinversion.errors import quoted

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "space": " "}
DECIMALS = {"point": ".", "comma": ","}
_IN_NUMBERS = '0123456789+-.eE"#%\r\n'
# Neither a spreadsheet's error (#DIV/0!, #N/A, #WERT!) nor a percentage begins a comment.
_ERROR = rb"(?:[A-Z0/\x80-\xff]+[!?]|N/?[AV])(?=[\s;,\"]|$)"
_COMMENT = re.compile(rb"#(?!%b).*|(?<!\d)%%.*|%%(?!\s*[;,\t\"]|\s*$).*" % _ERROR)
_MINUS = "\N{MINUS SIGN}".encode()
_EXTRA = (b"#", b"%", b'"')


@dataclass(frozen=True)
class Dialect:
    """The spelling of a text file; None is to be found out from its first lines.

    Parameters
    ----------
    delimiter : str, optional
        What stands between numbers: one character; a space is any number of spaces and tabs.
    decimal : str, optional
        ``"."`` or ``","``.
    skip_header : int, optional
        Lines before the first matrix.
    index_column : bool, optional
        Whether the first field of a row is its label.

    Notes
    -----
    Comments (from ``#`` or ``%`` to the end of the line), double quotes around fields, and empty
    fields at the end of a line are left out in every dialect.

    Examples
    --------
    >>> Dialect(";", ",", 1, False).plain(b"x;y\\n0,5;1\\n", 0)
    b'\\n0.5,1\\n'
    """

    delimiter: str | None = None
    decimal: str | None = None
    skip_header: int | None = None
    index_column: bool | None = None

    def __post_init__(self) -> None:
        d = self.delimiter
        if d is not None and (len(d) != 1 or not d.isascii() or d in _IN_NUMBERS):
            raise ValueError(
                f"delimiter is {quoted(d)}: it must be one ASCII character that is no part of"
                " a number"
            )
        if self.decimal not in (None, ".", ","):
            raise ValueError(f"decimal is {quoted(self.decimal)}: it must be '.' or ','")
        if self.skip_header is not None and self.skip_header < 0:
            raise ValueError(f"skip_header is {self.skip_header}: it must not be negative")

    def described(self) -> str:
        """What differs from plain numbers with commas between them, in words, or nothing.

        >>> Dialect(";", ",", 1, False).described()
        'semicolons between numbers, decimal commas, 1 line of header'
        """
        names = {character: f"{name}s" for name, character in DELIMITERS.items()}
        delimiter, lines = self.delimiter or ",", self.skip_header or 0
        said = {
            f"{names.get(delimiter, quoted(delimiter))} between numbers": delimiter != ",",
            "decimal commas": self.decimal == ",",
            f"{lines} line{'s' * (lines > 1)} of header": lines,
            "a column of labels": self.index_column,
        }
        return ", ".join(words for words, holds in said.items() if holds)

    def fields(self, line: bytes) -> list[bytes]:
        """The numbers of a line as they are spelled, or ``[b"END"]``, or nothing."""
        fields = self.all_fields(line)
        if not self.index_column or fields in ([], [b"END"]):
            return fields
        return fields[1:] or [b""]  # a label without numbers is no empty line

    def all_fields(self, line: bytes) -> list[bytes]:
        """The same with the index column."""
        line = _COMMENT.sub(b"", line)
        if line.strip() in (b"", b"END"):
            return [b"END"] if line.strip() else []
        delimiter = self.delimiter or ","
        if b'"' in line:
            fields = _unquoted(line, delimiter)
        elif delimiter == " ":
            fields = line.replace(b"\t", b" ").split(b" ")
        else:
            fields = line.split(delimiter.encode())
        fields = [field.strip() for field in fields]
        if delimiter == " ":
            return [field for field in fields if field]
        while fields and not fields[-1]:  # spreadsheets fill rows up to the longest one
            fields.pop()
        return fields

    def number(self, field: bytes) -> float | None:
        """The nearest float64, or None; NaN and infinities are numbers here."""
        if self.decimal == ",":
            if b"." in field:
                return None  # parts thousands, or is a mistake
            field = field.replace(b",", b".")
        field = field.replace(_MINUS, b"-")
        try:
            # Python reads 1_000, which no other program does: more likely a damaged file.
            return None if b"_" in field else float(field)
        except ValueError:
            return None

    def plain(self, chunk: bytes, before: int) -> bytes:
        """Spell whole lines plainly, each in its place; ``before`` lines came before them.

        What is no number in this dialect is none in the plain one.
        """
        header = max(0, (self.skip_header or 0) - before)
        is_plain = (self.delimiter, self.decimal, self.index_column) == (",", ".", False)
        if is_plain and not header and not any(mark in chunk for mark in _EXTRA):
            return chunk
        lines = chunk.split(b"\n")
        return b"\n".join(
            b"" if number < header else self._plain_line(line) for number, line in enumerate(lines)
        )

    def _plain_line(self, line: bytes) -> bytes:
        fields = self.fields(line)
        if self.decimal == "," or any(b"," in field for field in fields):
            exchange = bytes.maketrans(b",.", b".!" if self.decimal == "," else b"!.")
            fields = [field.translate(exchange) for field in fields]
        return b"!" if fields == [b""] else b",".join(fields)


def _unquoted(line: bytes, delimiter: str) -> list[bytes]:
    """The fields of a line some of which are in double quotes."""
    if line.count(b'"') % 2:
        return [line]
    try:
        # Latin-1 keeps every byte.
        row = next(csv.reader([line.strip().decode("latin-1")], delimiter=delimiter))
    except csv.Error:  # a carriage return within, a field of more than 128 KiB
        return [line]
    return [field.encode("latin-1") for field in row]
