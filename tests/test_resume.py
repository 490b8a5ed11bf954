"""A training that was interrupted and resumed equals one that was not, bit for bit."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from deepmatrixinversion.cli import train as command
from deepmatrixinversion.models.directory import open_model
from deepmatrixinversion.training import finish, loop
from deepmatrixinversion.training.checkpoints import checkpoint_file, read_progress
from deepmatrixinversion.training.curve import read_curve
from deepmatrixinversion.training.directory import new_directory
from deepmatrixinversion.training.losses import LOSSES
from deepmatrixinversion.training.recipe import Recipe
from deepmatrixinversion.training.run import train

TINY = {
    "msize": 3,
    "net": "dense",
    "loss": "log_residual",
    "det_min": 0.0,
    "nunits": 8,
    "nlayers": 1,
    "nmx_samples": 64 * 20,
    "batch_size": 64,
    "epochs": 2,
    "n_repeats": 2,
    "lr": 1e-2,
    "device": "cpu",
}


class Interrupted(Exception):
    pass


@pytest.fixture
def quick(monkeypatch):
    """Measure a finished model on few matrices and draw nothing: that is tested elsewhere."""
    evaluate = functools.partial(finish.evaluate, matrices=100)
    monkeypatch.setattr(finish, "evaluate", evaluate)
    monkeypatch.setattr(finish, "_draw", lambda *_: None)


def begun(tmp_path, name, **options):
    recipe = Recipe.from_options(TINY | options)
    return new_directory(tmp_path / name, recipe), recipe


def curve(directory):
    """The training curve without the one figure that depends on the clock."""
    rows = read_curve(directory / "training.csv")
    # As text, in which NaN equals NaN.
    return [str(row._replace(matrices_per_second=0.0)) for row in rows]


def assert_same_files(directory, other, pattern):
    names = sorted(p.name for p in directory.glob(pattern))
    assert names
    assert names == sorted(p.name for p in other.glob(pattern))
    for name in names:
        a, b = load_file(directory / name), load_file(other / name)
        assert a.keys() == b.keys()
        for key in a:
            assert torch.equal(a[key], b[key]), (name, key)


def assert_same_training(directory, other):
    """Members, checkpoints with weights, best weights and moments, positions and curve."""
    assert_same_files(directory, other, "member_*.safetensors")
    assert_same_files(directory, other, "checkpoint_*.safetensors")
    keys = safe_open(checkpoint_file(directory, 1), framework="pt").keys()
    assert {key.partition(".")[0] for key in keys} == {
        "net",
        "best",
        "exp_avg",
        "exp_avg_sq",
        "step",
    }
    for k in (1, 2):
        positions = [read_progress(checkpoint_file(d, k)) for d in (directory, other)]
        for position in positions:
            position.elapsed = 0.0
        assert positions[0] == positions[1]
    assert curve(directory) == curve(other)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Directories of trainings that nothing disturbed, by their options."""

    @functools.cache
    def make(**options):
        directory, recipe = begun(tmp_path_factory.mktemp("whole"), "run", **options)
        train(directory, recipe, quiet=True)
        return directory

    return make


def interrupt_at(patch, member, step):
    """Save at every third step, and raise at this one, as Ctrl-C or a full disk might."""
    original = loop.save_checkpoint

    def save(path, net, best, optimizer, progress):
        if path.name == f"checkpoint_{member}.safetensors" and progress.step == step:
            raise Interrupted
        if progress.step % 3 == 0 or progress.step == 40:
            original(path, net, best, optimizer, progress)

    patch.setattr(loop, "save_checkpoint", save)


def interrupted(monkeypatch, directory, recipe, member, step):
    with monkeypatch.context() as patch:
        interrupt_at(patch, member, step)
        with pytest.raises(Interrupted):
            train(directory, recipe, quiet=True)


