"""Stacks in Dask: lazy, chunked as they are, bit for bit what one process gives."""

# Arrays come back as the kind that went in, which the annotations do not say.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest

import deepmatrixinversion as dmx
from deepmatrixinversion.kernel.state import default_threads

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.dask

import dask.array as da  # noqa: E402

from deepmatrixinversion.dask import functions, inv, inv_ex, pinv, solve  # noqa: E402

RNG = np.random.default_rng(0)
A = RNG.normal(size=(100, 3, 3))
LAZY = da.from_array(A, chunks=(10, 3, 3))


def arrays(result):
    """Every array of a record of records."""
    if isinstance(result, tuple):
        return [x for part in result for x in arrays(part)]
    return [result]


def assert_same(lazy, expected):
    """The same bits, and what was announced: shape, dtype and meta."""
    found = dask.compute(*arrays(lazy))
    for x, y, z in zip(arrays(lazy), found, arrays(expected), strict=True):
        assert (x.shape, x.dtype) == (z.shape, z.dtype)
        assert (y.shape, y.dtype, type(y)) == (z.shape, z.dtype, type(x._meta))
        np.testing.assert_array_equal(y, z)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.int64])
def test_results_are_those_of_numpy(dtype):
    M = np.round(4 * A).astype(dtype) + 9 * np.eye(3, dtype=dtype)
    lazy = da.from_array(M, chunks=(30, 3, 3))
    assert_same(inv(lazy), dmx.inv(M))
    assert_same(inv_ex(lazy), dmx.inv_ex(M))
    assert_same(pinv(lazy[:, :2]), dmx.pinv(M[:, :2]))
    assert_same(solve(lazy, lazy), dmx.solve(M, M))


def test_stacks_of_several_axes_broadcast():
    M = LAZY.reshape(4, 25, 3, 3).rechunk((2, 10, 3, 3))
    assert_same(inv_ex(M), dmx.inv_ex(A.reshape(4, 25, 3, 3)))
    B = RNG.normal(size=(4, 1, 3, 2))
    assert_same(solve(M, B), dmx.solve(A.reshape(4, 25, 3, 3), B))
    assert_same(solve(M, np.ones(3)), dmx.solve(A.reshape(4, 25, 3, 3), np.ones(3)))
    assert_same(solve(A[0], M), dmx.solve(A[0], A.reshape(4, 25, 3, 3)))
    assert_same(inv_ex(LAZY[0]), dmx.inv_ex(A[0]))
    some = LAZY[LAZY[:, 0, 0] > 0]  # of unknown length
    np.testing.assert_array_equal(inv(some).compute(), dmx.inv(A[A[:, 0, 0] > 0]))


def test_nothing_is_computed_before_it_is_asked_for(monkeypatch):
    def called(*_, **__):
        raise AssertionError("probed")

    monkeypatch.setattr(functions.by_numpy, "inv_ex", called)
    monkeypatch.setattr(functions.by_numpy, "inv", called)
    assert arrays(inv_ex(LAZY))[1].dtype == bool
    assert inv(LAZY).chunks == LAZY.chunks


def tasks(*collections):
    """Tasks that computing takes, a block of the stack."""
    seen = []
    with dask.callbacks.Callback(pretask=lambda key, *_: seen.append(key)):
        dask.compute(*collections, scheduler="synchronous")
    return len(seen) / LAZY.numblocks[0]


def test_a_block_is_inverted_once(monkeypatch):
    """Whatever Dask fuses."""
    seen = []
    counted = functions.by_numpy.inv_ex
    monkeypatch.setattr(
        functions.by_numpy, "inv_ex", lambda A, **k: seen.append(len(A)) or counted(A, **k)
    )
    with dask.config.set(scheduler="synchronous"):
        assert_same(inv_ex(LAZY), counted(A))
    assert seen == [10] * 10


def test_a_block_takes_few_tasks():
    # One makes the block, and each array asked for is put together at the end.
    made, end = 1, 1 / LAZY.numblocks[0]
    result = inv_ex(LAZY)
    assert tasks(inv(LAZY)) <= made + 1 + end
    assert tasks(result.certificate.certified) <= made + 1 + end
    assert tasks(result.inverse, result.certificate.certified) <= made + 3 + 2 * end
    assert tasks(*arrays(result)) <= made + 1 + 6 * (1 + end)


def test_map_blocks_takes_the_functions_of_numpy_arrays():
    """Dask's probe without a dtype is the 1x1 matrix 0, which has a pseudo-inverse alone."""
    for options in ({"dtype": float}, {"meta": LAZY._meta}):
        np.testing.assert_array_equal(da.map_blocks(dmx.inv, LAZY, **options), dmx.inv(A))
    np.testing.assert_array_equal(da.map_blocks(dmx.pinv, LAZY), dmx.pinv(A))
    with pytest.raises(ValueError, match="specify the dtype"):
        da.map_blocks(dmx.inv, LAZY)


def test_errors_name_the_block():
    singular = da.where(da.arange(100, chunks=10)[:, None, None] == 57, 0.0, LAZY)
    with pytest.raises(dmx.SingularMatrixError, match=r"block \(5,\).*\[7\] of 10") as caught:
        inv(singular).compute()
    assert caught.value.inversion.inverse.shape == (10, 3, 3)
    assert inv_ex(singular).certificate.certified.compute().sum() == 99
    with pytest.raises(ValueError, match=r"block \(5,\).*not finite"):
        pinv(da.where(singular == 0, np.nan, singular)).compute()
    with pytest.raises(dmx.SingularMatrixError, match="a block of the stack"):
        solve(singular, np.ones(3)).compute()


