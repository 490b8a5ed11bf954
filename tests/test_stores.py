"""Zarr stores and .npy files inverted by several processes: complete, resumable, the same bits."""

# Stand-ins have only what the test needs.
# pyright: reportArgumentType=false

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import deepmatrixinversion as dmx
from deepmatrixinversion.cli.invert import main
from deepmatrixinversion.stores import job, runners
from deepmatrixinversion.stores.npy_parts import NpySource

A = np.random.default_rng(0).normal(size=(1000, 3, 3))
SINGULAR = A.copy()
SINGULAR[[77, 500]] = 1.0
SINGULAR[900, 0, 0] = np.nan


@pytest.fixture
def parts(monkeypatch):
    """Parts of 100 matrices."""
    monkeypatch.setattr(job, "PART_BYTES", 100 * 72)


def invert(*words):
    """``dmxinvert`` in this process."""
    return main(["--inputmx", *map(str, words[:1]), "--inverseout", *map(str, words[1:])])


# --- .npy, by several processes -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<i4"])
def test_npy_by_several_processes_is_npy_by_one(parts, tmp_path, dtype):
    M = np.round(A * 100).astype(dtype) + np.eye(3, dtype=dtype) * 500
    np.save(tmp_path / "a.npy", M)
    assert invert(tmp_path / "a.npy", tmp_path / "one.npy", "--quiet") == 0
    assert invert(tmp_path / "a.npy", tmp_path / "two.npy", "--workers", "2", "--quiet") == 0
    assert (tmp_path / "one.npy").read_bytes() == (tmp_path / "two.npy").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npy", "one.npy", "two.npy"]


def test_what_is_not_certified_is_named(parts, tmp_path, capsys):
    np.save(tmp_path / "a.npy", SINGULAR)
    assert invert(tmp_path / "a.npy", tmp_path / "x.npy", "--workers", "2") == 1
    out, err = capsys.readouterr()
    assert "1,000 matrices of order 3, 997 certified" in out
    assert "matrices [77, 500, 900] of 1000 " in err
    X = np.load(tmp_path / "x.npy")
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(X).any(axis=(1, 2))), [77, 500, 900])
    words = ("--workers", "1", "--on_uncertified", "pinv", "--quiet")
    assert invert(tmp_path / "a.npy", tmp_path / "x.npy", *words) == 1  # NaN has none
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy")[77], dmx.pinv(SINGULAR[77]))


def test_a_failure_leaves_the_old_file(parts, tmp_path, capsys, monkeypatch):
    np.save(tmp_path / "a.npy", A)
    (tmp_path / "x.npy").write_text("old")

    def cut(*_):
        raise OSError(28, "No space left on device", "x.npy")

    monkeypatch.setattr(NpySource, "read", cut)
    monkeypatch.setattr("deepmatrixinversion.cli.invert_store.in_processes", lambda n: in_one)
    assert invert(tmp_path / "a.npy", tmp_path / "x.npy", "--workers", "2") == 2
    assert "No space left" in capsys.readouterr().err
    assert (tmp_path / "x.npy").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


def in_one(what):
    yield from runners.in_this_process(what)


def test_a_killed_process_ends_in_one_sentence():
    broken = job.Job(Dying(), None, None, 100)
    with pytest.raises(OSError, match="fewer --workers"):
        list(runners.in_processes(1)(broken))


class Dying:
    """A source whose reader is killed."""

    shape = (1000, 3, 3)

    def read(self, *_):
        os.kill(os.getpid(), signal.SIGKILL)


