"""Who does a job's parts: this process, several of this machine, or the workers of a cluster."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from deepmatrixinversion.stores.job import Done, Job

Runner = Callable[[Job], Iterator[Done]]
"""What has become of each part, in any order."""

SECONDS = 20
"""How long a cluster may take to answer."""


def in_this_process(job: Job) -> Iterator[Done]:
    """One part after the other."""
    yield from map(job.do, range(job.parts()))


def in_processes(count: int) -> Runner:
    """By so many processes of this machine, each on one thread."""

    def run(job: Job) -> Iterator[Done]:
        context = multiprocessing.get_context("spawn")
        with _one_thread_each(), ProcessPoolExecutor(count, mp_context=context) as pool:
            futures = [pool.submit(job.do, number) for number in range(job.parts())]
            try:
                for future in as_completed(futures):
                    yield future.result()
            except BrokenProcessPool:
                raise ChildProcessError(
                    "a process was killed, perhaps for want of memory: go on with fewer --workers"
                ) from None
            finally:
                pool.shutdown(cancel_futures=True)

    return run


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that are started have one thread for matrix products."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def on_cluster(where: str) -> Runner:
    """By the workers of a Dask cluster: ``local``, ``local:N``, or a scheduler's address.

    A part whose worker dies is done anew by another one.
    """

    def run(job: Job) -> Iterator[Done]:
        with _client(where) as client:
            from dask.distributed import as_completed as completed

            futures = client.map(job.do, range(job.parts()), pure=False, key="invert")
            waiting = completed(futures)
            del futures
            for future in waiting:
                yield _outcome(future)

    return run


def _outcome(future: Any) -> Done:
    from dask.distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker:
        raise ChildProcessError(
            "workers were killed again and again, perhaps for want of memory: go on with fewer "
            "of them, or more memory"
        ) from None


@contextlib.contextmanager
def _client(where: str) -> Iterator[Any]:
    try:
        from dask.distributed import Client, LocalCluster
    except ImportError:
        raise ImportError(
            "--cluster needs Dask: pip install 'deepmatrixinversion[dask,zarr]'"
        ) from None
    kind, _, number = where.partition(":")
    if kind != "local":
        try:
            client = Client(where, timeout=SECONDS)
        except Exception as error:  # of many libraries below
            raise ConnectionError(f"{where}: no Dask scheduler answers ({error})") from None
        with client:
            yield client
        return
    if number and not (number.isdigit() and int(number)):
        raise ValueError(f"--cluster {where}: say local:N with N workers of at least 1")
    options: dict[str, Any] = {"dashboard_address": None, "silence_logs": logging.ERROR}
    if number:
        options["n_workers"] = int(number)
    with (
        LocalCluster(threads_per_worker=1, **options) as cluster,
        Client(cluster) as client,
    ):
        yield client
