"""Commands among hostile surroundings: signals, closed streams, full disks, a fresh home."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from deepmatrixinversion.cli import invert as command
from deepmatrixinversion.matrices import read_matrices, write_matrices
from models_for_tests import well_conditioned

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and descriptors")

A = well_conditioned(50, seed=3)
INVERT = f"{sys.executable} -m deepmatrixinversion.cli.invert"
VERIFY = f"{sys.executable} -m deepmatrixinversion.cli.dataset_verify"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_matrices("a.npy", A)
    return tmp_path


def shell(words, **options):
    """A command line run by the shell, whose redirections close streams."""
    options = {"capture_output": True, "text": True, "timeout": 120} | options
    return subprocess.run(["sh", "-c", words], check=False, **options)


def names(folder):
    return sorted(p.name for p in folder.iterdir())


# --- signals -------------------------------------------------------------------------------------


def started(words, wait_for):
    """A command that has begun to write, and will not end by itself: its input stays open."""
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    text = b"1.0,2.0,0.5\n0.0,1.0,0.25\n0.5,0.0,1.0\nEND\n"
    assert process.stdin is not None
    process.stdin.write(text * 200_000)  # several blocks
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while not wait_for() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert wait_for()
    return process


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.usefixtures("usual_signals")
def test_a_signal_leaves_nothing_behind(here, number, status):
    words = [*INVERT.split(), "--inputmx", "-", "--inverseout", "x.npy", "--invert_mode", "numpy"]
    (here / "x.npy").write_bytes(b"old")
    process = started(words, lambda: len(names(here)) > 2)
    temporary = set(names(here)) - {"a.npy", "x.npy"}
    assert all(name.startswith(".x.npy.") for name in temporary)  # it says whose it is
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert err.decode().strip() == f"ended by {signal.Signals(number).name}"
    assert names(here) == ["a.npy", "x.npy"]
    assert (here / "x.npy").read_bytes() == b"old"


def test_what_nohup_ignores_stays_ignored(here):
    words = [*INVERT.split(), "--inputmx", "-", "--inverseout", "x.npy", "--invert_mode", "numpy"]
    script = 'trap "" HUP; exec "$@"'
    process = started(["sh", "-c", script, "sh", *words], lambda: len(names(here)) > 1)
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert len(read_matrices("x.npy")) == 200_000


def test_handlers_are_put_back(here):
    before = signal.getsignal(signal.SIGTERM)
    words = ["--inputmx", "a.npy", "--inverseout", "x.npy", "--invert_mode", "numpy"]
    assert command.main(words) == 0
    assert signal.getsignal(signal.SIGTERM) is before


# --- closed streams ------------------------------------------------------------------------------

CLOSED = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"]


@pytest.mark.parametrize("closed", CLOSED)
def test_closed_streams_do_not_disturb(here, closed):
    """A singular matrix makes something to say on each stream."""
    write_matrices("b.npy", np.concatenate([A, np.ones((1, 3, 3))]))
    done = shell(f"{INVERT} --inputmx b.npy --inverseout x.npy --report r.json {closed}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    X = read_matrices("x.npy", finite=False)
    assert np.isfinite(X[:-1]).all()
    assert (here / "b.npy").read_bytes() == _npy(np.concatenate([A, np.ones((1, 3, 3))]))


def _npy(array):
    write_matrices("copy.npy", array)
    with open("copy.npy", "rb") as file:
        return file.read()


@pytest.mark.parametrize(
    "words, says",
    [
        (f"{INVERT} --inputmx - --inverseout x.npy <&-", "standard input is closed"),
        (f"{INVERT} --inputmx a.npy --inverseout - >&-", "standard output is closed"),
        (f"{INVERT} --inputmx a.npy --invtarget - --inverseout x.npy <&-", "input is closed"),
        (f"{VERIFY} - a.npy invertible <&-", "standard input is closed"),
    ],
)
def test_a_dash_needs_its_stream(here, words, says):
    done = shell(words)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert names(here) == ["a.npy"]


@pytest.mark.parametrize("closed", CLOSED)
@pytest.mark.parametrize("words, status", [("--help", 0), ("--version", 0), ("--nonsense", 2)])
def test_help_and_slips_with_closed_streams(closed, words, status):
    done = shell(f"{INVERT} {words} {closed}")
    assert done.returncode == status
    assert "Traceback" not in done.stderr + done.stdout


# --- full disks ----------------------------------------------------------------------------------


def test_no_space_left_names_the_file(here):
    # A process whose coverage is taken has a file of its own that finds no space.
    unmeasured = "unset COVERAGE_PROCESS_CONFIG COVERAGE_PROCESS_START; ulimit -f 1"
    done = shell(f"{unmeasured}; {INVERT} --inputmx a.npy --inverseout x.npy --invert_mode numpy")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "x.npy: File too large" in line
    assert names(here) == ["a.npy"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_standard_output_is_named_once(here):
    done = shell(f"{INVERT} --inputmx a.npy --inverseout x.npy >/dev/full")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "standard output: No space left on device" in line


# --- slips on the command line -------------------------------------------------------------------


@pytest.mark.parametrize("module", ["invert", "export", "train", "dataset_verify"])
def test_a_slip_is_one_line_that_names_the_help(module):
    done = shell(f"{sys.executable} -m deepmatrixinversion.cli.{module} --nonsense")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("dmx")
    assert "--help' explains the options" in line


# --- jobs ----------------------------------------------------------------------------------------


def test_jobs_use_the_active_environment_first(here):
    """The commands on PATH win over those of the checkout's own environment."""
    jobs, active, own = here / "jobs", here / "active", here / ".venv" / "bin"
    for folder, word in ((active, "active"), (own, "own")):
        folder.mkdir(parents=True)
        (folder / "dmxtrain").write_text(f"#!/bin/sh\necho {word} >&2\nexit 3\n")
        (folder / "dmxtrain").chmod(0o755)
    jobs.mkdir()
    script = Path(__file__).parents[1] / "jobs" / "run.x"
    (jobs / "run.x").write_text(script.read_text())
    for path, word in ((f"{active}:/usr/bin:/bin", "active"), ("/usr/bin:/bin", "own")):
        done = shell("bash jobs/run.x", env={"PATH": path})
        assert (done.returncode, done.stderr.strip()) == (3, word)
