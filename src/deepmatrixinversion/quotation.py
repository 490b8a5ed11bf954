"""Text from outside (files, names, JSON keys) as a message may show it."""

from __future__ import annotations


def printable(text: object, most: int = 60) -> str:
    """Return ``str(text)`` with everything that a terminal would obey escaped, and cut short.

    Parameters
    ----------
    text : object
        Whatever a message quotes; bytes are taken as ASCII, other bytes are escaped.
    most : int
        Characters of the original that are shown; ``...`` stands for the others.

    Examples
    --------
    >>> printable("\\x1b[2J"), printable(b"1\\x00"), printable("x" * 900_000, most=5)
    ('\\\\x1b[2J', '1\\\\x00', 'xxxxx...')
    """
    # Cut first: what is cut away may be megabytes.
    if isinstance(text, bytes):
        shown, length = text[:most].decode("ascii", "backslashreplace"), len(text)
    else:
        whole = str(text)
        shown, length = whole[:most], len(whole)
    escaped = "".join(c if c.isprintable() else _escape(c) for c in shown)
    return escaped + "..." * (length > most)


def printable_list(texts: list[str], most: int = 5) -> str:
    """Join the first few names for a message; ``none`` where there are none."""
    if not texts:
        return "none"
    return ", ".join(map(printable, texts[:most])) + ", ..." * (len(texts) > most)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