def test_what_cannot_be_is_refused_at_once():
    with pytest.raises(ValueError, match=r"A\.rechunk\(\{-2: -1, -1: -1\}\)"):
        inv(LAZY.rechunk((10, 2, 3)))
    with pytest.raises(ValueError, match=r"B\.rechunk\(\{-1: -1\}\)"):
        solve(LAZY, da.ones(3, chunks=2))
    for M in (LAZY[:, :2], LAZY[0, 0]):
        with pytest.raises(np.linalg.LinAlgError):
            inv(M)
    with pytest.raises(ValueError, match="fit"):
        solve(LAZY, np.ones(4))
    with pytest.raises(TypeError, match="float16"):
        inv(LAZY.astype(np.float16))


def test_models_go_along():
    assert_same(inv_ex(LAZY, model="spectral"), dmx.inv_ex(A, model="spectral"))
    model = dmx.Inverter.from_pretrained("feedback-3")
    assert_same(inv_ex(LAZY, model=model, rtol=1e-9), dmx.inv_ex(A, model=model, rtol=1e-9))
    assert inv(LAZY).name == inv(LAZY).name != inv(LAZY, rtol=1e-9).name


# --- xarray ---------------------------------------------------------------------------------------


def test_xarray_keeps_names():
    xr = pytest.importorskip("xarray")
    M = xr.DataArray(LAZY, dims=("time", "row", "column"), coords={"row": list("abc")}, name="M")
    X = inv(M)
    assert (X.dims, X.name, X.chunks) == (("time", "column", "row"), "M", M.chunks)
    np.testing.assert_array_equal(X.compute(), dmx.inv(A))
    assert inv_ex(M).inverse.dims == X.dims
    assert solve(M, M.rename(column="right")).dims == ("time", "column", "right")
    options = {"input_core_dims": [["row", "column"]], "output_core_dims": [["column", "row"]]}
    for by, how in ((dmx.inv, "parallelized"), (inv, "allowed")):
        Y = xr.apply_ufunc(by, M, dask=how, output_dtypes=[float], **options)
        assert Y.dims == X.dims
        assert list(Y.row) == list("abc")
        np.testing.assert_array_equal(Y.compute(), dmx.inv(A))


# --- a cluster of this machine --------------------------------------------------------------------

LIMIT = 400 * 2**20


@pytest.fixture(scope="module")
def cluster():
    options = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": LIMIT}
    with (
        dask.config.set({"distributed.worker.memory.pause": 0.9}),
        distributed.LocalCluster(dashboard_address=None, **options) as running,
    ):
        yield running


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as connected:
        connected.wait_for_workers(2)
        yield connected


def test_a_cluster_gives_the_bits_of_one_process(client):
    assert_same(inv_ex(LAZY), dmx.inv_ex(A))
    with pytest.raises(dmx.SingularMatrixError, match="block"):
        inv(0 * LAZY).compute()


def test_a_task_takes_one_thread(client, monkeypatch):
    used = client.submit(functions._on_one_thread, default_threads).result()
    assert used == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert default_threads() == 7
    assert functions._on_one_thread(default_threads) == 1
    assert default_threads() == 7


def test_a_stack_larger_than_all_memory(client):
    """1.1 GB through 0.8, of which the workers themselves take half."""
    k, blocks, n = 2**13, 66, 16
    stack = da.random.default_rng(1).uniform(-1, 1, size=(blocks * k, n, n), chunks=(k, n, n))
    assert stack.nbytes > 1.2 * 2 * LIMIT
    result = inv_ex(stack)
    X, certified = result.inverse, result.certificate.certified
    worst = abs(stack @ X - np.eye(n)).max(axis=(1, 2))
    found = dask.compute(certified.sum(), (worst > 1e-6).sum())
    assert found[0] == len(stack)
    assert found[1] < len(stack) / 1e4  # kappa of a few is 1e9
    spilled = client.run(lambda dask_worker: dask_worker.data.spilled_total.memory)
    assert set(spilled.values()) == {0}


def slow_block(block, block_id, log):
    """A block that writes down that it was begun, and takes its time."""
    with open(os.path.join(log, f"{block_id[0]}-{os.getpid()}-{time.time_ns()}"), "w"):
        time.sleep(0.2)
    return block


def test_a_worker_that_is_killed_loses_nothing(client, tmp_path):
    source = da.map_blocks(slow_block, LAZY, log=str(tmp_path), dtype=float, meta=LAZY._meta)
    future = client.compute(inv(source))
    while len(list(tmp_path.iterdir())) < 6:
        time.sleep(0.02)
    victim = int(next(iter(tmp_path.iterdir())).name.split("-")[1])
    os.kill(victim, signal.SIGKILL)
    np.testing.assert_array_equal(future.result(), dmx.inv(A))
    begun = [p.name.split("-")[:2] for p in tmp_path.iterdir()]
    for block in range(10):
        runs = [int(pid) for number, pid in begun if int(number) == block]
        # Once more only what the victim had.
        assert len(runs) == 1 or (len(runs) == 2 and victim in runs)
    client.wait_for_workers(2)
