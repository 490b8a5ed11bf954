"""The work of ``dmxinvert``: blocks in, answers out, and what was seen on the way."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from deepmatrixinversion.atomic import atomic_text, atomic_write
from deepmatrixinversion.cli.aligned import Beside, side_by_side
from deepmatrixinversion.cli.kinds import (
    KINDS,
    WRITTEN,
    Answers,
    Kind,
    replaced,
    replacement,
    status,
)
from deepmatrixinversion.cli.picture import draw
from deepmatrixinversion.cli.pieces import Pieces, stamp
from deepmatrixinversion.cli.text_options import asked_dialect
from deepmatrixinversion.errors import NotSquareError
from deepmatrixinversion.matrices import MatrixReader, MatrixWriter, read_blocks
from deepmatrixinversion.matrices.memory import check_memory
from deepmatrixinversion.reporting.answers import AnswerSummary
from deepmatrixinversion.reporting.metrics import (
    EntrySample,
    ErrorAccumulator,
    ResidualAccumulator,
    frobenius_residuals,
)
from deepmatrixinversion.reporting.progress import reading_progress
from deepmatrixinversion.reporting.report import InversionReport
from deepmatrixinversion.reporting.worst import Worst
from deepmatrixinversion.signals import Terminated
from deepmatrixinversion.version import version

# Options whose values answers depend on, besides the files and the model.
_DECIDING = ("kind", "invert_mode", "raw", "tol", "rtol", "batch_size")
_READING = ("delimiter", "decimal", "skip_header")
_WORKING = 24  # the memory that inverting one large matrix takes, in matrices of its order


class Block(NamedTuple):
    """Matrices, right-hand sides and true answers, where there are any, and the answers."""

    A: NDArray
    B: NDArray | None
    truth: NDArray | None
    answers: Answers


class Seen:
    """Everything that a report and a plot are made of."""

    def __init__(self, kind: Kind, first: int, table: BinaryIO | None) -> None:
        self.residuals = ResidualAccumulator()
        self.errors = ErrorAccumulator()
        self.entries = EntrySample()
        self.worst = Worst()
        self._first = first
        wording = kind.wording
        bounds = tuple(wording.bounds)
        self.answers = AnswerSummary(bounds, good=wording.good, first=first, table=table)
        self.not_finite = self.not_compared = 0
        self.targets_off = 0.0  # largest residual of a target whose matrix has a certified inverse

    def add(self, block: Block, X: NDArray, comparable: NDArray[np.bool_]) -> None:
        """A block, and the answers that were written, some of them fit for comparison."""
        residuals = block.answers.columns["residual"]
        at = self._first + self.answers.matrices
        self.residuals.add(residuals)
        self.answers.add(block.answers.columns)
        finite = np.isfinite(block.A).all(axis=(-2, -1))
        if block.B is not None:
            finite &= np.isfinite(block.B).all(axis=(-2, -1))
        self.not_finite += int((~finite).sum())
        if block.truth is None:
            if block.B is None and block.A.shape[-1] == block.A.shape[-2]:
                self.worst.add(at, block.A, X, None, np.where(comparable, residuals, np.nan))
            return
        shown = np.isfinite(block.truth).all(axis=(-2, -1))
        self.not_compared += int((~shown).sum())
        shown &= comparable
        self.errors.add(X[shown], block.truth[shown])
        self.entries.add(X[shown], block.truth[shown])
        if block.B is None and (proven := block.answers.columns.get("certified")) is not None:
            own = frobenius_residuals(block.A[shown & proven], block.truth[shown & proven])
            self.targets_off = max(self.targets_off, float(own.max(initial=0.0)))
        with np.errstate(all="ignore"):
            off = np.abs(X - block.truth).max(axis=(-2, -1), initial=0.0)
        self.worst.add(at, block.A, X, block.truth, np.where(shown, off, np.nan))


def invert_file(options: argparse.Namespace) -> int:
    """Do what the options of ``dmxinvert`` ask for; its exit status."""
    how = replacement(options)
    with ExitStack() as stack:
        job = _Job(options, stack)
        out = stack.enter_context(MatrixWriter(options.inverseout))
        table = None
        if _suffix(options.report) == ".csv":
            table = stack.enter_context(atomic_write(options.report))
        seen = Seen(job.kind, job.first, table)
        try:
            for block in job:
                good = block.answers.columns[job.kind.wording.good]
                X, comparable = replaced(job.kind, block.answers.X, good, block.A, block.B, how)
                out.write(X)
                seen.add(block, X, comparable)
        except (KeyboardInterrupt, Terminated):
            if job.pieces is not None:
                print(
                    f"go on with the same command: finished blocks are in {job.pieces.folder}",
                    file=sys.stderr,
                )
            elif job.seconds > WORTH_KEEPING:
                print("nothing was kept; with --resume finished blocks are", file=sys.stderr)
            raise
    if job.pieces is not None:
        job.pieces.remove()
    report = InversionReport(
        wording=job.kind.wording,
        shape=(job.source.rows, job.source.cols),
        mode=options.invert_mode,
        raw=options.raw,
        model=job.kind.model,
        on_uncertified=how,
        seconds=job.seconds,
        residual=seen.residuals.statistics(),
        # With a target, too, there may be nothing to compare: every answer replaced by NaN.
        errors=seen.errors.statistics() if seen.errors.count else None,
        answers=seen.answers,
    )
    if _suffix(options.report) == ".json":
        atomic_text(options.report, report.to_json())
    if options.plotout is not None:
        draw(options.plotout, report, seen)
    # With the answers on standard output, the table must not get between them.
    if not options.quiet:
        Console(stderr=options.inverseout == "-").print(report.to_table())
    return _status(options, seen, how)


ROUNDED = 1e-6  # residuals that only targets of few digits leave
WORTH_KEEPING = 10.0  # seconds of inverting that somebody might not want to lose


class _Job:
    """Open files and the method, as an iterator over blocks with their answers."""

    def __init__(self, options: argparse.Namespace, stack: ExitStack) -> None:
        self.seconds = 0.0
        rows = options.rows or slice(0, None)
        self.first = rows.start
        progress = stack.enter_context(reading_progress("inverting", quiet=options.quiet))
        dialect = asked_dialect(options)

        def opened(path: str, **more: Any) -> MatrixReader:
            part = {"first": rows.start, "last": rows.stop}
            reader = stack.enter_context(read_blocks(path, dialect=dialect, **part | more))
            if reader.spelling and not options.quiet:
                print(f"{reader.name}: read as {reader.spelling}", file=sys.stderr)
            return reader

        square = options.kind != "pinv"
        # A matrix that is not finite is one without an answer, not the end of all others.
        try:
            source = self.source = opened(options.inputmx, square=square, progress=progress)
        except NotSquareError as error:
            raise ValueError(f"{error}; --kind pinv takes rectangular ones") from None
        self._target = self._rhs = None
        wanted = (source.cols, source.rows)
        if options.rhs is not None:
            one = _holds_one(options.rhs, dialect)
            rhs = opened(options.rhs, first=0, last=None) if one else opened(options.rhs)
            _check_shape(rhs, (source.rows, rhs.cols), source)
            self._rhs = Beside(rhs, source, "right-hand side", constant=one)
            wanted = (source.cols, rhs.cols)
        if options.invtarget is not None:
            target = opened(options.invtarget)
            _check_shape(target, wanted, source)
            self._target = Beside(target, source, "target")
        order = max(source.rows, source.cols)
        check_memory(source.name, 8 * order**2 * _WORKING, f"inverting a matrix of order {order}")
        self.kind = KINDS[options.kind](options, (source.rows, source.cols))
        self.pieces = (
            Pieces(options.inverseout, self._described(options)) if options.resume else None
        )

    def __iter__(self) -> Iterator[Block]:
        at = self.first
        for A, B, truth in side_by_side(self.source, [self._rhs, self._target]):
            assert A is not None
            start = time.perf_counter()
            answers = None if self.pieces is None else self.pieces.get(at, len(A))
            if answers is None:
                answers = self.kind.answer(A, B)
                if self.pieces is not None:
                    self.pieces.put(at, answers)
            self.seconds += time.perf_counter() - start
            yield Block(A, B, truth, answers)
            at += len(A)

    def _described(self, options: argparse.Namespace) -> dict[str, Any]:
        """Everything that the answers depend on, as JSON gives it back."""
        return {
            "version": version(),
            "input": stamp(options.inputmx),
            "rhs": stamp(options.rhs),
            "rows": None if options.rows is None else [options.rows.start, options.rows.stop],
            "model": self.kind.model,
            **{name: getattr(options, name) for name in _DECIDING + _READING},
        }


def _holds_one(path: str, dialect: Any) -> bool:
    """Whether a file holds a single matrix, which then serves for all."""
    if path == "-":
        return False
    with read_blocks(path, block_matrices=1, dialect=dialect) as reader:
        next(reader)
        return next(reader, None) is None


def _check_shape(beside: MatrixReader, shape: tuple[int, int], source: MatrixReader) -> None:
    if (beside.rows, beside.cols) != shape:
        raise ValueError(
            f"{beside.name}: its matrices are {beside.rows} x {beside.cols}, but those that go "
            f"with {source.name} are {shape[0]} x {shape[1]}"
        )


def _status(options: argparse.Namespace, seen: Seen, how: str) -> int:
    """Say what was not answered, and the exit status."""
    answers, not_finite = seen.answers, seen.not_finite
    if seen.not_compared:
        print(
            f"dmxinvert: targets that are not finite: {seen.not_compared}, left out",
            file=sys.stderr,
        )
    if seen.targets_off > max(ROUNDED, seen.residuals.statistics().max):
        print(
            "dmxinvert: targets of certified matrices leave |I - AT|F up to "
            f"{seen.targets_off:.2g}, more than any answer: what errors say is theirs",
            file=sys.stderr,
        )
    if answers.count == answers.matrices:
        return 0
    if options.kind == "pinv":
        print(f"dmxinvert: NaN or infinity in {not_finite}; written: NaN", file=sys.stderr)
        return 1
    written = WRITTEN[how]
    if how == "pinv" and options.kind == "solve":
        written += "'s solution"
    if not_finite and how != "nan":
        written += f", but NaN for {not_finite} with NaN or infinity, for which there is none"
    bound = "residual bound" if options.kind == "inverse" else "relative error bound"
    others = answers.describe_others(bound)
    print(f"dmxinvert: {others}; written: {written}", file=sys.stderr)
    return status(options, not_finite)


def _suffix(path: str | None) -> str:
    return "" if path is None else os.path.splitext(path)[1].lower()