REFUSED = {
    "another format": (("a.mx", "x.npy", "--workers", "2"), "only .npy files and .zarr stores"),
    "another output": (("a.npy", "x.mx", "--workers", "2"), "only .npy files and .zarr stores"),
    "a report": (("a.npy", "x.npy", "--workers", "2", "--report", "r.json"), "leave out --report"),
    "Fortran order": (("f.npy", "x.npy", "--workers", "2"), "save it in C order"),
    "not square": (("r.npy", "x.npy", "--workers", "2"), "2 x 3"),
    "itself": (("a.npy", "a.npy", "--workers", "2"), "must not overwrite"),
    "within itself": (("a.zarr", "a.zarr/x"), "must not lie in"),
    "cut short": (("c.npy", "x.npy", "--workers", "2"), "damaged"),
    "both": (("a.npy", "x.npy", "--workers", "2", "--cluster", "local"), "either"),
    "nothing there": (("none.zarr", "x.npy"), "none.zarr: No such file"),
    "another order": (
        ("a.npy", "x.npy", "--workers", "1", "--raw", "--model", "feedback-4"),
        "raw",
    ),
}


@pytest.mark.parametrize("words, message", REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_is_refused_in_one_sentence(tmp_path, monkeypatch, capsys, words, message):
    if "zarr" in words[0]:
        pytest.importorskip("zarr")
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", A)
    np.save("f.npy", np.asfortranarray(A))
    np.save("r.npy", A[:, :2])
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "c.npy").write_bytes(data[:-1])
    before = sorted(os.listdir())
    assert invert(*words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
    assert sorted(os.listdir()) == before


# --- Zarr -----------------------------------------------------------------------------------------


@pytest.fixture
def zarr():
    return pytest.importorskip("zarr")


def stored(zarr, path, M, chunk=50, **options):
    """A Zarr array of these matrices."""
    chunks = (chunk, *M.shape[1:])
    array = zarr.create_array(str(path), shape=M.shape, chunks=chunks, dtype=M.dtype, **options)
    array[:] = M
    return path


def assert_holds(zarr, path, M):
    """The store has the inverses and certificates of M, to the bit."""
    group, expected = zarr.open_group(str(path), mode="r"), dmx.inv_ex(M)
    np.testing.assert_array_equal(group["inverse"][:], expected.inverse)
    for name in expected.certificate._fields:
        np.testing.assert_array_equal(group[name][:], getattr(expected.certificate, name))
    np.testing.assert_array_equal(group["steps"][:], expected.steps)
    assert group["done"][:, 0].all()


@pytest.mark.dask
@pytest.mark.parametrize("options", [{}, {"shards": (200, 3, 3)}, {"zarr_format": 2}])
def test_zarr_in_and_out(parts, zarr, tmp_path, options):
    stored(zarr, tmp_path / "a.zarr", A, **options)
    assert invert(tmp_path / "a.zarr", tmp_path / "x.zarr", "--quiet") == 0
    assert_holds(zarr, tmp_path / "x.zarr", A)
    # Whose inverses are the matrices again.
    assert invert(tmp_path / "x.zarr/inverse", tmp_path / "a2.npy", "--quiet") == 0
    assert np.abs(np.load(tmp_path / "a2.npy") - A).max() < 1e-6
    np.save(tmp_path / "a.npy", A)
    assert invert(tmp_path / "a.npy", tmp_path / "y.zarr", "--workers", "2", "--quiet") == 0
    assert_holds(zarr, tmp_path / "y.zarr", A)


def before(capsys):
    """Matrices that the last run found done."""
    found = re.search(r"certified, ([\d,]+) of them before", capsys.readouterr().out)
    return int(found[1].replace(",", "")) if found else 0


@pytest.mark.dask
def test_what_is_done_is_kept_and_checked(parts, zarr, tmp_path, capsys):
    path = stored(zarr, tmp_path / "a.zarr", A)
    words = (path, tmp_path / "x.zarr")
    invert(*words)
    assert before(capsys) == 0
    invert(*words)
    assert before(capsys) == 1000
    # A chunk that is damaged, or gone, is made anew: with it the part of 100 that it belongs to.
    chunk = tmp_path / "x.zarr/inverse/c/3/0/0"
    data = bytearray(chunk.read_bytes())
    data[5] ^= 1
    chunk.write_bytes(data)
    (tmp_path / "x.zarr/error_bound/c/7").unlink()
    invert(*words)
    assert before(capsys) == 800
    assert_holds(zarr, tmp_path / "x.zarr", A)
    # So is one whose matrices have changed.
    changed = A.copy()
    changed[250] += 1
    zarr.open_array(str(path), mode="r+")[250] = changed[250]
    invert(*words)
    assert before(capsys) == 900
    assert_holds(zarr, tmp_path / "x.zarr", changed)


@pytest.mark.dask
def test_another_job_is_not_mixed_in(parts, zarr, tmp_path, capsys):
    path = stored(zarr, tmp_path / "a.zarr", A)
    invert(path, tmp_path / "x.zarr")
    assert invert(path, tmp_path / "x.zarr", "--rtol", "1e-9") == 2
    assert "rtol differ" in capsys.readouterr().err
    assert invert(stored(zarr, tmp_path / "b.zarr", A[:500]), tmp_path / "x.zarr") == 2
    assert "matrices differ" in capsys.readouterr().err
    os.mkdir(tmp_path / "other.zarr")
    assert invert(path, tmp_path / "other.zarr") == 2
    assert "something else is there" in capsys.readouterr().err
    group = zarr.create_group(str(tmp_path / "g.zarr"))
    for name in "ab":
        group.create_array(name, shape=(2, 2, 2), dtype=float)
    assert invert(tmp_path / "g.zarr", tmp_path / "y.zarr") == 2
    assert re.search(r"these arrays of matrices: a, b; name one", capsys.readouterr().err)
    (tmp_path / "file.zarr").write_text("no store")
    assert invert(tmp_path / "file.zarr", tmp_path / "y.zarr") == 2
    assert "no Zarr store" in capsys.readouterr().err


@pytest.mark.dask
def test_a_run_that_is_killed_goes_on(zarr, tmp_path):
    M = np.random.default_rng(1).normal(size=(20_000, 32, 32)).astype(np.float64)
    stored(zarr, tmp_path / "a.zarr", M, chunk=500)
    words = [sys.executable, "-m", "deepmatrixinversion.cli.invert"]
    words += ["--inputmx", "a.zarr", "--inverseout", "x.zarr"]
    first = subprocess.Popen(words, cwd=tmp_path)
    done = tmp_path / "x.zarr/done/c"
    while not (done.exists() and len(list(done.iterdir())) > 1) and first.poll() is None:
        time.sleep(0.005)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    kept = len(list(done.glob("*/0")))
    assert 0 < kept < 10
    second = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert f"20,000 certified, {2000 * kept:,} of them before" in second.stdout
    assert_holds(zarr, tmp_path / "x.zarr", M)


@pytest.mark.dask
def test_a_cluster_writes_what_one_process_writes(parts, zarr, tmp_path, capsys):
    distributed = pytest.importorskip("distributed")
    path = stored(zarr, tmp_path / "a.zarr", SINGULAR)
    assert invert(path, tmp_path / "x.zarr", "--cluster", "local:2") == 1
    assert "[77, 500, 900]" in capsys.readouterr().err
    options = {"n_workers": 2, "threads_per_worker": 2, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        address = cluster.scheduler_address
        assert invert(path, tmp_path / "y.zarr", "--cluster", address, "--quiet") == 1
    assert invert(path, tmp_path / "z.zarr", "--quiet") == 1
    groups = [zarr.open_group(str(tmp_path / f"{name}.zarr"), mode="r") for name in "xyz"]
    for name, array in groups[2].arrays():
        for group in groups[:2]:
            np.testing.assert_array_equal(group[name][:], array[:])


@pytest.mark.dask
def test_no_cluster_is_one_sentence(parts, zarr, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runners, "SECONDS", 0.5)
    path = stored(zarr, tmp_path / "a.zarr", A)
    for where, message in (("127.0.0.1:9", "no Dask scheduler answers"), ("local:x", "local:N")):
        assert invert(path, tmp_path / "x.zarr", "--cluster", where, "--quiet") == 2
        err = capsys.readouterr().err
        assert message in err
        assert len(err.splitlines()) == 1
