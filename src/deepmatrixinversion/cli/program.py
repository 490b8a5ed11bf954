"""What every command shares: option spelling, exit status, one-sentence errors.

Exit status: 0 success; 1 the answer is no (an invalid data set, an uncertified matrix);
2 bad usage or bad input; 130 interrupted, 143 and 129 ended by SIGTERM and SIGHUP.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import os
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

from deepmatrixinversion.atomic import NO_SPACE
from deepmatrixinversion.errors import USER_ERRORS, MatrixFormatWarning, printable
from deepmatrixinversion.kernel import show_config
from deepmatrixinversion.signals import Terminated, exit_on_termination
from deepmatrixinversion.version import version

_LONGEST = 2000  # characters of a message
_NEGATIVE_NUMBER = re.compile(r"^-(\d+\.?\d*|\.\d+|inf|nan)([eE][-+]?\d+)?$")


class _Version(argparse.Action):
    """Prints the version and what the compiled kernel runs: found out when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        kernel = show_config().get("instruction_set", "none: NumPy serves")
        print(f"{parser.prog} {version()} (kernel: {kernel})")
        parser.exit()


class Parser(argparse.ArgumentParser):
    """An argument parser whose long options are spelled with underscores or hyphens alike."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", argparse.ArgumentDefaultsHelpFormatter)
        super().__init__(**kwargs)
        # argparse itself knows -1 for a number, but takes -1e-3 for an option.
        self._negative_number_matcher = _NEGATIVE_NUMBER
        shown = "show program's version number and exit"
        self.add_argument(
            "--version", action=_Version, nargs=0, default=argparse.SUPPRESS, help=shown
        )

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[override]
        fill_streams()
        words = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args([_with_underscores(word) for word in words], namespace)

    def error(self, message: str) -> NoReturn:
        """One line instead of the whole usage."""
        self.exit(2, f"{self.prog}: {message}; '{self.prog} --help' explains the options\n")


def fill_streams() -> None:
    """Open the null device where standard input, output or error is closed.

    Otherwise the next file to be opened would get that number, and what some library writes to
    "standard error" would end up in the user's data. ``sys.stdin`` and ``sys.stdout`` stay None:
    reading ``-`` or writing to it is refused, and printing goes nowhere.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest free number, which is this one
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def require_streams(*names: str | None) -> None:
    """Refuse, of an input and an output in this order, a ``-`` whose stream is closed."""
    streams = ((sys.stdin, "input"), (sys.stdout, "output"))
    for name, (stream, kind) in zip(names, streams, strict=True):
        if name == "-" and stream is None:
            raise ValueError(f"standard {kind} is closed: name a file instead of '-'")


def require_torch(doing: str) -> None:
    """Refuse what needs the extra ``train`` where that is not installed."""
    if None in map(importlib.util.find_spec, ("onnxscript", "torch")):
        raise ImportError(f"{doing} needs torch and more: pip install 'deepmatrixinversion[train]'")


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
        with exit_on_termination(), warnings.catch_warnings():
            warnings.simplefilter("always", MatrixFormatWarning)
            warnings.showwarning = _warn
            status = command(arguments)
            _flush()
            return status
    except BrokenPipeError:
        # The reader of our pipe has gone (``| head``): nothing to report, nothing more to write.
        _abandon_output()
        return 0
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except Terminated as signal:
        _say(f"ended by {signal.name}")
        return int(str(signal.code))
    except USER_ERRORS as error:
        _say(f"{_program()}: {_sentence(error)}")
        return 2


def _flush() -> None:
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:
        _abandon_output()
        raise


def _abandon_output() -> None:
    """Send what is still buffered for standard output nowhere, so that the exit does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(message: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone
        # Names and libraries' messages come from outside, too.
        print(printable(message, _LONGEST), file=sys.stderr, flush=True)


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as one line."""
    _say(f"{_program()}: warning: {' '.join(str(message).split())}")


def _program() -> str:
    return sys.argv[0].rsplit("/", 1)[-1]


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        name = error.filename
        if name is None and error.errno in NO_SPACE:  # of a file it would be named
            name = "standard output"
        return error.strerror if name is None else f"{name}: {error.strerror}"
    if isinstance(error, MemoryError):
        return f"not enough memory ({error})" if str(error) else "not enough memory"
    return " ".join(str(error).split()) or type(error).__name__


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


def span(text: str) -> slice:
    """``A:B``, either of which may be left out, for ``type=`` of an option."""
    parts = text.split(":")
    if len(parts) != 2:
        raise argparse.ArgumentTypeError(f"'{text}' is no A:B")
    first, last = (_integer(part, 0) if part else None for part in parts)
    if last is not None and last <= (first or 0):
        raise argparse.ArgumentTypeError(f"{text} has nothing in it")
    return slice(first or 0, last)


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
