"""Bundled models, and what a model's name leads to."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from deepmatrixinversion import inv
from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.inference import functions
from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.models import zoo
from deepmatrixinversion.models.directory import digest, open_model
from models_for_tests import make_model


def test_names():
    names = zoo.bundled_names()
    assert "feedback-3" in names
    assert names == sorted(names)
    for name in names:
        assert zoo.locate(name).name == name


def test_every_default_is_bundled_and_of_its_order():
    for order, name in zoo.DEFAULTS.items():
        assert zoo.name_for_order(order) == name
        assert name in zoo.bundled_names()
        assert zoo.locate(name).config.net.msize == order


def test_the_model_for_an_order(monkeypatch):
    """The order's own, else the next larger one, else the one for Schur complements."""
    monkeypatch.setattr(zoo, "DEFAULTS", {3: "three", 8: "eight", 5: "five"})
    monkeypatch.setattr(zoo, "LARGE", "large")
    expected = {1: "three", 3: "three", 4: "five", 5: "five", 6: "eight", 8: "eight", 9: "large"}
    assert {order: zoo.name_for_order(order) for order in expected} == expected


@pytest.mark.parametrize("name", ["feedback-99", "", "a b", "user/repo/more", "a/b@c d"])
def test_a_name_that_leads_nowhere(name, monkeypatch):
    def fetch(*words):
        raise AssertionError(f"asked the hub for {words}")

    monkeypatch.setattr(zoo, "fetch", fetch)
    with pytest.raises(ModelError, match=re.escape(f"'{name}'")) as got:
        zoo.locate(name)
    assert "feedback-3" in str(got.value)


@pytest.mark.parametrize(
    "name, repo, revision",
    [
        ("user/repo", "user/repo", None),
        ("user/repo@v1.0", "user/repo", "v1.0"),
        ("user/my.repo-1_x@refs/pr/3", "user/my.repo-1_x", "refs/pr/3"),
    ],
)
def test_names_of_the_hub(name, repo, revision, monkeypatch, tmp_path):
    path = make_model(tmp_path / "snapshot")
    asked = []

    def fetch(*words):
        asked.append(words)
        return path, "0123abc"

    monkeypatch.setattr(zoo, "fetch", fetch)
    assert zoo.locate(name).name == f"{repo}@0123abc"
    assert asked == [(repo, revision)]


@pytest.fixture
def decoys(tmp_path, monkeypatch):
    """A working directory whose models are called like others, made with another seed."""

    def fetch(*words):
        raise AssertionError(f"asked the hub for {words}")

    monkeypatch.setattr(zoo, "fetch", fetch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("feedback-3", "user/repo", "mine"):
        make_model(tmp_path / name, seed=77)
    return tmp_path


def test_a_directory_never_replaces_a_bundled_model(decoys):
    assert zoo.locate("feedback-3").config.seed != 77
    assert not zoo.is_path("feedback-3")
    functions._for_order.cache_clear()
    functions._loaded.cache_clear()
    inv(np.eye(3))
    inv(np.eye(3), model="feedback-3")
    inverter = functions._inverter("feedback-3", np.eye(3))
    assert inverter.model.path == zoo.bundled_folder() / "feedback-3"


@pytest.mark.parametrize(
    "name",
    ["./feedback-3", "feedback-3/", "user/repo", "./user/repo", "user/../feedback-3", "~/mine"],
)
def test_what_looks_like_a_path_is_one(decoys, name):
    assert zoo.locate(name).config.seed == 77
    assert functions._inverter(name, np.eye(3)).model.config.seed == 77
    assert zoo.locate(decoys / "feedback-3").config.seed == 77
    assert zoo.locate(Path("feedback-3")).config.seed == 77


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/x", "../a/b", "~/x", ".", "C:x", "./u/r"])
def test_a_path_never_goes_to_the_hub(decoys, name):
    with pytest.raises(ModelError, match=r"no model directory|missing"):
        zoo.locate(name)


def test_a_bare_name_of_a_directory_is_told_how_to_write_it(decoys):
    with pytest.raises(ModelError, match=r"'\./mine'"):
        zoo.locate("mine")


def test_the_bundled_models_are_small_together():
    folder = zoo.bundled_folder()
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) < 10_000_000


@pytest.mark.parametrize("name", sorted({*zoo.bundled_names(), "feedback-3"}))
def test_a_bundled_model_is_small_and_complete(name):
    folder = zoo.bundled_folder() / name
    sizes = {p.name: p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    assert sum(sizes.values()) < (1_000_000 if name == "feedback-3" else 3_000_000), sizes
    config = json.loads((folder / "config.json").read_text())
    for file, recorded in config["files"].items():
        assert re.fullmatch("[0-9a-f]{64}", recorded)
        assert digest(folder / file) == recorded
    # Nothing that could run, nothing that is neither described nor documentation.
    allowed = {"config.json", "README.md", "training.csv", *config["files"]}
    assert {p for p in sizes if not p.endswith(".png")} <= allowed
    card = (folder / "README.md").read_text()
    assert name in card
    assert "dmxtrain" in card  # the command that repeats it
    assert open_model(folder).config.net.msize in {0, *zoo.DEFAULTS}


def test_the_bundled_default_is_as_accurate_as_promised():
    """On |det| > 0.1 raw: MAE <= 1e-6, R2 >= 0.999999, residual <= 1e-3; else 99.9 % below 1."""
    invert = Inverter.from_pretrained("feedback-3")
    A = np.random.default_rng(20240607).uniform(-1, 1, (20_000, 3, 3))
    guess = invert.guess(A)
    residual = np.linalg.norm(np.eye(3) - A @ guess, axis=(1, 2))
    assert np.mean(residual < 1) >= 0.999
    regular = np.abs(np.linalg.det(A)) > 0.1
    truth = np.linalg.inv(A[regular])
    error = guess[regular] - truth
    assert residual[regular].max() <= 1e-3
    assert np.abs(error).mean() <= 1e-6
    assert 1 - (error**2).sum() / ((truth - truth.mean()) ** 2).sum() >= 0.999999
