"""The exceptions that this package raises on purpose.

Bad input is a ``ValueError``, so that callers need not know this module. The command line turns
every exception listed in ``USER_ERRORS`` into one sentence on stderr.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_LONGEST = 2000  # characters of a message


class _Quoting(ValueError):
    """An error about something from outside, whose text may not reach the terminal as it is."""

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(message, _LONGEST))


class MatrixFormatError(_Quoting):
    """A file of matrices is malformed; the message names file, matrix and line."""


class NotSquareError(MatrixFormatError):
    """Matrices are rectangular where only square ones will do."""


class MatrixFormatWarning(UserWarning):
    """A file of matrices was read, but may not hold what was meant."""


class ModelError(_Quoting):
    """A model directory is missing, incomplete, inconsistent or not to be trusted."""


class TrainingError(RuntimeError):
    """A training run cannot go on; what it had learned is kept on disk."""


class UnsupportedArrayError(TypeError, ValueError):
    """An array of a kind or dtype that is not inverted here; the message says what to do instead.

    NumPy raises ``TypeError`` for these, and callers of this package expect ``ValueError``.
    """


class SingularMatrixError(np.linalg.LinAlgError):
    """Matrices could not be certified as inverted; the message names their indices.

    Attributes
    ----------
    inversion : Inversion
        All results with their bounds, the uncertified ones included: nothing is lost.
    """

    def __init__(self, message: str, inversion: Any) -> None:
        super().__init__(message)
        self.inversion = inversion

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.inversion)


def quoted(text: object, most: int = 60) -> str:
    """Foreign text for a message: in quotes, cut, and with nothing that moves a terminal.

    >>> quoted("a" * 100, 8), quoted("\x1b[2J")
    ("'aaaaaaaa...'", "'\\\\x1b[2J'")
    """
    return f"'{printable(text, most)}'"


def printable(text: object, most: int = 200) -> str:
    """Foreign text cut, and with everything escaped that is not printable."""
    # Cut first: what is cut away may be megabytes.
    whole = text if isinstance(text, bytes) else str(text)
    cut = whole[:most]
    if isinstance(cut, bytes):
        cut = cut.decode("utf-8", "backslashreplace")
    escaped = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)
    return escaped + ("..." if len(whole) > most else "")


def listed(names: Sequence[str]) -> str:
    """The first few of foreign names for a message; ``none`` where there are none."""
    some = ", ".join(printable(name, 60) for name in names[:5])
    return (some or "none") + ", ..." * (len(names) > 5)


USER_ERRORS = (ValueError, TrainingError, SingularMatrixError, OSError, MemoryError, ImportError)
