"""A checkpoint comes back bit for bit, survives any kill, and trusts no file."""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import time
from dataclasses import asdict
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.models.config import NetConfig
from deepmatrixinversion.nets import build
from deepmatrixinversion.training.checkpoints import (
    Progress,
    checkpoint_file,
    load_checkpoint,
    read_progress,
    save_checkpoint,
)

PROGRESS = Progress(
    step=7, skipped=2, skipped_in_a_row=1, elapsed=1.25, best_metric=-0.5, best_step=5
)
SMALL = NetConfig("feedback", 2, 4, 1)


def fresh(config=SMALL, steps=0, seed=0) -> tuple[Any, torch.optim.Optimizer]:
    """A network with its optimiser after some steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net: Any = build(config)
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
        for _ in range(steps):
            A = torch.randn(16, config.msize, config.msize)
            optimizer.zero_grad()
            net.trajectory(A).residuals[-1].mean().backward()
            optimizer.step()
    return net, optimizer


def copy_of(net):
    return {k: v.detach().clone() for k, v in net.state_dict().items()}


@pytest.fixture
def saved(tmp_path):
    """A checkpoint with the network, the best weights and the optimiser that went into it."""
    net, optimizer = fresh(steps=3)
    best = {k: v + 1 for k, v in copy_of(net).items()}
    path = checkpoint_file(tmp_path, 1)
    save_checkpoint(path, net, best, optimizer, PROGRESS)
    return path, net, best, optimizer


def test_a_checkpoint_comes_back_bit_for_bit(saved):
    path, net, best, optimizer = saved
    other, other_optimizer = fresh(seed=1)
    other_best, progress = load_checkpoint(path, other, other_optimizer)
    assert progress == PROGRESS
    assert read_progress(path) == PROGRESS
    assert other_best.keys() == best.keys()
    for key in best:
        assert torch.equal(other_best[key], best[key])
        assert torch.equal(other.state_dict()[key], net.state_dict()[key])
    state, other_state = optimizer.state_dict()["state"], other_optimizer.state_dict()["state"]
    assert state.keys() == other_state.keys()
    assert len(state) == len(list(net.parameters()))
    for index, moments in state.items():
        assert moments.keys() == other_state[index].keys()
        for name, value in moments.items():
            assert torch.equal(other_state[index][name], value)


def test_a_checkpoint_before_the_first_step_has_no_moments(tmp_path):
    net, optimizer = fresh()
    path = checkpoint_file(tmp_path, 1)
    save_checkpoint(path, net, copy_of(net), optimizer, Progress())
    other, other_optimizer = fresh(seed=1)
    _, progress = load_checkpoint(path, other, other_optimizer)
    assert progress == Progress()
    assert not other_optimizer.state


def test_no_checkpoint_is_the_beginning(tmp_path):
    assert read_progress(checkpoint_file(tmp_path, 3)) == Progress()


def test_nothing_is_pickled(saved):
    path, *_ = saved
    assert load_file(path)  # a safetensors file from the first byte to the last
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def rewritten(path, changes=None, progress=None, metadata=True):
    """The checkpoint with tensors (by name, with _ for .) or its position changed."""
    tensors = load_file(path)
    for name, value in (changes or {}).items():
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value
    values = json.dumps(asdict(PROGRESS) if progress is None else progress)
    save_file(tensors, path, {"progress": values} if metadata else None)


class Trap:
    """Unpickling this makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def truncated(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])


def first(path, prefix):
    return next(k for k in load_file(path) if k.startswith(prefix) and k.endswith("weight"))