OPTIONS = {
    "feedback": {},
    "dense": {"net": "dense", "loss": "frobenius", "distribution": "uniform+spectrum"},
    "float64": {"precision": "64", "loss": "mse", "det_min": 0.1},
    "bf16": {"precision": "bf16", "net": "dense", "loss": "mae", "det_min": 0.1},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_resumed_equals_uninterrupted(tmp_path, monkeypatch, uninterrupted, name):
    directory, recipe = begun(tmp_path, "run", checkpoint_seconds=1e-9, **OPTIONS[name])
    # At once, in the middle of an epoch, at its end, twice in one, at the very end.
    for member, step in [(1, 1), (1, 8), (1, 20), (2, 29), (2, 34), (2, 40)]:
        interrupted(monkeypatch, directory, recipe, member, step)
        assert (directory / "member_1.safetensors").exists() == (member == 2)
        assert read_progress(checkpoint_file(directory, member)).step == (step - 1) // 3 * 3
    train(directory, recipe, quiet=True)
    assert_same_training(directory, uninterrupted(**OPTIONS[name]))


def test_resuming_after_the_last_step_adds_nothing(tmp_path, monkeypatch, uninterrupted):
    directory, recipe = begun(tmp_path, "run")
    with monkeypatch.context() as patch:
        patch.setattr("deepmatrixinversion.training.run.save_safetensors", _fail)
        with pytest.raises(Interrupted):
            train(directory, recipe, quiet=True)
    assert read_progress(checkpoint_file(directory, 1)).step == recipe.total_steps
    train(directory, recipe, quiet=True)
    assert_same_training(directory, uninterrupted())


def _fail(*_, **__):
    raise Interrupted


def test_the_best_weights_are_remembered(tmp_path, monkeypatch):
    select = loop._select
    untrained = []

    def reverse(fabric, objective, selection):
        # What gets better now counts as getting worse: the first epoch's weights stay the best.
        weights = [p.detach().clone() for p in objective.parameters()]
        untrained.append(weights)
        if all(torch.equal(a, b) for a, b in zip(weights, untrained[0], strict=True)):
            return loop.Selected(math.inf, 0.0, 0.0)
        found = select(fabric, objective, selection)
        return found._replace(metric=-found.metric)

    monkeypatch.setattr(loop, "_select", reverse)
    options = {"net": "dense", "loss": "frobenius", "n_repeats": 1}
    whole, recipe = begun(tmp_path, "whole", **options)
    train(whole, recipe, quiet=True)
    assert read_progress(checkpoint_file(whole, 1)).best_step == recipe.steps_per_epoch
    directory, recipe = begun(tmp_path, "run", checkpoint_seconds=1e-9, **options)
    interrupted(monkeypatch, directory, recipe, 1, 32)
    train(directory, recipe, quiet=True)
    assert_same_files(directory, whole, "*.safetensors")


def test_skipped_steps_are_remembered(tmp_path, monkeypatch):
    original = LOSSES["log_residual"]

    def loss(trajectory, A, target):
        # A property of the matrices, not of a counter: the same before and after resuming.
        bad = torch.is_grad_enabled() and A[0, 0, 0] > 0.3
        return original(trajectory, A, target) * (float("nan") if bad else 1.0)

    monkeypatch.setitem(LOSSES, "log_residual", loss)
    whole, recipe = begun(tmp_path, "whole")
    train(whole, recipe, quiet=True)
    assert 0 < read_progress(checkpoint_file(whole, 1)).skipped < recipe.total_steps
    directory, recipe = begun(tmp_path, "run", checkpoint_seconds=1e-9)
    for place in [(1, 35), (2, 11)]:
        interrupted(monkeypatch, directory, recipe, *place)
    train(directory, recipe, quiet=True)
    assert_same_training(directory, whole)


# --- the real command, really killed -----------------------------------------------------------

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
    assert err == f"{directory}: this training is already finished\n"
    assert before == {p.name: p.read_bytes() for p in directory.iterdir() if p.is_file()}
    open_model(directory)


# --- what cannot be resumed --------------------------------------------------------------------


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
