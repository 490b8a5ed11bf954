"""A training that was really killed, and what cannot be resumed."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from deepmatrixinversion.cli import train as command
from deepmatrixinversion.models.directory import open_model
from deepmatrixinversion.training import finish
from deepmatrixinversion.training.checkpoints import checkpoint_file, read_progress
from deepmatrixinversion.training.run import train
from resuming import TINY, assert_same_files, begun, curve, interrupted


@pytest.fixture
def quick(monkeypatch):
    """Measure a finished model on few matrices and draw nothing: that is tested elsewhere."""
    evaluate = functools.partial(finish.evaluate, matrices=100)
    monkeypatch.setattr(finish, "evaluate", evaluate)
    monkeypatch.setattr(finish, "_draw", lambda *_: None)


KILLED = {"net": "dense", "nmx_samples": 64 * 900, "checkpoint_seconds": 0.05}


def killed(words, cwd, ready, delay):
    """Start the command, wait until ``ready()``, then ``delay`` seconds, then kill -9."""
    process = subprocess.Popen(
        [sys.executable, "-m", "deepmatrixinversion.cli.train", *words],
        cwd=cwd,
        env=dict(os.environ, OMP_NUM_THREADS="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 120
        while not ready():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(delay)
        assert process.poll() is None, "it had ended before the kill: make the training longer"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def test_kill_9_and_resume(tmp_path, monkeypatch, capsys, quick):
    whole, recipe = begun(tmp_path, "whole", **KILLED)
    train(whole, recipe, quiet=True)
    seed = time.time_ns()
    print(f"random.Random({seed})")
    rng = random.Random(seed)
    words = [f"--{k}={v}" for k, v in (TINY | KILLED).items()]

    def position():
        """(member, step) of the newest checkpoint of the killed run."""
        with contextlib.suppress(ValueError):
            (directory,) = tmp_path.glob("run_*")
            ends = [read_progress(checkpoint_file(directory, k)).step for k in (2, 1)]
            return (2, ends[0]) if ends[0] else (1, ends[1])
        return (1, 0)

    killed([*words, "--mout=run"], tmp_path, lambda: position() > (1, 0), rng.uniform(0, 0.3))
    (directory,) = tmp_path.glob("run_*")
    first = position()
    assert (1, 0) < first < (2, recipe.total_steps)
    # Once more, this time while it goes on with what the first left.
    resume = ["--resume", str(directory)]
    killed(resume, tmp_path, lambda: position() > first, rng.uniform(0, 0.3))
    assert first < position() < (2, recipe.total_steps)
    left = directory / f".{'0' * 16}.tmp"  # as a kill within a write leaves one
    left.write_bytes(b"half a checkpoint")
    assert command.main(resume) == 0
    assert capsys.readouterr().out.endswith(f"{directory}\n")
    assert not list(directory.glob(".*.tmp"))
    assert not list(directory.glob("checkpoint_*"))
    assert_same_files(directory, whole, "member_*.safetensors")
    assert curve(directory) == curve(whole)
    finish.finish(whole, recipe, command="")
    assert (directory / "model.onnx").read_bytes() == (whole / "model.onnx").read_bytes()
    open_model(directory)

    # It is a model now: there is nothing to resume.
    before = {p.name: p.read_bytes() for p in directory.iterdir() if p.is_file()}
    capsys.readouterr()
    assert command.main(resume) == 0
    out, err = capsys.readouterr()
    assert out == f"{directory}\n"
    assert err.startswith(f"{directory}: ")
    assert "finished" in err
    assert err.count("\n") == 1
    assert before == {p.name: p.read_bytes() for p in directory.iterdir() if p.is_file()}
    open_model(directory)


def refusal(capsys, *words):
    assert command.main([str(word) for word in words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert err.count("\n") == 1, err
    return err


def test_foreign_directories(tmp_path, capsys):
    for path in (tmp_path / "none", tmp_path):
        assert "no training to resume" in refusal(capsys, "--resume", path)
    (tmp_path / "training.json").write_text("not JSON")
    assert "not JSON" in refusal(capsys, "--resume", tmp_path)
    (tmp_path / "training.json").write_text("[]")
    assert "training.json" in refusal(capsys, "--resume", tmp_path)
    (tmp_path / "training.json").write_text('{"msize": 3}')
    assert "missing keys" in refusal(capsys, "--resume", tmp_path)
    (tmp_path / "training.json").write_bytes(b"\xff\xfe")
    assert "training.json" in refusal(capsys, "--resume", tmp_path)


@pytest.mark.parametrize("more", ["--seed=1", "--msize=2", "--mout=x", "--config=x.toml"])
def test_resume_takes_no_other_recipe(tmp_path, capsys, more):
    directory, _ = begun(tmp_path, "run")
    assert "--resume" in refusal(capsys, "--resume", directory, more)


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"x" * 1000])
def test_a_damaged_checkpoint_stops_the_command(tmp_path, capsys, content):
    directory, _ = begun(tmp_path, "run")
    path = checkpoint_file(directory, 1)
    path.write_bytes(content)
    assert command.main(["--resume", str(directory), "--quiet"]) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert str(path) in sentence
    assert "not a checkpoint" in sentence
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", ["", "a,b\n", None])
def test_a_damaged_curve_stops_the_command(tmp_path, capsys, monkeypatch, content):
    directory, recipe = begun(tmp_path, "run")
    interrupted(monkeypatch, directory, recipe, 1, 40)
    path = directory / "training.csv"
    path.write_text(path.read_text().rsplit(",", 3)[0] + "," if content is None else content)
    assert command.main(["--resume", str(directory), "--quiet"]) == 2
    _, sentence = capsys.readouterr().err.splitlines()
    assert str(path) in sentence
