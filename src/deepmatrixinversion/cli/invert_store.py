"""``dmxinvert`` where several processes write: Zarr stores, and ``.npy`` with ``--workers``."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import sys
import time
from typing import Any

from numpy.typing import NDArray

from deepmatrixinversion.cli.kinds import WRITTEN, Inverses, replaced, replacement, status
from deepmatrixinversion.cli.model_names import newest
from deepmatrixinversion.errors import MatrixFormatError
from deepmatrixinversion.linalg.engine import Inversion
from deepmatrixinversion.reporting.answers import describe_others
from deepmatrixinversion.reporting.progress import counting_progress
from deepmatrixinversion.stores.job import NAMED, Done, Job, Sink, Source, step_of
from deepmatrixinversion.stores.npy_parts import NpySource, npy_parts
from deepmatrixinversion.stores.runners import Runner, in_processes, in_this_process, on_cluster
from deepmatrixinversion.stores.zarr_group import ZarrSink, ZarrSource, is_zarr
from deepmatrixinversion.version import version

HOW = ("invert_mode", "model", "raw", "tol", "rtol", "batch_size")
"""The options that say how a matrix is inverted."""


def in_parts(options: argparse.Namespace) -> bool:
    """Whether several processes may write what is asked for."""
    several = options.workers is not None or options.cluster is not None
    return several or is_zarr(options.inputmx) or is_zarr(options.inverseout)


def invert_store(options: argparse.Namespace) -> int:
    """Invert part by part, and return the exit status."""
    _check(options)
    replace = replacement(options)
    source = _source(options.inputmx)
    if source.shape[1] != source.shape[2]:
        raise MatrixFormatError(
            f"{source.name}: its matrices are {source.shape[1]} x {source.shape[2]}, but only "
            "square ones will do here"
        )
    if options.model is not None:
        options.model = [newest(options.model)]
    how = tuple((k, getattr(options, k)) for k in HOW if k != "model")
    how += (("model", tuple(options.model or ())), ("inputmx", options.inputmx))
    name = Inverses(options, source.shape[1:]).model  # what cannot be is refused here
    said = {**dict(how), "model": name, "on_uncertified": replace, "version": version()}
    del said["inputmx"], said["batch_size"]
    step = min(step_of(source), source.shape[0])
    begun = time.perf_counter()
    with _sink(options.inverseout, source, step, said) as sink:
        invert = functools.partial(_inverted, how=how, replace=replace)
        job = Job(source, sink, invert, step)
        done = _run(job, _runner(options), options.quiet)
    seconds = time.perf_counter() - begun
    return _report(done, source, seconds, options)


def _check(options: argparse.Namespace) -> None:
    if options.kind != "inverse":
        raise ValueError(
            f"--kind {options.kind} is done by one process, without --workers and --cluster, and "
            "not in a Zarr store"
        )
    if options.resume:
        raise ValueError("--resume is for one process: a Zarr store goes on by itself")
    unused = ("invtarget", "plotout", "report", "rows", "delimiter", "decimal", "skip_header")
    given = [f"--{name}" for name in unused if getattr(options, name) is not None]
    if given:
        raise ValueError(
            f"leave out {', '.join(given)} where several processes may write; a .zarr store for "
            "--inverseout has the certificates in itself"
        )
    if options.workers is not None and options.cluster is not None:
        raise ValueError("give either --workers or --cluster")
    read, written = (os.path.realpath(p) for p in (options.inputmx, options.inverseout))
    if os.path.commonpath([read, written]) in (read, written):
        raise ValueError("--inverseout must not lie in --inputmx, nor the other way round")


def _source(path: str) -> Source:
    if is_zarr(path):
        return ZarrSource.of(path)
    _require_npy(path, "read")
    return NpySource.of(path)


def _sink(
    path: str, source: Source, step: int, said: dict[str, Any]
) -> contextlib.AbstractContextManager[Sink]:
    if is_zarr(path):
        return contextlib.nullcontext(ZarrSink.made(path, source, step, said))
    _require_npy(path, "written")
    return npy_parts(path, source.shape, source.dtype)


def _require_npy(path: str, what: str) -> None:
    if os.path.splitext(path)[1].lower() != ".npy":
        raise ValueError(
            f"{path}: only .npy files and .zarr stores are {what} in parts, by several processes"
        )


def _runner(options: argparse.Namespace) -> Runner:
    if options.cluster is not None:
        return on_cluster(options.cluster)
    return in_this_process if options.workers is None else in_processes(options.workers)


@functools.lru_cache(maxsize=2)
def _kind(how: tuple[tuple[str, Any], ...], order: int) -> Inverses:
    """The method, made once in each process."""
    options = argparse.Namespace(**dict(how))
    options.model = list(options.model) or None
    return Inverses(options, (order, order))


def _inverted(A: NDArray, how: tuple[tuple[str, Any], ...], replace: str) -> Inversion:
    kind = _kind(how, A.shape[-1])
    found = kind.invert(A)
    X, _ = replaced(kind, found.inverse, found.certificate.certified, A, None, replace)
    return found._replace(inverse=X)


def _run(job: Job, runner: Runner, quiet: bool) -> list[Done]:
    done: list[Done] = []
    with counting_progress("inverting", job.source.shape[0], quiet=quiet) as advance:
        for part in runner(job):
            done.append(part)
            advance(part.matrices)
    return done


def _report(done: list[Done], source: Source, seconds: float, options: argparse.Namespace) -> int:
    matrices, certified, not_finite = (sum(x) for x in zip(*(d[:3] for d in done), strict=True))
    kept = sum(d.matrices for d in done if d.kept)
    if not options.quiet:
        before = f", {kept:,} of them before" if kept else ""
        print(
            f"{matrices:,} matrices of order {source.shape[1]}, {certified:,} certified{before}\n"
            f"largest relative error bound {max(d.largest for d in done):.3e}\n"
            f"{seconds:.1f} s, {(matrices - kept) / max(seconds, 1e-9):,.0f} matrices/s"
        )
    if certified == matrices:
        return 0
    named = sorted(x for d in done for x in d.named)[:NAMED]
    others = describe_others(named, matrices - certified, matrices)
    written = WRITTEN[replacement(options)]
    print(f"dmxinvert: {others}; written: {written}", file=sys.stderr)
    return status(options, not_finite)
