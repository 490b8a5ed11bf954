"""Options that say how a text file spells its matrices."""

from __future__ import annotations

import argparse

from deepmatrixinversion.cli.program import non_negative_int
from deepmatrixinversion.matrices.dialect import DECIMALS, DELIMITERS, Dialect


def add_text_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--delimiter``, ``--decimal`` and ``--skip_header``, which apply to text files."""
    add = parser.add_argument
    add(
        "--delimiter",
        metavar="CHARACTER",
        help=f"between the numbers of a text file: {', '.join(DELIMITERS)}, or the character "
        "itself (default: found out)",
    )
    add(
        "--decimal",
        metavar="CHARACTER",
        help=f"decimal sign of a text file: {' or '.join(DECIMALS)} (default: found out)",
    )
    add(
        "--skip_header",
        type=non_negative_int,
        metavar="LINES",
        help="lines of a text file before its first matrix (default: found out)",
    )


def asked_dialect(options: argparse.Namespace) -> Dialect:
    """What the options say."""
    delimiter, decimal = options.delimiter, options.decimal
    return Dialect(
        delimiter=DELIMITERS.get(delimiter, delimiter),
        decimal=DECIMALS.get(decimal, decimal),
        skip_header=options.skip_header,
    )
