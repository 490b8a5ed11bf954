"""Read and write one matrix as Matrix Market ``.mtx`` (Boisvert, Pozo & Remington 1996).

A banner names the kind, a line gives the sizes, and then every line holds one entry: a number,
column after column (``array``), or row, column and number (``coordinate``), counted from 1. Of a
symmetric or skew-symmetric matrix only what is below the diagonal is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from deepmatrixinversion.errors import MatrixFormatError, printable, quoted
from deepmatrixinversion.matrices.blocks import WholeArray
from deepmatrixinversion.matrices.elements import EXACT, as_elements, stack_shape
from deepmatrixinversion.matrices.input_file import InputFile
from deepmatrixinversion.matrices.line_chunks import LineChunks
from deepmatrixinversion.matrices.memory import check_memory
from deepmatrixinversion.matrices.sinks import Sink

_BANNER = b"%%matrixmarket matrix "
_FIELDS = {"real": "real", "double": "real", "integer": "integer", "pattern": "pattern"}
_LONGEST_PREAMBLE = 2**20
_LARGE = 64 * 2**20  # bytes of a dense matrix that a file of a few bytes may not ask for
_TRIPLE = np.dtype([("row", np.int64), ("col", np.int64), ("value", np.float64)])
_NUMBERS = 2**16  # turned into text at a time


class _Kind(NamedTuple):
    sparse: bool
    field: str
    symmetry: str

    @property
    def words(self) -> int:
        """How many words an entry has."""
        return (3 if self.field != "pattern" else 2) if self.sparse else 1

    @property
    def first_below(self) -> int:
        """The first subdiagonal that is given: 0 is the diagonal itself."""
        return 1 if self.symmetry == "skew-symmetric" else 0


def read_matrix_market(source: InputFile) -> WholeArray:
    """The matrix of a ``.mtx`` file, dense or sparse, with any symmetry.

    Entries of a sparse file that stand in the same place are added, as other readers do.
    """
    return WholeArray(_Reader(source).matrix(), source)


class _Reader:
    """The text of a file, line by line."""

    def __init__(self, source: InputFile) -> None:
        self._source = source
        self._chunks = LineChunks(source)
        self._line = 0
        self._lines = self._numbered_lines()
        self._kind = self._read_kind()
        self.rows, self.cols, self._entries = self._read_sizes()

    def matrix(self) -> np.ndarray:
        """What the entries make, (rows, cols)."""
        matrix = self._sparse() if self._kind.sparse else self._dense()
        self._chunks.warn_if_cut()
        return matrix

    def _malformed(self, what: str) -> MatrixFormatError:
        return MatrixFormatError(f"{self._source.name}: matrix 0 (line {self._line}): {what}")

    def _numbered_lines(self) -> Iterator[bytes]:
        """Lines without the spaces around them; ``_line`` is the number of the last one."""
        while chunk := self._chunks.read():
            for line in chunk.split(b"\n")[:-1]:
                self._line += 1
                yield line.strip()

    def _read_kind(self) -> _Kind:
        banner = next(self._lines, b"").lower()
        words = banner.removeprefix(_BANNER).decode("ascii", "replace").split()
        if not banner.startswith(_BANNER) or len(words) != 3:
            raise self._malformed(
                "no valid Matrix Market file: it does not begin with a banner such as"
                " '%%MatrixMarket matrix array real general'"
            )
        layout, field, symmetry = words
        if field == "complex":
            as_elements(np.empty((1, 1, 1), complex), self._source.name)  # refuses, with advice
        kind = _Kind(layout == "coordinate", _FIELDS.get(field, field), symmetry)
        known = (
            layout in ("array", "coordinate")
            and field in _FIELDS
            and symmetry in ("general", "symmetric", "skew-symmetric")
            and (kind.sparse or kind.field != "pattern")
        )
        if not known:
            raise self._malformed(
                f"{quoted(' '.join(words))} is no kind of matrix that is read here: array or"
                " coordinate; real, integer or (coordinate) pattern; general, symmetric or"
                " skew-symmetric"
            )
        return kind

    def _read_sizes(self) -> tuple[int, int, int]:
        words: list[bytes] = []
        for line in self._lines:
            if line and not line.startswith(b"%"):
                words = line.split()
                break
            if self._chunks.position > _LONGEST_PREAMBLE:
                raise self._malformed("a megabyte of comments, and no size of a matrix yet")
        wanted = ("rows", "columns", "entries")[: 3 if self._kind.sparse else 2]
        if len(words) != len(wanted) or not all(w.isdigit() and len(w) < 19 for w in words):
            said = printable(b" ".join(words))
            raise self._malformed(f"'{said}' stands where {', '.join(wanted)} should")
        _, rows, cols = stack_shape(tuple(map(int, words[:2])), self._source.name)
        if self._kind.symmetry != "general" and rows != cols:
            raise self._malformed(f"no {rows} x {cols} matrix is {self._kind.symmetry}")
        entries = rows * cols
        if self._kind.sparse:
            entries = int(words[2])
        elif self._kind.symmetry != "general":
            entries = rows * (rows + 1) // 2 - rows * self._kind.first_below
        self._check_sizes(rows, cols, entries)
        return rows, cols, entries

    def _check_sizes(self, rows: int, cols: int, entries: int) -> None:
        """Refuse what cannot be: a few bytes may declare a matrix of any order."""
        size, have = 8 * rows * cols, self._source.size
        if have is not None and 2 * self._kind.words * entries > have:
            raise self._malformed(
                f"{entries} entries are declared, more than {have} bytes can hold; the file is"
                " damaged or was not written to its end"
            )
        each = 1 if self._kind.symmetry == "general" else 2  # rows that an entry may fill
        if size > _LARGE and each * entries < max(rows, cols):
            raise self._malformed(
                f"{entries} entries leave rows or columns of a {rows} x {cols} matrix empty; leave"
                " those out"
            )
        check_memory(
            self._source.name,
            2 * size + entries * self._kind.sparse * _TRIPLE.itemsize,
            f"its {rows} x {cols} matrix",
        )

    def _words(self) -> Iterator[list[bytes]]:
        """The words of every entry, as many entries as are declared."""
        count = 0
        for line in self._lines:
            if not line or line.startswith(b"%"):
                continue
            words = line.split()
            if count == self._entries:
                raise self._malformed(f"more than the {count} entries that the header declares")
            if len(words) != self._kind.words:
                raise self._malformed(
                    f"{quoted(line)} is not one entry, which has {self._kind.words} word(s)"
                )
            count += 1
            yield words
        if count < self._entries:
            raise self._malformed(
                f"the file ends after {count} of the {self._entries} entries that its header"
                " declares"
            )

    def _dense(self) -> np.ndarray:
        values = np.fromiter((self._number(word) for (word,) in self._words()), np.float64)
        if self._kind.symmetry == "general":
            return values.reshape(self.cols, self.rows).T
        # The lower triangle column after column is the upper one row after row.
        cols, rows = np.triu_indices(self.rows, self._kind.first_below)
        return self._placed(rows, cols, values)

    def _sparse(self) -> np.ndarray:
        triples = np.fromiter(map(self._triple, self._words()), _TRIPLE)
        return self._placed(triples["row"], triples["col"], triples["value"])

    def _placed(self, rows: np.ndarray, cols: np.ndarray, values: np.ndarray) -> np.ndarray:
        matrix = np.zeros((self.rows, self.cols))
        np.add.at(matrix, (rows, cols), values)
        negative = (values == 0) & np.signbit(values)  # -0.0, which adding to 0.0 has lost
        rows, cols = rows[negative], cols[negative]
        matrix[rows, cols] = np.where(matrix[rows, cols] == 0, -0.0, matrix[rows, cols])
        if self._kind.symmetry == "general":
            return matrix
        sign = -1.0 if self._kind.symmetry == "skew-symmetric" else 1.0
        below = np.tril_indices(self.rows, -1)
        matrix[below[::-1]] = sign * matrix[below]
        return matrix

    def _triple(self, words: list[bytes]) -> tuple[int, int, float]:
        if not (words[0].isdigit() and words[1].isdigit() and max(map(len, words[:2])) < 19):
            raise self._malformed(f"{quoted(b' '.join(words[:2]))} is no row and column")
        row, col = int(words[0]), int(words[1])
        if not (0 < row <= self.rows and 0 < col <= self.cols):
            raise self._malformed(
                f"row {row}, column {col} is outside a {self.rows} x {self.cols} matrix"
            )
        if self._kind.symmetry != "general" and row - col < self._kind.first_below:
            raise self._malformed(
                f"row {row}, column {col}: of a {self._kind.symmetry} matrix only what is below the"
                " diagonal is to be given"
            )
        return row - 1, col - 1, self._number(words[2]) if len(words) > 2 else 1.0

    def _number(self, word: bytes) -> float:
        whole = self._kind.field == "integer"
        try:
            value = int(word) if whole and len(word) < 25 else float(word)
        except ValueError:
            value = None
        if value is None or b"_" in word:  # Python reads 1_000, which no other program does
            kind = "a whole number" if whole else "a number"
            raise self._malformed(f"{quoted(word)} is not {kind}")
        if whole and not abs(value) <= EXACT:
            raise self._malformed(
                f"{printable(word)} is an integer beyond 2^53, where float64 no longer holds every"
                " integer; call the field real"
            )
        return float(value)


class MatrixMarketSink(Sink):
    """A ``.mtx`` file: one dense matrix, in the shortest decimals that are exact in float64."""

    def write(self, stack: np.ndarray) -> None:
        """Write the only matrix, (1, rows, cols)."""
        if self._count or len(stack) > 1:
            raise MatrixFormatError(
                f"{self._name}: a .mtx file holds one matrix; write several as .mx or .npy"
            )
        self._count = 1
        rows, cols = stack.shape[1:]
        self._file.write(b"%%%%MatrixMarket matrix array real general\n%d %d\n" % (rows, cols))
        step = max(1, _NUMBERS // rows)
        for start in range(0, cols, step):
            numbers = stack[0, :, start : start + step].T.astype(np.float64).ravel().tolist()
            self._file.write("".join(f"{number!r}\n" for number in numbers).encode())
