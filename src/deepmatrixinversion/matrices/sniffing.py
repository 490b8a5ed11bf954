"""Which dialect a text file is in, from its first lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from deepmatrixinversion.matrices.dialect import DECIMALS, DELIMITERS, Dialect

_LINES = 100  # looked at
_TIME = re.compile(rb"\d{1,4}([-/])\d{1,2}\1\d|\d{1,2}\.\d{1,2}\.\d{2,4}\b|\d{1,2}:\d\d")


def sniff(head: bytes, asked: Dialect) -> Dialect:
    """Find out what ``asked`` leaves open.

    The first dialect in which every line is numbers, and as many of them, is it; commas between
    and points within numbers are tried first. Lines before the first number are a header. Where no
    dialect fits all lines, one that fits the first of them is taken, or the likeliest: the parser
    will say which field is wrong.

    Parameters
    ----------
    head : bytes
        The first lines of the file, each with its newline; without those to be skipped where
        ``asked`` has a ``skip_header``.
    asked : Dialect
        What is known.

    Returns
    -------
    Dialect
        Nothing in it is None.

    Examples
    --------
    >>> sniff(b"x;y\\n0,5;1\\n2;3\\n", Dialect())
    Dialect(delimiter=';', decimal=',', skip_header=1, index_column=False)
    """
    lines = head.split(b"\n", _LINES)[:-1]
    candidates = list(_candidates(asked, quoted=b'"' in head))
    for some in (lines, lines[:10], lines[:1]):
        for dialect in candidates:
            if found := _fitting(dialect, some):
                return found
    return _likeliest(candidates, lines)


def _likeliest(candidates: list[Dialect], lines: list[bytes]) -> Dialect:
    """The dialect in which the largest share of fields are numbers, where none fits all of them."""

    def share(dialect: Dialect) -> float:
        rows = [dialect.all_fields(line) for line in lines]
        if dialect.delimiter != "," and max(map(len, rows), default=0) < 2:
            return 0.0
        fields = [field for row in rows for field in row]
        return sum(dialect.number(field) is not None for field in fields) / max(1, len(fields))

    best = max(candidates, key=share)
    rows = [best.all_fields(line) for line in lines]
    skip = best.skip_header
    if skip is None:
        skip = next((k for k, row in enumerate(rows) if not _is_header(best, row)), 0)
    rows = [row for row in rows[skip:] if row and row != [b"END"]]
    index = best.index_column
    if index is None:
        index = len(rows) > 1 and max(map(len, rows)) > 1 and _has_index(best, [], rows)
    return replace(best, skip_header=skip, index_column=index)


def _candidates(asked: Dialect, quoted: bool) -> Iterator[Dialect]:
    delimiters = [asked.delimiter] if asked.delimiter else DELIMITERS.values()
    decimals = [asked.decimal] if asked.decimal else DECIMALS.values()
    for delimiter, decimal in product(delimiters, decimals):
        if delimiter != decimal or quoted or asked.delimiter:
            yield replace(asked, delimiter=delimiter, decimal=decimal)


def _fitting(dialect: Dialect, lines: list[bytes]) -> Dialect | None:
    """The dialect with its header and index column if the lines are numbers in it."""
    rows = [dialect.all_fields(line) for line in lines]
    skip = 0
    if dialect.skip_header is None:
        while skip < len(rows) and _is_header(dialect, rows[skip]):
            skip += 1
    header = next((row for row in reversed(rows[:skip]) if row), [])
    rows = [row for row in rows[skip:] if row]
    matrix = rows[: rows.index([b"END"])] if [b"END"] in rows else rows
    rows = [row for row in rows if row != [b"END"]]
    if not matrix or len({len(row) for row in rows}) > 1:
        return None
    cols = len(rows[0])
    if cols == 1 and dialect.delimiter != ",":
        return None  # nothing speaks for this delimiter
    index = dialect.index_column
    if index is None:
        index = cols > 1 and _has_index(dialect, header, matrix)
    numbers = (dialect.number(field) for row in rows for field in row[int(index) :])
    if any(number is None for number in numbers):
        return None
    if dialect.skip_header is None:
        dialect = replace(dialect, skip_header=skip if header else 0)
    return replace(dialect, index_column=index)


def _is_header(dialect: Dialect, row: list[bytes]) -> bool:
    """Names or a title, pandas' numbered columns after an empty field, or an empty line."""
    if row == [b"END"]:
        return False
    names = row[1:] if row and not row[0] else row
    named = all(_is_name(dialect, name) for name in names)
    return named or (len(names) < len(row) and _is_numbered(names))


def _has_index(dialect: Dialect, header: list[bytes], rows: list[list[bytes]]) -> bool:
    """Does every row begin with a label: a name, or its number under an empty or no heading?"""
    labels = [row[0] for row in rows]
    if len(set(labels)) < len(labels) or b"" in labels:
        return False
    if all(_is_name(dialect, label) for label in labels):
        return len(labels) > 1
    unnamed = (len(header) == len(rows[0]) and not header[0]) or len(header) == len(rows[0]) - 1
    return bool(header) and unnamed and _is_numbered(labels)


def _is_name(dialect: Dialect, field: bytes) -> bool:
    """A word or a date. What else begins with a digit may be a number in another dialect."""
    if dialect.number(field) is not None:
        return False
    return field[:1].isalpha() or field[:1] >= b"\x80" or _TIME.match(field) is not None


def _is_numbered(labels: list[bytes]) -> bool:
    """0, 1, 2, ... or 1, 2, 3, ..."""
    if not labels or labels[0] not in (b"0", b"1"):
        return False
    first = int(labels[0])
    return labels == [b"%d" % number for number in range(first, first + len(labels))]
