"""``dmxinvert``: invert the matrices of a file."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from deepmatrixinversion.cli.inversion import invert_file
from deepmatrixinversion.cli.invert_store import in_parts, invert_store
from deepmatrixinversion.cli.kinds import KINDS, check_kind
from deepmatrixinversion.cli.methods import MODES, NETWORK, NUMPY
from deepmatrixinversion.cli.program import (
    Parser,
    positive_float,
    positive_int,
    require_streams,
    run,
    span,
)
from deepmatrixinversion.cli.text_options import add_text_options
from deepmatrixinversion.inference.session import DEFAULT_BATCH
from deepmatrixinversion.matrices import FORMATS
from deepmatrixinversion.models.zoo import bundled_names

REPORTS = (".json", ".csv")


def parser() -> Parser:
    """The command line of ``dmxinvert``."""
    p = Parser(
        prog="dmxinvert",
        description="Invert the matrices of a file, or solve systems with them. Formats go by the "
        f"name's ending: {', '.join(FORMATS)}; '-' is standard input or output in .mx. A .zarr "
        "store is inverted chunk by chunk, and a run that was cut short goes on where it was.",
        formatter_class=argparse.HelpFormatter,
    )
    add = p.add_argument
    add("--inputmx", required=True, metavar="FILE", help="matrices to invert")
    add("--inverseout", required=True, metavar="FILE", help="where their inverses go")
    add(
        "--model",
        nargs="+",
        metavar="MODEL",
        help=f"a bundled model ({', '.join(bundled_names())}), a directory such as ./mine with a "
        "model or Keras files (of several, as in ./Model_3x3_*, the newest), or "
        "user/repo[@revision] on the Hugging Face Hub (default: the bundled one for the order)",
    )
    add(
        "--kind",
        choices=tuple(KINDS),
        default="inverse",
        help="inverses; Moore-Penrose inverses, of matrices of any shape; or solutions of A Y = B "
        "(default: inverse)",
    )
    add("--rhs", metavar="FILE", help="for --kind solve: B, one for each matrix or one for all")
    add(
        "--rows",
        type=span,
        metavar="A:B",
        help="only matrices A to B - 1 of the files, counted from 0; either may be left out",
    )
    add("--invtarget", metavar="FILE", help="the true inverses (or solutions), to compare with")
    add("--plotout", metavar="FILE", help="plot of the result: a .png, .pdf or .svg, or 'screen'")
    add(
        "--invert_mode",
        choices=MODES,
        default=NETWORK,
        help="by network, or by LAPACK (default: nn)",
    )
    add("--raw", action="store_true", help="write the network's own output, without refinement")
    add(
        "--report",
        metavar="FILE",
        help="what is known of the answers: a .json, the table with a row for each of 100,000 "
        "matrices and for as many others that are not certified; or a .csv with a row for each",
    )
    add(
        "--resume",
        action="store_true",
        help="keep finished blocks in INVERSEOUT.pieces: after an interruption the same command "
        "goes on from there",
    )
    add(
        "--on_uncertified",
        choices=("nan", "keep", "pinv"),
        help="what to write for a matrix whose answer is not proven: NaN, the best candidate, or "
        "what the Moore-Penrose inverse gives (default: nan; with --raw, keep)",
    )
    add(
        "--tol",
        type=positive_float,
        help="residual of the scaled matrix at which refinement may stop (default: none, refine "
        "to working accuracy)",
    )
    add(
        "--rtol",
        type=positive_float,
        help="relative error that a certified inverse is proven to have at most (default: 1e-6 in "
        "float64, 1e-3 in float32)",
    )
    add(
        "--batch_size",
        type=positive_int,
        default=DEFAULT_BATCH,
        help=f"matrices per call of the network (default: {DEFAULT_BATCH})",
    )
    add(
        "--workers",
        type=positive_int,
        metavar="N",
        help="invert by so many processes; for .npy files and .zarr stores",
    )
    add(
        "--cluster",
        metavar="WHERE",
        help="invert by the workers of a Dask cluster, one of this machine's own (local, local:N) "
        "or the one whose scheduler has this address",
    )
    add_text_options(p)
    add("--quiet", action="store_true", help="no progress and no table")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``dmxinvert`` and return its exit status."""
    return run(_invert, parser().parse_args(argv))


def _invert(options: argparse.Namespace) -> int:
    _check(options)
    return invert_store(options) if in_parts(options) else invert_file(options)


def _check(options: argparse.Namespace) -> None:
    """Refuse what cannot end well, before the first matrix is read."""
    require_streams(options.inputmx, options.inverseout)
    require_streams(options.invtarget, None)
    require_streams(options.rhs, None)
    check_kind(options)
    if options.invert_mode == NUMPY and (options.model is not None or options.raw):
        raise ValueError("--invert_mode numpy uses no network: leave out --model and --raw")
    if options.tol is not None and (options.invert_mode == NUMPY or options.raw):
        raise ValueError("--tol is for refinement, of which --raw and --invert_mode numpy do none")
    inputs = {"--inputmx": options.inputmx, "--invtarget": options.invtarget, "--rhs": options.rhs}
    piped = [name for name, path in inputs.items() if path == "-"]
    if len(piped) > 1:
        raise ValueError(f"only one of {' and '.join(piped)} can be standard input")
    if options.resume and (piped or options.inverseout == "-"):
        raise ValueError("--resume needs files that stay: not standard input or output")
    if options.plotout is not None:
        from deepmatrixinversion.reporting.figure_files import check_plot_target

        check_plot_target(options.plotout)
    if options.report is not None:
        folder = os.path.dirname(os.path.realpath(options.report))
        if not os.path.isdir(folder):
            raise ValueError(f"{options.report}: there is no folder {folder} to write it to")
        if os.path.isdir(options.report):
            raise ValueError(f"{options.report}: the report cannot be written to a directory")
    written = [p for p in (options.inverseout, options.report, options.plotout) if p is not None]
    paths = [os.path.realpath(p) for p in written if p not in ("-", "screen")]
    paths = [p for p in paths if os.path.isfile(p) or not os.path.exists(p)]  # not /dev/null
    if len(set(paths)) < len(paths):
        raise ValueError("--inverseout, --report and --plotout must be different files")
    read = [os.path.realpath(p) for p in inputs.values() if p is not None]
    if set(paths) & set(read):
        raise ValueError(
            f"--inverseout, --report and --plotout must not overwrite {', '.join(inputs)}"
        )
    if options.report is not None and os.path.splitext(options.report)[1].lower() not in REPORTS:
        raise ValueError(f"{options.report}: a report is a {' or a '.join(REPORTS)} file")


if __name__ == "__main__":
    sys.exit(main())
