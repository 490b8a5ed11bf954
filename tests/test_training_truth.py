"""What dmxtrain says of a training: whether it helped, how to go on, who else is at it."""

from __future__ import annotations

import functools
import shlex
import signal
import subprocess
import sys
import time

import pytest
import torch

import small_trainings
from deepmatrixinversion.cli import train as command
from deepmatrixinversion.errors import TrainingError
from deepmatrixinversion.reporting import progress
from deepmatrixinversion.training import finish, loop, run
from deepmatrixinversion.training.directory import RECIPE, new_directory
from deepmatrixinversion.training.lock import one_writer
from deepmatrixinversion.training.recipe import Recipe
from deepmatrixinversion.training.run import train

TINY = small_trainings.TINY | {"msize": 3, "nmx_samples": 64 * 5, "epochs": 1}
WORDS = [f"--{k}={v}" for k, v in TINY.items()]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder; a finished model is measured on few matrices, and not drawn."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(finish, "evaluate", functools.partial(finish.evaluate, matrices=100))
    monkeypatch.setattr(finish, "_draw", lambda *_: None)
    return tmp_path


def test_a_training_that_did_not_help_says_so(here, monkeypatch, capsys):
    worse = iter(range(100))
    monkeypatch.setattr(loop, "_select", lambda *_: loop.Selected(float(next(worse)), 0.0, 0.0))
    assert command.main([*WORDS, "--n_repeats=2"]) == 0
    err = capsys.readouterr().err
    assert "did not improve on the untrained network" in err
    assert "(member 1, 2 of 2)" in err
    better = iter(range(100, 0, -1))
    monkeypatch.setattr(loop, "_select", lambda *_: loop.Selected(float(next(better)), 0.0, 0.0))
    assert command.main(WORDS) == 0
    assert "did not improve" not in capsys.readouterr().err


def test_failures_are_a_warning(here, capsys):
    """An untrained dense network answers nothing well."""
    assert command.main(WORDS) == 0
    lines = capsys.readouterr().err.splitlines()
    warnings = [line for line in lines if line.startswith("warning: ") and "no inverses" in line]
    figures = [line for line in lines if "failures" in line and "failures 0.000 %" not in line]
    assert len(warnings) == len(figures) >= 1


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.usefixtures("usual_signals")
def test_an_interruption_names_the_command_that_goes_on(here, number, status):
    words = [sys.executable, "-m", "deepmatrixinversion.cli.train", *WORDS, "--epochs=100000"]
    process = subprocess.Popen([*words, "--mout=a b"], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(here.glob("*/checkpoint_1*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    (directory,) = here.glob("a b_*")
    assert f"go on with: dmxtrain --resume {shlex.quote(directory.name)}\n" in err
    assert "Traceback" not in err
    assert not list(directory.glob(".*"))


def test_resuming_says_where(here, monkeypatch, capsys):
    directory = new_directory(here / "run", Recipe.from_options(TINY | {"n_repeats": 2}))
    assert command.main(["--resume", str(directory)]) == 0
    err = capsys.readouterr().err
    assert f"{directory}: member 1 of 2, step 0 of 5\n" in err
    assert "training into" not in err


def test_a_running_training_has_one_writer(here, capsys):
    directory = new_directory(here / "run", Recipe.from_options(TINY))
    before = sorted(directory.iterdir())
    with one_writer(directory / RECIPE):
        assert command.main(["--resume", str(directory)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].endswith(
        "another process is training there; wait for it, or end it first"
    )
    assert sorted(directory.iterdir()) == before
    assert command.main(["--resume", str(directory)]) == 0  # the lock is gone


@pytest.mark.parametrize("device", ["cuda", "mps", "gpu"])
def test_a_device_that_is_missing_is_our_sentence(here, monkeypatch, capsys, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert command.main([*WORDS[:-1], f"--device={device}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"there is no device '{device}' here" in line
    assert "--device cpu" in line
    assert list(here.iterdir()) == []


def test_a_step_that_does_not_fit_is_one_sentence(here, monkeypatch):
    """What torch says of memory is a RuntimeError like any other."""
    recipe = Recipe.from_options(TINY)
    directory = new_directory(here / "run", recipe)

    def train_member(*_):
        return torch.empty(1 << 55)

    monkeypatch.setattr(run, "train_member", train_member)
    with pytest.raises(TrainingError, match="--batch_size"):
        train(directory, recipe, quiet=True)
    monkeypatch.setattr(run, "train_member", lambda *_: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match="size"):
        train(directory, recipe, quiet=True)


@pytest.mark.parametrize("quiet", [False, True])
def test_a_log_gets_a_line_now_and_then(here, monkeypatch, capsys, quiet):
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    assert command.main([*WORDS, *(["--quiet"] if quiet else [])]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("member 1/1")]
    assert bool(lines) != quiet
    for line in lines:
        assert "matrices/s" in line