HOSTILE = {
    "empty": lambda p: p.write_bytes(b""),
    "random bytes": lambda p: p.write_bytes(random.Random(0).randbytes(5000)),
    "header of a petabyte": lambda p: p.write_bytes((2**50).to_bytes(8, "little") + b"{}"),
    "half a header": lambda p: truncated(p, 0.01),
    "half": lambda p: truncated(p, 0.5),
    "last byte missing": lambda p: p.write_bytes(p.read_bytes()[:-1]),
    "pickle": lambda p: p.write_bytes(pickle.dumps(Trap(p.parent / "owned"))),
    "torch file": lambda p: torch.save({"a": Trap(p.parent / "owned")}, p),
    "no metadata": lambda p: rewritten(p, metadata=False),
    "position no table": lambda p: rewritten(p, progress=[1, 2]),
    "position lacks a key": lambda p: rewritten(p, progress={"step": 1}),
    "position has one more": lambda p: rewritten(p, progress=asdict(PROGRESS) | {"more": 1}),
    "step a string": lambda p: rewritten(p, progress=asdict(PROGRESS) | {"step": "7"}),
    "step a fraction": lambda p: rewritten(p, progress=asdict(PROGRESS) | {"step": 7.5}),
    "step negative": lambda p: rewritten(p, progress=asdict(PROGRESS) | {"step": -1}),
    "step null": lambda p: rewritten(p, progress=asdict(PROGRESS) | {"step": None}),
    "elapsed NaN": lambda p: rewritten(p, progress=asdict(PROGRESS) | {"elapsed": float("nan")}),
    "metric a list": lambda p: rewritten(p, progress=asdict(PROGRESS) | {"best_metric": []}),
    "weight missing": lambda p: rewritten(p, {first(p, "net."): None}),
    "weight more": lambda p: rewritten(p, {"net.more": torch.zeros(1)}),
    "weight of other shape": lambda p: rewritten(p, {first(p, "net."): torch.zeros(3)}),
    "best missing": lambda p: rewritten(p, {first(p, "best."): None}),
    "best of other shape": lambda p: rewritten(p, {first(p, "best."): torch.zeros(3)}),
    "moment missing": lambda p: rewritten(p, {first(p, "exp_avg."): None}),
    "moment of other shape": lambda p: rewritten(p, {first(p, "exp_avg_sq."): torch.zeros(3)}),
    "step count of other shape": lambda p: rewritten(p, {first(p, "step."): torch.zeros(3)}),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_a_model_error_that_names_it(kind, saved):
    path, *_ = saved
    HOSTILE[kind](path)
    net, optimizer = fresh(seed=1)
    with pytest.raises(ModelError) as raised:
        load_checkpoint(path, net, optimizer)
    assert str(path) in str(raised.value)
    assert not optimizer.state
    assert not (path.parent / "owned").exists()


@pytest.mark.parametrize(
    "other", [NetConfig("feedback", 3, 4, 1), NetConfig("feedback", 2, 4, 2), NetConfig("dense", 2)]
)
def test_a_checkpoint_of_another_network_is_refused(saved, other):
    path, *_ = saved
    with pytest.raises(ModelError):
        load_checkpoint(path, *fresh(other))


def test_a_write_that_fails_leaves_the_old_checkpoint(saved, monkeypatch):
    path, net, best, optimizer = saved
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, net, best, optimizer, Progress(step=8))
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_in_the_middle_of_writing_leaves_a_whole_checkpoint(tmp_path):
    # A child does nothing but write checkpoints, 1.5 MB each, so that a kill at a random moment
    # finds it writing; whatever is there afterwards is one that was written whole.
    config = NetConfig("dense", 3, 256, 2)
    net, optimizer = fresh(config, steps=1)
    best = copy_of(net)
    path = checkpoint_file(tmp_path, 1)
    rng = random.Random(0)
    interrupted = 0
    for _ in range(20):
        path.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            try:
                for step in range(1, 10**6):
                    with torch.no_grad():
                        net.body[0].bias.fill_(step)
                    save_checkpoint(path, net, best, optimizer, Progress(step=step))
            finally:
                os._exit(1)
        try:
            deadline = time.monotonic() + 20
            while not path.exists():
                assert time.monotonic() < deadline
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.03))
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        restored, restored_optimizer = fresh(config, seed=1)
        _, progress = load_checkpoint(path, restored, restored_optimizer)
        # Weights and position are of the same moment.
        assert (restored.body[0].bias == progress.step).all()
        for stale in tmp_path.glob(".*.tmp"):
            interrupted += 1
            stale.unlink()
    assert interrupted, "no kill fell into a write: the test saw nothing"
