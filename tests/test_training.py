"""Training from the matrices to the model directory."""

from __future__ import annotations

import functools
import math
import os
import subprocess
import sys

import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from deepmatrixinversion.cli import train as command
from deepmatrixinversion.errors import TrainingError
from deepmatrixinversion.models.directory import open_model
from deepmatrixinversion.nets.weights import load_ensemble
from deepmatrixinversion.training import loop, matrices, run
from deepmatrixinversion.training.checkpoints import checkpoint_file, read_progress
from deepmatrixinversion.training.curve import read_curve
from deepmatrixinversion.training.directory import RECIPE
from deepmatrixinversion.training.run import make_fabric
from deepmatrixinversion.training.streams import EVALUATION, TRAINING
from small_trainings import draw, tiny, trained, words_of

ENVIRONMENT = dict(os.environ, OMP_NUM_THREADS="1")


def member(directory, k=1):
    return load_file(directory / f"member_{k}.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_same_command_twice_gives_the_same_model(tmp_path, monkeypatch, capsys, quick):
    """Weights, graph and curve alike; once in a process of its own with another hash seed."""
    monkeypatch.chdir(tmp_path)
    assert command.main(words_of(net="dense", n_repeats=2, mout="here")) == 0
    out, err = capsys.readouterr()
    (here,) = tmp_path.glob("here_*")
    assert out == f"{here.name}\n"
    assert "Traceback" not in err
    there = subprocess.run(
        [
            sys.executable,
            "-m",
            "deepmatrixinversion.cli.train",
            *words_of(net="dense", n_repeats=2),
        ],
        env=dict(ENVIRONMENT, PYTHONHASHSEED="123"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    there = tmp_path / there
    # In a directory called as the reference calls it, nothing but what a model is made of.
    assert there.name.startswith("Model_")
    assert len(there.name) == len("Model_YYYYMMDDHHMMSS")
    names = {"config.json", "model.onnx", "README.md", "training.csv", RECIPE, "tensorboard"}
    assert names <= {p.name for p in there.iterdir()}
    assert not list(there.glob("checkpoint_*"))
    assert len(list((there / "tensorboard").iterdir())) == 2
    model = open_model(there)
    assert model.config.members == 2
    ensemble = load_ensemble(model)
    assert not same(member(there, 1), member(there, 2))
    for k in (1, 2):
        assert same(member(here, k), member(there, k))
    assert (here / "model.onnx").read_bytes() == (there / "model.onnx").read_bytes()
    curves = [read_curve(p / "training.csv") for p in (here, there)]
    kept = [[(r.member, r.step, r.loss, r.lr, r.residual_median) for r in c] for c in curves]
    assert kept[0] == kept[1]
    assert [(r[0], r[1]) for r in kept[0]] == [(1, 1), (1, 4), (1, 8), (2, 1), (2, 4), (2, 8)]
    A = draw(tiny(), EVALUATION, 10, 1)
    session = onnxruntime.InferenceSession((there / "model.onnx").read_bytes())
    X = session.run(["X"], {"A": A.numpy()})[0]
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(X), ensemble(A), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("precision, dtype", [("64", torch.float64), ("bf16", torch.float32)])
def test_other_precisions_train(tmp_path, monkeypatch, precision, dtype):
    monkeypatch.setattr(matrices, "SELECTION_MATRICES", 500)
    seen = []
    step = loop._step

    def watched(fabric, recipe, supply, k, objective, optimizer, *rest):
        seen.append(next(objective.parameters()).dtype)
        return step(fabric, recipe, supply, k, objective, optimizer, *rest)

    monkeypatch.setattr(loop, "_step", watched)
    options = {"net": "dense", "lr": 1e-2}
    directory = trained(tmp_path, precision=precision, **options)
    assert set(seen) == {dtype}
    rows = read_curve(directory / "training.csv")
    assert rows[-1].step == 8
    assert rows[-1].skipped == 0
    assert all(math.isfinite(row.loss) for row in rows)
    weights = member(directory)
    assert all(w.dtype == torch.float32 and torch.isfinite(w).all() for w in weights.values())
    assert not same(weights, member(trained(tmp_path, "other", precision="32", **options)))


def test_training_lowers_the_residual(tmp_path, monkeypatch):
    """The dense network with the published loss beats every answer that needs no learning.

    Without learning the best to be had is a multiple of the transpose, X = c Aᵀ / ‖A‖F²: with the
    best c for the very matrices of the test, found by trying.
    """
    monkeypatch.setattr(matrices, "SELECTION_MATRICES", 1000)
    options = {"net": "dense", "nunits": 32, "nlayers": 2, "lr": 3e-3, "det_min": 0.1}
    options |= {"nmx_samples": 64 * 500, "epochs": 3}
    directory = trained(tmp_path, **options)
    recipe = tiny(**options)
    A = draw(recipe, EVALUATION, 2000, 1)

    def mean(X):
        return torch.linalg.matrix_norm(torch.eye(2) - A @ X).mean().item()

    transpose = A.mT / (A * A).sum((-2, -1), keepdim=True)
    unlearned = min(mean(c * transpose) for c in torch.linspace(0, 3, 61))
    net, *_ = loop._prepare(make_fabric(recipe), recipe, 1)
    with torch.no_grad():
        before = mean(net(A))
        net.load_state_dict(member(directory))
        after = mean(net(A))
    assert after < 0.9 * unlearned
    assert after < 0.6 * before
    rows = [r for r in read_curve(directory / "training.csv") if r.selection is not None]
    assert [r.epoch for r in rows] == [1, 2, 3]
    last, first = rows[-1].selection, rows[0].selection
    assert last is not None
    assert first is not None
    assert last < first


def test_the_weights_kept_are_those_of_the_best_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr(matrices, "SELECTION_MATRICES", 100)
    # Untrained, after each of three epochs, and at the end.
    snapshots, metrics = [], iter([0.9, 0.5, 0.1, 0.3, 0.3])

    def select(fabric, objective, A):
        snapshots.append(loop._copy(objective.net))
        return loop.Selected(next(metrics), 0.0, 0.0)

    monkeypatch.setattr(loop, "_select", select)
    directory = trained(tmp_path, epochs=3, lr=0.1)
    assert same(member(directory), snapshots[2])
    assert not same(snapshots[2], snapshots[3])
    progress = read_progress(checkpoint_file(directory, 1))
    assert (progress.best_metric, progress.best_step) == (0.1, 8)


def test_the_untrained_network_is_a_candidate(tmp_path, monkeypatch):
    """A training that only makes it worse leaves the network as it began."""
    snapshots = []

    def select(fabric, objective, A):
        snapshots.append(loop._copy(objective.net))
        return loop.Selected(float(len(snapshots)), 0.0, 0.0)

    monkeypatch.setattr(loop, "_select", select)
    directory = trained(tmp_path, lr=0.1)
    assert same(member(directory), snapshots[0])
    assert not same(snapshots[0], snapshots[1])
    assert read_progress(checkpoint_file(directory, 1)).best_step == 0


def test_two_processes_train_together(tmp_path):
    """The real command, on two processes: one model, whose loss went down."""
    options = {"devices": 2, "epochs": 1, "nmx_samples": 64 * 300, "lr": 1e-2, "net": "dense"}
    done = subprocess.run(
        [sys.executable, "-m", "deepmatrixinversion.cli.train", *words_of(**options)],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    directory = tmp_path / done.stdout.strip()
    load_ensemble(open_model(directory))
    rows = read_curve(directory / "training.csv")
    assert [r.step for r in rows] == [1, 50, 100, 150, 200, 250, 300]
    # 64 residuals a step scatter by less than a tenth of what there is to gain.
    assert rows[-1].loss < 0.9 * rows[0].loss


def _both_processes(fabric, recipe, directory):
    """What each of two processes does: train, leave its weights behind, fail."""
    best = loop.train_member(fabric, recipe, 1, directory, None)
    torch.save((fabric.global_rank, best), directory / f"process_{fabric.global_rank}.pt")
    fabric.barrier()
    if fabric.is_global_zero:
        checkpoint_file(directory, 1).write_bytes(b"no checkpoint")
    fabric.barrier()
    run._train_members(fabric, directory, recipe, True)


def test_two_processes_hold_the_same_weights_see_different_matrices_and_fail_in_a_sentence(
    tmp_path,
):
    options = {"net": "dense", "nunits": 32, "lr": 0.1}
    recipe = tiny(devices=2, **options)
    job = functools.partial(_both_processes, recipe=recipe, directory=tmp_path)
    with pytest.raises(TrainingError, match=r"checkpoint_1\.safetensors") as raised:
        run._launch(make_fabric(recipe), job)
    assert "\n" not in str(raised.value)
    checkpoint_file(tmp_path, 1).unlink()

    (rank_0, first), (rank_1, second) = (
        torch.load(tmp_path / f"process_{rank}.pt") for rank in (0, 1)
    )
    assert (rank_0, rank_1) == (0, 1)
    assert same(first, second)

    # One process on the same 64 matrices, 32 of each process, takes the same steps but for the
    # order of the sums. Were both processes to see the matrices of the first, they would not.
    def alone(*ranks):
        def halves(self, purpose, order, count, *position):
            if purpose != TRAINING:
                return original(self, purpose, order, count, *position)
            *place, _ = position
            parts = [original(self, purpose, order, count // 2, *place, r).A for r in ranks]
            return matrices.Batch(torch.cat(parts))

        original = matrices.Fresh.draw
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(matrices.Fresh, "draw", halves)
            single = tiny(**options)
            return loop.train_member(make_fabric(single), single, 1, tmp_path, None)

    def distance(a, b):
        return sum((a[k] - b[k]).square().sum() for k in a) ** 0.5

    assert distance(first, alone(0, 1)) < 0.01 * distance(first, alone(0, 0))
