"""Small trainings that tests interrupt and resume."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

import small_trainings
from deepmatrixinversion.training import loop
from deepmatrixinversion.training.curve import read_curve
from deepmatrixinversion.training.directory import new_directory
from deepmatrixinversion.training.recipe import Recipe
from deepmatrixinversion.training.run import train

TINY = small_trainings.TINY | {"msize": 3, "nmx_samples": 64 * 20, "n_repeats": 2, "lr": 1e-2}


class Interrupted(Exception):
    pass


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
