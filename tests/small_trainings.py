"""Trainings of a second."""

from __future__ import annotations

from deepmatrixinversion.training import matrices
from deepmatrixinversion.training.directory import new_directory
from deepmatrixinversion.training.recipe import Recipe
from deepmatrixinversion.training.run import make_fabric, train

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


def tiny(**options):
    return Recipe.from_options(TINY | options)


def words_of(**options):
    return [f"--{k}={v}" for k, v in (TINY | options).items()]


def trained(tmp_path, name="run", **options):
    """Train (without finishing) in this process and return the directory."""
    recipe = tiny(**options)
    directory = new_directory(tmp_path / name, recipe)
    train(directory, recipe, quiet=True)
    return directory


def draw(recipe, purpose, count, *position):
    fresh = matrices.Fresh(recipe, make_fabric(recipe).device)
    return fresh.draw(purpose, recipe.msize, count, *position).A
