"""``dmxinvert``: invert the matrices of a file."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import numpy as np
from rich.console import Console

from deepmatrixinversion.atomic import atomic_text
from deepmatrixinversion.cli.invert_store import WRITTEN, in_parts, invert_store
from deepmatrixinversion.cli.methods import choose_method, replaced
from deepmatrixinversion.cli.program import (
    Parser,
    positive_float,
    positive_int,
    require_streams,
    run,
)
from deepmatrixinversion.cli.progress import reading_progress
from deepmatrixinversion.cli.text_options import add_text_options, asked_dialect
from deepmatrixinversion.inference.session import DEFAULT_BATCH
from deepmatrixinversion.matrices.files import FORMATS, MatrixReader, MatrixWriter, read_blocks
from deepmatrixinversion.matrices.memory import check_memory
from deepmatrixinversion.models.zoo import bundled_names
from deepmatrixinversion.reporting.certificates import CertificateSummary
from deepmatrixinversion.reporting.metrics import (
    EntrySample,
    ErrorAccumulator,
    ResidualAccumulator,
    frobenius_residuals,
)
from deepmatrixinversion.reporting.report import InversionReport

_WORKING = 24  # the memory that inverting one large matrix takes, in matrices of its order


def parser() -> Parser:
    """The command line of ``dmxinvert``."""
    p = Parser(
        prog="dmxinvert",
        description="Invert the matrices of a file. Formats go by the name's ending: "
        f"{', '.join(FORMATS)}; '-' is standard input or output in .mx. A .zarr store is inverted "
        "chunk by chunk, and a run that was cut short goes on where it was.",
        formatter_class=argparse.HelpFormatter,
    )
    add = p.add_argument
    add("--inputmx", required=True, metavar="FILE", help="matrices to invert")
    add("--inverseout", required=True, metavar="FILE", help="where their inverses go")
    add(
        "--model",
        nargs="+",
        metavar="MODEL",
        help=f"a bundled model ({', '.join(bundled_names())}), a model directory such as ./mine "
        "(of several, as in ./Model_3x3_*, the newest), or user/repo[@revision] on the Hugging "
        "Face Hub (default: the bundled one for the order)",
    )
    add("--invtarget", metavar="FILE", help="the true inverses, to compare with")
    add("--plotout", metavar="FILE", help="plot of the result: a .png, .pdf or .svg, or 'screen'")
    add(
        "--invert_mode",
        choices=("nn", "numpy"),
        default="nn",
        help="by network, or by LAPACK (default: nn)",
    )
    add("--raw", action="store_true", help="write the network's own output, without refinement")
    add("--report", metavar="FILE.json", help="the table as JSON")
    add(
        "--on_uncertified",
        choices=("nan", "keep", "pinv"),
        help="what to write for a matrix whose inverse is not proven: NaN, the best candidate, or "
        "the Moore-Penrose inverse (default: nan; with --raw, keep)",
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
    replace = options.on_uncertified or ("keep" if options.raw else "nan")
    if in_parts(options):
        return invert_store(options, replace)
    residuals, errors, entries = ResidualAccumulator(), ErrorAccumulator(), EntrySample()
    certificates = CertificateSummary()
    seconds, not_finite, not_compared = 0.0, 0, 0
    with ExitStack() as stack:
        progress = stack.enter_context(reading_progress("inverting", quiet=options.quiet))
        dialect = asked_dialect(options)
        # A matrix that is not finite is one without a certificate, not the end of all others.
        source = stack.enter_context(
            read_blocks(options.inputmx, square=True, dialect=dialect, progress=progress)
        )
        target = None
        if options.invtarget is not None:
            target = stack.enter_context(
                read_blocks(options.invtarget, square=True, dialect=dialect)
            )
            _check_same_order(source, target)
        working = 8 * source.rows**2 * _WORKING
        check_memory(source.name, working, f"inverting a matrix of order {source.rows}")
        method, model = choose_method(options, source.rows)
        out = stack.enter_context(MatrixWriter(options.inverseout))
        for A, truth in _aligned(source, target):
            start = time.perf_counter()
            X, certificate, steps = method(A)
            seconds += time.perf_counter() - start
            block_residuals = frobenius_residuals(A, X)
            residuals.add(block_residuals)
            certificates.add(block_residuals, certificate, steps)
            X = replaced(A, X, certificate.certified, replace)
            not_finite += len(A) - int(np.isfinite(A).all(axis=(-2, -1)).sum())
            out.write(X)
            if truth is not None:
                shown = np.isfinite(truth).all(axis=(-2, -1))
                not_compared += len(truth) - int(shown.sum())
                if replace == "nan":
                    shown &= certificate.certified
                errors.add(X[shown], truth[shown])
                entries.add(X[shown], truth[shown])
        order = source.rows
    report = InversionReport(
        matrices=certificates.matrices,
        order=order,
        mode=options.invert_mode,
        raw=options.raw,
        model=model,
        on_uncertified=replace,
        seconds=seconds,
        residual=residuals.statistics(),
        # With a target, too, there may be nothing to compare: every answer replaced by NaN.
        errors=errors.statistics() if errors.count else None,
        certificates=certificates,
    )
    if options.report is not None:
        atomic_text(options.report, report.to_json())
    if options.plotout is not None:
        _plot(options.plotout, report, residuals.values(), entries)
    # With the inverses on standard output, the table must not get between them.
    if not options.quiet:
        Console(stderr=options.inverseout == "-").print(report.to_table())
    if not_compared:
        print(f"dmxinvert: targets that are not finite: {not_compared}, left out", file=sys.stderr)
    if certificates.certified == certificates.matrices:
        return 0
    written = WRITTEN[replace]
    if not_finite and replace != "nan":
        written += f", but NaN for {not_finite} with NaN or infinity, for which there is none"
    print(f"dmxinvert: {certificates.describe_uncertified()}; written: {written}", file=sys.stderr)
    # --raw asks for the network's own answers, whatever they are worth; unless NaN was asked for.
    if not_finite:
        return 1
    return 0 if replace == "pinv" or (options.raw and replace == "keep") else 1


def _check(options: argparse.Namespace) -> None:
    """Refuse what cannot end well, before the first matrix is read."""
    require_streams(options.inputmx, options.inverseout)
    require_streams(options.invtarget, None)
    if options.invert_mode == "numpy" and (options.model is not None or options.raw):
        raise ValueError("--invert_mode numpy uses no network: leave out --model and --raw")
    if options.tol is not None and (options.invert_mode == "numpy" or options.raw):
        raise ValueError("--tol is for refinement, of which --raw and --invert_mode numpy do none")
    if options.inputmx == "-" and options.invtarget == "-":
        raise ValueError("only one of --inputmx and --invtarget can be standard input")
    if options.plotout is not None:
        from deepmatrixinversion.reporting.plots import check_plot_target

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
    read = [os.path.realpath(p) for p in (options.inputmx, options.invtarget) if p is not None]
    if set(paths) & set(read):
        raise ValueError(
            "--inverseout, --report and --plotout must not overwrite --inputmx or --invtarget"
        )


def _check_same_order(source: MatrixReader, target: MatrixReader) -> None:
    if source.rows != target.rows:
        raise ValueError(
            f"{target.name}: its matrices are of order {target.rows}, those of {source.name} of "
            f"order {source.rows}"
        )


def _aligned(
    source: MatrixReader, target: MatrixReader | None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Blocks of the source, each with as many matrices of the target."""
    if target is None:
        for block in source:
            yield block, None
        return
    waiting = np.empty((0, target.rows, target.cols))
    seen = 0
    for block in source:
        while len(waiting) < len(block):
            more = next(target, None)
            if more is None:
                raise ValueError(
                    f"{target.name} ends after {seen + len(waiting)} matrices, {source.name} "
                    "goes on: there must be one target for each matrix"
                )
            waiting = np.concatenate([waiting, more]) if len(waiting) else more
        yield block, waiting[: len(block)]
        waiting = waiting[len(block) :]
        seen += len(block)
    if len(waiting) or next(target, None) is not None:
        raise ValueError(
            f"{source.name} ends after {seen} matrices, {target.name} goes on: there must be one "
            "target for each matrix"
        )


def _plot(where: str, report: InversionReport, residuals: np.ndarray, entries: EntrySample) -> None:
    # Matplotlib takes long to import: only who asks for a plot waits for it.
    from deepmatrixinversion.reporting.plots import (
        predicted_against_true,
        residual_histogram,
        save_figure,
    )

    how = "LAPACK" if report.model is None else report.model
    if report.mode == "nn":
        how += ", raw" if report.raw else ", refined"
    title = f"{report.matrices:,} matrices of order {report.order}: {how}"
    if report.errors is None:
        figure = residual_histogram(residuals, title=title)
    else:
        if report.on_uncertified == "nan" and report.certificates.certified < report.matrices:
            title += f", {report.certificates.certified:,} of them certified and shown"
        figure = predicted_against_true(
            entries.targets,
            entries.predictions,
            report.errors,
            title=title,
            matrices=report.matrices,
            truth="target",
        )
    save_figure(figure, where)


if __name__ == "__main__":
    sys.exit(main())
