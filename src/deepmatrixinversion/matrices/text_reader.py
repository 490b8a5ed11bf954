"""Read matrices from text: rows of comma-separated decimals, a line END after each matrix.

Two parsers do the same: a fast one for well-formed chunks, and one that goes line by line, for
unusual spellings of numbers and to say exactly what is wrong where. The fast one gives up (None)
whenever it is not certain, so all the rules are in the slow one. Other spellings than this one
(semicolons, decimal commas, headers, ...) are a `Dialect`, found out from the first lines.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import orjson

from deepmatrixinversion.errors import MatrixFormatError, printable, quoted
from deepmatrixinversion.matrices.blocks import Blocks
from deepmatrixinversion.matrices.dialect import Dialect
from deepmatrixinversion.matrices.input_file import InputFile
from deepmatrixinversion.matrices.line_chunks import LineChunks
from deepmatrixinversion.matrices.memory import check_memory
from deepmatrixinversion.matrices.sniffing import sniff

# What numbers and the spaces around them are made of; taking it away leaves the separators.
_NUMERIC = b"0123456789+-.eE \t\r"
_TO_COMMA = bytes.maketrans(b"\n;", b",,")
_SPACES = "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}", "\N{RIGHT SINGLE QUOTATION MARK}"
_THOUSANDS = re.compile(
    rb"[+-]?\d{1,3}([.,' ]|%b)\d{3}(\1\d{3})*([.,]\d*)?" % "|".join(_SPACES).encode()
)
_NUMBER_AND_MORE = re.compile(rb"\s*([+-]?\d[\d.,]*?(?:[eE][+-]?\d+)?)(\s*[;|:/\t]|\s|,)")


class _State(NamedTuple):
    """Where in the file a chunk begins."""

    line: int  # lines before it
    matrix: int  # index of the matrix that is being read
    open_rows: int  # rows of that matrix so far
    rows: int | None  # rows a matrix has, once known
    cols: int | None


class _Parsed(NamedTuple):
    values: np.ndarray  # (k, cols)
    ends: np.ndarray  # how many of these rows come before each END


class TextBlocks(Blocks):
    """The matrices of a ``.mx`` or ``.csv`` file.

    Accepts LF and CRLF line ends, also mixed, blank lines, spaces and tabs around numbers, a
    byte-order mark, and a last matrix without END. Numbers become the nearest float64.
    ``count`` is None: only the end of the file tells.

    Raises
    ------
    MatrixFormatError
        With file, matrix and line of what is malformed.
    """

    def __init__(self, source: InputFile) -> None:
        self._source = source
        self._chunks = LineChunks(source)
        self._dialect: Dialect | None = None
        self._state = _State(0, 0, 0, None, None)
        self._buffer = np.empty((0, 0))  # rows that were parsed and not yet handed out
        parts = []
        while self._state.rows is None and (part := self._advance()) is not None:
            parts.append(part)
            self._check_open_matrix()
        if self._state.rows is None or self._state.cols is None:
            raise MatrixFormatError(f"{source.name}: the file holds no matrix")
        self.rows, self.cols = self._state.rows, self._state.cols
        self._buffer = np.concatenate(parts)

    @property
    def position(self) -> int:
        return self._chunks.position

    @property
    def spelling(self) -> str:
        """The dialect in words, where it is not the plain one."""
        return self._dialect.described() if self._dialect else ""

    def read(self, limit: int) -> np.ndarray:
        parts, have = [self._buffer], len(self._buffer)
        while have < limit * self.rows and (part := self._advance()) is not None:
            parts.append(part)
            have += len(part)
        buffer = np.concatenate(parts) if len(parts) > 1 else self._buffer
        cut = min(have // self.rows, limit) * self.rows
        self._buffer = buffer[cut:]
        return buffer[:cut].reshape(-1, self.rows, self.cols)

    def _advance(self) -> np.ndarray | None:
        """Parse the next chunk of whole lines and return its rows (k, cols); None at the end."""
        while not self._chunks.ended:
            state, chunk = self._state, self._chunks.read()
            if self._chunks.line <= (self._source.dialect.skip_header or 0):
                self._state = state._replace(line=self._chunks.line)
                continue
            if self._dialect is None:
                self._dialect = _dialect(chunk, state.line, self._source.dialect)
            parsed = _parse_fast(self._dialect.plain(chunk, state.line), state)
            values, ends = parsed or _parse_lines(chunk, state, self._source, self._dialect)
            open_rows = len(values) - ends[-1] if len(ends) else state.open_rows + len(values)
            rows = state.rows
            if rows is None and len(ends):
                rows = state.open_rows + int(ends[0])
            cols = values.shape[1] if len(values) else state.cols
            state = _State(self._chunks.line, state.matrix + len(ends), int(open_rows), rows, cols)
            self._state = self._finish(state) if self._chunks.ended else state
            if len(values):
                return values
        return None

    def _check_open_matrix(self) -> None:
        """Give up on a first matrix that does not end."""
        _, _, open_rows, rows, cols = self._state
        if rows is not None or cols is None:
            return
        if self._source.square and open_rows > cols:
            raise MatrixFormatError(
                f"{self._source.name}: matrix 0 (line {self._state.line}): more rows than"
                f" {cols} columns, but only square matrices will do here; is END missing?"
                f"{_flattened(cols)}"
            )
        # Joined in the end, the rows take as much again.
        check_memory(self._source.name, 8 * open_rows * cols, "matrix 0 so far")

    def _finish(self, state: _State) -> _State:
        """Close the last matrix, whose END is optional."""
        if not state.open_rows:
            return state
        if state.rows is not None and state.open_rows != state.rows:
            raise MatrixFormatError(
                f"{self._source.name}: matrix {state.matrix} (line {state.line}): the file ends"
                f" after {_rows(state.open_rows)}, where matrix 0 has {state.rows}"
            )
        self._chunks.warn_if_cut()
        return state._replace(rows=state.open_rows, open_rows=0, matrix=state.matrix + 1)


def _dialect(chunk: bytes, before: int, asked: Dialect) -> Dialect:
    """Find out the dialect of a file from its first chunk that is not to be skipped."""
    if asked.skip_header is None:
        return sniff(chunk, asked)
    head = chunk.split(b"\n", asked.skip_header - before)[-1]
    return replace(sniff(head, replace(asked, skip_header=0)), skip_header=asked.skip_header)


def _parse_fast(chunk: bytes, state: _State) -> _Parsed | None:
    """Parse well-formed lines, or return None.

    The numbers of a million 3x3 matrices take orjson 0.9 s, ``numpy.fromstring`` 2.7 s, ``loadtxt``
    3.0 s and ``float`` on every field 3.4 s (one core of a 2020s Xeon; all else here, 0.5 s).
    """
    if b";" in chunk:
        return None
    text = chunk.replace(b"\r\n", b"\n") if b"\r" in chunk else chunk
    while b"\n\n" in text:
        text = text.replace(b"\n\n", b"\n")
    # A row ends in a newline, the last row of a matrix in a semicolon.
    text = (b"\n" + text.lstrip(b"\n")).replace(b"\nEND\n", b";")
    starts_with_end = text.startswith(b";")
    text = text[1:]
    skeleton = text.translate(None, _NUMERIC)
    cols = state.cols or len(skeleton) - len(skeleton.lstrip(b",")) + 1
    count, rest = divmod(len(skeleton), cols)
    if rest or skeleton.replace(b";", b"\n") != (b"," * (cols - 1) + b"\n") * count:
        return None
    ends = np.flatnonzero(np.frombuffer(skeleton, np.uint8)[cols - 1 :: cols] == ord(";")) + 1
    if starts_with_end:
        ends = np.concatenate([[0], ends])
    sizes = np.diff(ends, prepend=-state.open_rows)
    rows = state.rows or (int(sizes[0]) if len(sizes) else None)
    left = count - ends[-1] if len(ends) else count + state.open_rows
    if rows is not None and (rows == 0 or (sizes != rows).any() or left > rows):
        return None
    flat = text.translate(_TO_COMMA)
    # JSON has no negative integer zero, so orjson would drop its sign.
    spaces = [after for after in (b" ", b"\t", b"\r") if after in flat]
    if any(b"-0" + after in flat for after in (b",", *spaces)):
        return None
    try:
        numbers = orjson.loads(b"[%b]" % flat[:-1])
    except orjson.JSONDecodeError:
        return None
    if len(numbers) != count * cols:  # a line of spaces alone
        return None
    values = np.fromiter(numbers, np.float64, count * cols).reshape(count, cols)
    return _Parsed(values, ends) if np.isfinite(values).all() else None


def _parse_lines(chunk: bytes, state: _State, source: InputFile, dialect: Dialect) -> _Parsed:
    """Parse line by line; the first line that breaks a rule raises."""
    line, matrix, open_rows, rows, cols = state
    table: list[list[float]] = []
    ends: list[int] = []

    def malformed(what: str) -> MatrixFormatError:
        return MatrixFormatError(f"{source.name}: matrix {matrix} (line {line}): {what}")

    for text in chunk.split(b"\n"):
        line += 1
        fields = dialect.fields(text) if line > (dialect.skip_header or 0) else []
        if not fields:
            continue
        if fields == [b"END"]:
            if not open_rows:
                raise malformed("END comes before any row")
            if rows is not None and open_rows != rows:
                raise malformed(f"END comes after {_rows(open_rows)}, where matrix 0 has {rows}")
            rows = open_rows
            matrix, open_rows = matrix + 1, 0
            ends.append(len(table))
            continue
        if rows is not None and open_rows == rows:
            raise malformed(
                f"another row follows where matrix 0 has {_rows(rows)}; is END missing?"
            )
        values = []
        for field in fields:
            value = dialect.number(field)
            if value is None:
                raise malformed(_no_number(field, dialect))
            if source.finite and not abs(value) < float("inf"):
                beyond = b"n" not in field.lower()
                raise malformed(
                    f"{quoted(field, 20)} is "
                    + ("beyond the range of float64" if beyond else "not finite")
                )
            values.append(value)
        if cols is not None and len(values) != cols:
            raise malformed(f"a row of {len(values)} where the rows before have {cols}")
        cols = len(values)
        open_rows += 1
        table.append(values)
    array = np.array(table, np.float64).reshape(len(table), cols or 0)
    return _Parsed(array, np.array(ends, np.int64))


def _no_number(field: bytes, dialect: Dialect) -> str:
    """Say what is wrong with a field, naming the culprit where a number comes before it."""
    if not field:
        return "a field is empty"
    shown = f"{quoted(field, 20)} is not a number"
    if _THOUSANDS.fullmatch(field):
        return f"{shown}: what parts its thousands must go, such as in 1234{dialect.decimal}5"
    more = _NUMBER_AND_MORE.match(field)
    if more is None:
        return shown
    found, expected = more[2].strip(b" ") or b" ", dialect.delimiter
    where = f"after {printable(more[1], 20)}"
    return f"{shown}: found {quoted(found)} {where}, expected {quoted(expected)}"


def _flattened(cols: int) -> str:
    """What helps where each row may hold a whole matrix."""
    n = math.isqrt(cols)
    if n * n != cols or n == 1:
        return ""
    reshaped = f"numpy.save('a.npy', table.reshape(-1, {n}, {n}))"
    return f" Where each row is a whole {n} x {n} matrix, save the table from Python: {reshaped}"


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"
