"""``dmxdatasetverify``: are these the inverses, or the Moore-Penrose inverses, of those?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

import numpy as np

from deepmatrixinversion.cli.aligned import Beside
from deepmatrixinversion.cli.program import Parser, positive_float, require_streams, run
from deepmatrixinversion.cli.text_options import add_text_options, asked_dialect
from deepmatrixinversion.matrices import read_blocks
from deepmatrixinversion.matrices.datasets import block_size
from deepmatrixinversion.matrices.dialect import Dialect
from deepmatrixinversion.matrices.exact import correctly_rounded
from deepmatrixinversion.matrices.verification import CHECKS, Summary, verify_blocks
from deepmatrixinversion.reporting.progress import reading_progress

Pairs = Iterator[tuple[np.ndarray, np.ndarray]]

SHOWN = 8  # rows and columns of an offending matrix that are printed
WORDS = {
    "invertible": "the Frobenius norm of I - X Y",
    "singular": "the largest of the four Penrose residuals",
}


def parser() -> Parser:
    """The command's arguments."""
    p = Parser(
        prog="dmxdatasetverify",
        description="Check that the matrices in Y are the inverses (invertible) or the "
        "Moore-Penrose inverses (singular) of those in X.",
        epilog="Exit status: 0 valid, 1 not valid, 2 the files cannot be compared.",
    )
    p.add_argument("x", metavar="X", help="file of matrices")
    p.add_argument("y", metavar="Y", help="file of their inverses or pseudo-inverses")
    p.add_argument("kind", choices=list(CHECKS), help="what Y should hold")
    p.add_argument(
        "--tol",
        type=positive_float,
        default=argparse.SUPPRESS,
        help="largest residual to accept (default: what rounding explains, from order, precision "
        "and condition; files rounded to few decimals need more)",
    )
    p.add_argument(
        "--exact",
        action="store_true",
        help="for invertible: also count the entries of Y that are exactly those of the inverse, "
        "correctly rounded; in integers, a second for 10,000 matrices of order 3, or a few of 32",
    )
    add_text_options(p)
    return p


def verify(arguments: argparse.Namespace) -> int:
    """Print the verdict; 0 if the data set is valid, 1 if not."""
    for path in (arguments.x, arguments.y):
        require_streams(path, None)
    if arguments.exact and arguments.kind != "invertible":
        raise ValueError("--exact compares with inverses: it goes with invertible alone")
    tol = getattr(arguments, "tol", None)
    counted = Counted(_paired(arguments.x, arguments.y, asked_dialect(arguments)))
    summary = verify_blocks(counted if arguments.exact else counted.pairs, arguments.kind, tol)
    if summary.invalid:
        print(_warning(summary, arguments.kind))
        return 1
    print("Dataset valid.")
    print(
        f"{summary.total} {arguments.kind} matrices of order {len(summary.matrix)}, worst residual "
        f"{summary.residual:.2e} (matrix {summary.worst}, accepted up to {summary.tolerance:.2e})"
    )
    if arguments.exact:
        print(f"{counted.right:,} of {counted.entries:,} entries are correctly rounded")
    return 0


class Counted:
    """Pairs of blocks, and how many entries of what has gone by are the inverse's, rounded."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs
        self.right = self.entries = 0

    def __iter__(self) -> Pairs:
        for x, y in self.pairs:
            for A, X in zip(x, y, strict=True):
                self.right += correctly_rounded(A, X) or 0
            self.entries += y.size
            yield x, y


def _paired(x_path: str, y_path: str, dialect: Dialect) -> Pairs:
    """Blocks of X and Y side by side. NaN and infinity are read, to be counted as invalid."""
    with (
        reading_progress("verifying") as progress,
        read_blocks(x_path, square=True, dialect=dialect, progress=progress) as xs,
        read_blocks(y_path, square=True, dialect=dialect) as ys,
    ):
        if xs.rows != ys.rows:
            raise ValueError(
                f"{xs.name} holds matrices of order {xs.rows} and {ys.name} of order {ys.rows}: "
                "X and Y must hold as many matrices of the same order"
            )
        partners = Beside(ys, xs, "partner")
        for x in xs:
            y = partners.take(len(x))
            # Readers give large blocks; the checks, with their temporaries, take small ones.
            for i in range(0, len(x), block_size(xs.rows)):
                yield x[i : i + block_size(xs.rows)], y[i : i + block_size(xs.rows)]
        partners.end()


def _warning(summary: Summary, kind: str) -> str:
    if np.isnan(summary.residual):
        reason = "the residual is not a number"
    elif np.isinf(summary.residual) and kind == "singular" and summary.rank >= len(summary.matrix):
        reason = "the matrix is not singular: its partner has full rank"
    else:
        reason = (
            f"{WORDS[kind]} is {summary.residual:.6g}, accepted up to {summary.tolerance:.3g}; "
            "--tol accepts more"
        )
    return "\n".join(
        (
            f"Warning: {summary.invalid} of {summary.total} pairs are not valid. The worst is "
            f"matrix {summary.worst} (counted from 0): {reason}.",
            "matrix:",
            _show(summary.matrix),
            "partner:",
            _show(summary.partner),
        )
    )


def _show(a: np.ndarray) -> str:
    return np.array2string(a, precision=6, threshold=SHOWN * SHOWN, edgeitems=SHOWN // 2)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``dmxdatasetverify``."""
    return run(verify, parser().parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
