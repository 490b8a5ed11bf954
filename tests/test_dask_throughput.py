"""Long stacks of small matrices through a cluster of two workers, beside one process.

`python -m pytest -m 'dask and slow' tests/test_dask_throughput.py` needs 11 GB of disk.
"""

from __future__ import annotations

import shutil
import time

import numpy as np
import pytest

import deepmatrixinversion as dmx
from deepmatrixinversion import kernel

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
zarr = pytest.importorskip("zarr")
pytestmark = pytest.mark.dask

import dask.array as da  # noqa: E402

from deepmatrixinversion.dask import inv  # noqa: E402

CHUNK, ROUNDS = 500_000, 2


@pytest.fixture
def client():
    options = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": 2**30}
    with (
        distributed.LocalCluster(dashboard_address=None, **options) as cluster,
        distributed.Client(cluster) as connected,
    ):
        connected.wait_for_workers(2)
        yield connected


def stack_on_disk(path, count):
    """A Zarr array of 3x3 matrices."""
    options = {"dtype": float, "chunks": (CHUNK, 3, 3), "compressors": None}
    return zarr.create_array(path, shape=(count, 3, 3), **options)


def filled(array):
    """With its entries, chunk by chunk."""
    rng = np.random.default_rng(0)
    for first in range(0, array.shape[0], CHUNK):
        array[first : first + CHUNK] = rng.uniform(-1, 1, (CHUNK, 3, 3)) + 3 * np.eye(3)
    return array


def spent(work, *arrays, clock=time.process_time):
    """What the clock, or clocks, went on by."""
    begun, wall = clock(), time.perf_counter()
    work(*arrays)
    return np.sum(clock()) - np.sum(begun), time.perf_counter() - wall


def by_one(source, sink):
    """Chunk by chunk on one thread of this process."""
    with kernel.threads(1):
        for first in range(0, source.shape[0], CHUNK):
            part = slice(first, first + CHUNK)
            sink[part] = dmx.inv(source[part])


def by_cluster(source, sink):
    """The same chunks by the workers."""
    da.store(inv(da.from_zarr(source)), sink, lock=False)


def begin():
    """What comes once: modules, models, the kernel."""
    dmx.inv(np.eye(3)[None])


@pytest.mark.parametrize(
    "count", [10**6, *(pytest.param(10**k, marks=pytest.mark.slow) for k in (7, 8))]
)
def test_two_workers_invert_as_fast_each_as_one_process(client, tmp_path, count):
    """By the processors' time, turn by turn: two processes may not find two processors free."""

    def on_workers():
        return list(client.run(time.process_time).values())

    size, shares = count // ROUNDS, []
    begin()
    client.run(begin)
    for k in range(ROUNDS):
        source, sink, alone = (
            stack_on_disk(tmp_path / f"{name}-{k}", size) for name in ("source", "sink", "alone")
        )
        filled(source)
        one, wall = spent(by_one, source, alone)
        two, both = spent(by_cluster, source, sink, clock=on_workers)
        shares.append(one / two)
        print(f"{size:.3g}: one {one:.2f} s in {wall:.2f}, two workers {two:.2f} s in {both:.2f}")
        for first in range(0, size, CHUNK):
            part = slice(first, first + CHUNK)
            np.testing.assert_array_equal(sink[part], alone[part])
        for name in ("source", "sink", "alone"):
            shutil.rmtree(tmp_path / f"{name}-{k}")
    spilled = client.run(lambda dask_worker: dask_worker.data.spilled_total.memory)
    assert set(spilled.values()) == {0}
    if count > 10**6:
        assert max(shares) >= 0.8
