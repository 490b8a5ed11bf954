"""What every command shares: option spelling, exit status, one-sentence errors.

Exit status: 0 success; 1 the answer is no (an invalid data set, an uncertified matrix);
2 bad usage or bad input; 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

from deepmatrixinversion.errors import USER_ERRORS, MatrixFormatWarning, printable
from deepmatrixinversion.version import __version__

_LONGEST = 2000  # characters of a message
_NEGATIVE_NUMBER = re.compile(r"^-(\d+\.?\d*|\.\d+|inf|nan)([eE][-+]?\d+)?$")


class Parser(argparse.ArgumentParser):
    """An argument parser whose long options are spelled with underscores or hyphens alike."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", argparse.ArgumentDefaultsHelpFormatter)
        super().__init__(**kwargs)
        # argparse itself knows -1 for a number, but takes -1e-3 for an option.
        self._negative_number_matcher = _NEGATIVE_NUMBER
        self.add_argument("--version", action="version", version=f"%(prog)s {__version__}")

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[override]
        words = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args([_with_underscores(word) for word in words], namespace)


def _with_underscores(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value


def run(command: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Run ``command`` and return the exit status; expected errors become one line on stderr."""
    # A name that the terminal's encoding lacks must not turn success into an error.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", MatrixFormatWarning)
            warnings.showwarning = _warn
            status = command(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader of our pipe has gone (``| head``): nothing to report, nothing more to write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except USER_ERRORS as error:
        print(f"{_program()}: {_sentence(error)}", file=sys.stderr)
        return 2


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename is not None else ""
        text = f"{name}{error.strerror}"
    if isinstance(error, MemoryError):
        text = f"not enough memory ({error})" if str(error) else "not enough memory"
    # Names and libraries' messages, too, come from outside.
    return printable(text, _LONGEST)


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as one line on stderr."""
    print(f"{_program()}: warning: {printable(message, _LONGEST)}", file=sys.stderr)


def _program() -> str:
    return printable(sys.argv[0].rsplit("/", 1)[-1])


def positive_int(text: str) -> int:
    """An integer of at least one, for ``type=`` of an option."""
    return _integer(text, 1)


def non_negative_int(text: str) -> int:
    """An integer of at least zero, for ``type=`` of an option."""
    return _integer(text, 0)


def _integer(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"{value} is below {least}")
    return value


def positive_float(text: str) -> float:
    """A finite number above zero, for ``type=`` of an option."""
    value = finite_float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def finite_float(text: str) -> float:
    """A finite number, for ``type=`` of an option."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
    if not abs(value) < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a finite number")
    return value
