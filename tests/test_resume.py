"""A training that was interrupted and resumed equals one that was not, bit for bit."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from safetensors import safe_open

from deepmatrixinversion.training import loop
from deepmatrixinversion.training.checkpoints import checkpoint_file, read_progress
from deepmatrixinversion.training.losses import LOSSES
from deepmatrixinversion.training.run import train
from resuming import Interrupted, assert_same_files, begun, curve, interrupted


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

    def loss(trajectory, A, target=None):
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
