"""The recipes of the bundled models: they are those of the models, and a short version learns."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from deepmatrixinversion.models import zoo
from deepmatrixinversion.models.directory import member_file
from deepmatrixinversion.nets import build
from deepmatrixinversion.training.directory import new_directory
from deepmatrixinversion.training.recipe import Recipe, read_toml
from deepmatrixinversion.training.run import train

JOBS = Path(__file__).parent.parent / "jobs"
RECIPES = sorted(path.stem for path in JOBS.glob("*.toml"))


def recipe(name, **options):
    return Recipe.from_options(read_toml(JOBS / f"{name}.toml") | options)


def trained(directory, recipe):
    directory = new_directory(directory / "short", recipe)
    train(directory, recipe, quiet=True)
    net = build(recipe.net_config())
    net.load_state_dict(load_file(directory / member_file(1)))
    return net.eval()


def test_every_bundled_model_has_a_recipe():
    assert zoo.bundled_names() == RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe_is_that_of_the_model(name):
    config = zoo.locate(name).config
    made = recipe(name)
    assert made.net_config() == config.net
    assert made.training_data() == config.data
    assert (made.loss, made.seed, made.n_repeats) == (config.loss, config.seed, config.members)


@torch.no_grad()
def test_a_short_feedback_recipe_learns(tmp_path):
    """300,000 matrices (15 % of the recipe) with one block of three, where greed falls short.

    They take the typical residual of uniform 8x8 matrices down by a third. With all three blocks
    greed ends at rounding level, and there is nothing left to learn: see docs/research-log.md.
    """
    short = recipe(
        "feedback-8", epochs=1, nmx_samples=300_000, nlayers=1, lr=1e-3, distribution="uniform"
    )
    A = torch.from_numpy(np.random.default_rng(11).uniform(-1, 1, (20_000, 8, 8))).float()

    def typical(net):
        return float(torch.log(net.trajectory(A).residuals[-1] + 1e-6).mean())

    before = typical(build(short.net_config()))
    with torch.enable_grad():
        net = trained(tmp_path, short)
    assert typical(net) < before - math.log(1.5)


@torch.no_grad()
def test_a_short_spectral_recipe_learns(tmp_path):
    """150 steps at order 48 halve the typical residual of normal matrices after 20 products."""
    short = recipe("spectral", epochs=1, nmx_samples=150 * 512, orders="48", distribution="normal")
    A = np.random.default_rng(12).standard_normal((300, 48, 48))
    inputs = torch.from_numpy(A)

    def at_twenty(net):
        return np.log10(net.trajectory(inputs).residuals[19].numpy() + 1e-6)

    before = at_twenty(build(short.net_config()))
    with torch.enable_grad():
        net = trained(tmp_path, short)
    assert np.median(at_twenty(net)) < np.median(before) - np.log10(2)
