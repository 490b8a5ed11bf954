"""Training from the matrices to the model directory, and every way in which it may stop."""

from __future__ import annotations

import functools
import json
import math
import os
import subprocess
import sys
import time

import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from deepmatrixinversion.cli import train as command
from deepmatrixinversion.errors import TrainingError
from deepmatrixinversion.models.directory import open_model
from deepmatrixinversion.nets.weights import load_ensemble
from deepmatrixinversion.training import finish, loop, matrices, run
from deepmatrixinversion.training.checkpoints import checkpoint_file, load_checkpoint, read_progress
from deepmatrixinversion.training.curve import read_curve
from deepmatrixinversion.training.directory import RECIPE, new_directory
from deepmatrixinversion.training.losses import LOSSES
from deepmatrixinversion.training.recipe import Recipe
from deepmatrixinversion.training.run import make_fabric, train
from deepmatrixinversion.training.source import EVALUATION, SELECTION, TRAINING, stream_seed

TINY = {
    "msize": 2,
    "net": "dense",
    "loss": "log_residual",
    "det_min": 0.0,
    "nunits": 8,
    "nlayers": 1,
    "nmx_samples": 256,
    "batch_size": 64,
    "epochs": 2,
    "device": "cpu",
}
ENVIRONMENT = dict(os.environ, OMP_NUM_THREADS="1")


def tiny(**options):
    return Recipe.from_options(TINY | options)


def words_of(**options):
    return [f"--{k}={v}" for k, v in (TINY | options).items()]


@pytest.fixture
def quick(monkeypatch):
    """Measure a finished model on few matrices and draw nothing: that is tested elsewhere."""
    evaluate = functools.partial(finish.evaluate, matrices=100)
    monkeypatch.setattr(finish, "evaluate", evaluate)
    monkeypatch.setattr(finish, "_draw", lambda *_: None)


def trained(tmp_path, name="run", **options):
    """Train (without finishing) in this process and return the directory."""
    recipe = tiny(**options)
    directory = new_directory(tmp_path / name, recipe)
    train(directory, recipe, quiet=True)
    return directory


def member(directory, k=1):
    return load_file(directory / f"member_{k}.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


# --- the matrices ------------------------------------------------------------------------------


def draw(recipe, purpose, count, *position):
    fresh = matrices.Fresh(recipe, make_fabric(recipe).device)
    return fresh.draw(purpose, recipe.msize, count, *position).A


def test_matrices_are_a_function_of_seed_member_step_and_process():
    recipe = tiny(seed=3)
    A = draw(recipe, TRAINING, 64, 1, 10, 0)
    torch.rand(5)  # the global generator has no say
    torch.manual_seed(99)
    assert torch.equal(draw(recipe, TRAINING, 64, 1, 10, 0), A)
    others = [
        draw(recipe, TRAINING, 64, 2, 10, 0),
        draw(recipe, TRAINING, 64, 1, 11, 0),
        draw(recipe, TRAINING, 64, 1, 10, 1),
        draw(recipe, TRAINING, 64, 10, 1, 0),
        draw(tiny(seed=4), TRAINING, 64, 1, 10, 0),
        draw(recipe, SELECTION, 64, 1, 10, 0),
        draw(recipe, SELECTION, 64, 1),
        draw(recipe, EVALUATION, 64, 1, 10, 0),
    ]
    stacks = [A, *others]
    for i, B in enumerate(stacks):
        assert B.shape == (64, 2, 2)
        assert not any(torch.isin(B, C).any() for C in stacks[:i])


def test_drawing_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    recipe = tiny(distribution="uniform+nearly_singular+low_rank", det_min=0.0)
    draw(recipe, TRAINING, 64, 1, 1, 0)
    loop._prepare(make_fabric(recipe), recipe, 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_streams_do_not_meet():
    seeds = [
        stream_seed(purpose, seed, *position)
        for purpose in range(4)
        for seed in (0, 1, 2, 2**32, 2**64)
        # Members count from 1, steps and processes from 0.
        for position in [(k,) for k in range(1, 6)]
        + [(1, k, r) for k in range(50) for r in range(2)]
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_filter_and_range_are_those_of_the_recipe():
    A = draw(tiny(rmin=2.0, rmax=3.0, det_min=1.0), TRAINING, 500, 1, 1, 0)
    assert len(A) == 500
    assert (A >= 2).all()
    assert (A <= 3).all()
    assert (torch.linalg.det(A).abs() > 1 - 1e-5).all()


# --- whole trainings ---------------------------------------------------------------------------


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
    assert rows[-1].selection < rows[0].selection


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
    with pytest.raises(TrainingError, match=r"checkpoint_1\.safetensors: not a check") as raised:
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


# --- what goes wrong ---------------------------------------------------------------------------


def poison(monkeypatch, when):
    """Make the loss NaN at the training steps (1, 2, …) for which ``when`` is true."""
    original, calls = LOSSES["frobenius"], []

    def loss(trajectory, A, target):
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
    with pytest.raises(TrainingError, match="not finite"):
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
