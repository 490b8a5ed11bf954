"""Protocol Buffers' wire format, for a reader who trusts nothing and a writer of plain graphs.

A message is a row of fields, each a key (number and wire type) and a value: a varint, eight or four
bytes, or a length and as many bytes, which may be another message.
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of each field: an int of a varint, the bytes of everything else.

    Raises
    ------
    ValueError
        When the message ends within a field, or has what no writer of today writes.
    """
    at, end = 0, len(message)
    while at < end:
        key, at = varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = varint(message, at)
            yield number, value
            continue
        if kind == BYTES:
            length, at = varint(message, at)
        elif kind in (EIGHT, FOUR):
            length = 8 if kind == EIGHT else 4
        else:
            raise ValueError(f"a field of wire type {kind}")
        if number == 0 or length > end - at:
            raise ValueError("it is cut off, or no such file at all")
        yield number, message[at : at + length]
        at += length


def varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that starts at a position, and the position behind it."""
    value = shift = 0
    while shift < 70:
        if at >= len(message):
            raise ValueError("it is cut off within a number")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
        shift += 7
    raise ValueError("a number of more than ten bytes")


def signed(value: int) -> int:
    """An int64 field's value, whose negative numbers come as two's complement."""
    return value - (1 << 64) if value >> 63 else value


def integers(value: int | memoryview) -> list[int]:
    """The int64 numbers of a repeated field's occurrence, one or packed."""
    if isinstance(value, int):
        return [signed(value)]
    found, at = [], 0
    while at < len(value):
        number, at = varint(value, at)
        found.append(signed(number))
    return found


def number(field: int, value: int) -> bytes:
    """A field that holds a whole number, to be written."""
    return _varint(field << 3 | VARINT) + _varint(value)


def message(field: int, content: bytes | str) -> bytes:
    """A field that holds bytes, a text or a message, to be written."""
    data = content.encode() if isinstance(content, str) else content
    return _varint(field << 3 | BYTES) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
