"""Every way in which a training may stop."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time

import pytest
import torch

from deepmatrixinversion.cli import train as command
from deepmatrixinversion.errors import TrainingError
from deepmatrixinversion.training import loop, matrices
from deepmatrixinversion.training.checkpoints import checkpoint_file, load_checkpoint, read_progress
from deepmatrixinversion.training.curve import read_curve
from deepmatrixinversion.training.directory import RECIPE
from deepmatrixinversion.training.losses import LOSSES
from deepmatrixinversion.training.recipe import Recipe
from deepmatrixinversion.training.run import make_fabric, train
from small_trainings import tiny, trained, words_of


def poison(monkeypatch, when):
    """Make the loss NaN at the training steps (1, 2, …) for which ``when`` is true."""
    original, calls = LOSSES["frobenius"], []

    def loss(trajectory, A, target=None):
        value = original(trajectory, A, target)
        if not torch.is_grad_enabled():  # selection
            return value
        calls.append(None)
        return value * math.nan if when(len(calls)) else value

    monkeypatch.setitem(LOSSES, "frobenius", loss)


def test_gradients_that_are_not_finite_are_skipped_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(matrices, "SELECTION_MATRICES", 100)
    poison(monkeypatch, lambda step: step % 3 == 0)
    directory = trained(tmp_path, net="dense", loss="frobenius", nmx_samples=640, epochs=1)
    progress = read_progress(checkpoint_file(directory, 1))
    assert (progress.step, progress.skipped, progress.skipped_in_a_row) == (10, 3, 0)
    assert read_curve(directory / "training.csv")[-1].skipped == 3
    net, _, optimizer = loop._prepare(make_fabric(tiny(net="dense")), tiny(net="dense"), 1)
    load_checkpoint(checkpoint_file(directory, 1), net, optimizer)
    assert all(torch.isfinite(w).all() for w in net.parameters())
    assert {int(s["step"]) for s in optimizer.state_dict()["state"].values()} == {7}


def test_nothing_but_infinite_gradients_stops_with_a_sentence(tmp_path, monkeypatch, capsys, quick):
    poison(monkeypatch, lambda step: step > 5)
    monkeypatch.chdir(tmp_path)
    words = words_of(net="dense", loss="frobenius", nmx_samples=64 * 50, epochs=100, mout="x")
    assert command.main(words) == 2
    out, err = capsys.readouterr()
    (directory,) = tmp_path.glob("x_*")
    path = checkpoint_file(directory, 1)
    begun, sentence = err.splitlines()
    assert out == ""
    assert begun == f"training into {directory.name}"
    assert "gradients in a row were not finite" in sentence
    assert f"{directory.name}/{path.name}" in sentence
    # What was learned is there, and going on is refused with the same sentence.
    progress = read_progress(path)
    assert progress.skipped_in_a_row == loop.MOST_SKIPPED_IN_A_ROW
    assert progress.step == 5 + loop.MOST_SKIPPED_IN_A_ROW
    assert progress.best_step == 50
    assert not (directory / "config.json").exists()
    with pytest.raises(TrainingError):
        train(directory, Recipe.from_options(_recipe(directory)), quiet=True)


def _recipe(directory):
    return json.loads((directory / RECIPE).read_text())


def test_max_minutes_stops_in_time_and_anneals(tmp_path, monkeypatch):
    monkeypatch.setattr(matrices, "SELECTION_MATRICES", 100)
    started = time.monotonic()
    directory = trained(
        tmp_path, max_minutes=2 / 60, n_repeats=2, nmx_samples=10**9, lr=1e-2, seed=1
    )
    assert time.monotonic() - started < 12  # 2 s, and what a busy machine adds to setting up
    rows = read_curve(directory / "training.csv")
    for k in (1, 2):
        curve = [row for row in rows if row.member == k]
        progress = read_progress(checkpoint_file(directory, k))
        assert curve[0].done < 0.5
        assert 1.0 <= progress.elapsed < 4
        assert progress.step > 1
        assert [row.lr for row in curve if row.step > 100] == sorted(
            (row.lr for row in curve if row.step > 100), reverse=True
        )


def refusal(capsys, *words):
    assert command.main(list(words)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize(
    "option, says",
    [
        ("--device=nonsense", "nonsense"),
        ("--device=", "device"),
        ("--device=tpu", "torch_xla"),
        ("--plotout=figure.xyz", "xyz"),
        ("--plotout=none/figure.png", "none"),
        ("--config=none.toml", "none.toml"),
        ("--det_min=1e9", "det_min"),
        ("--distribution=cauchy", "cauchy"),
        ("--loss=huber", "huber"),
        ("--batch_size=65 --devices=2", "batch_size"),
        ("--rmin=2", "rmin"),
        ("--mout=/proc/x", "/proc/x"),
    ],
)
def test_bad_options_are_one_sentence_and_leave_nothing(
    tmp_path, monkeypatch, capsys, option, says
):
    monkeypatch.chdir(tmp_path)
    assert says in refusal(capsys, *words_of(), *option.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "cuda" in refusal(capsys, "--msize=2", "--device=cuda")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["torch", "onnxscript"])
def test_without_torch_training_says_what_to_install(tmp_path, module):
    code = (
        f"import sys; sys.modules[{module!r}] = None;"
        "from deepmatrixinversion.cli.train import main; sys.exit(main(['--msize', '2']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'deepmatrixinversion[train]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_needs_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None;"
        "from deepmatrixinversion.cli.train import main; main(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    assert "--max_minutes" in done.stdout
