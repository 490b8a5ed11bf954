"""Model directories: the round trip, and everything hostile that must end in one sentence."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.inference.session import Session
from deepmatrixinversion.models.config import ModelConfig, NetConfig, TrainingData
from deepmatrixinversion.models.directory import open_model, read_graph, read_weights
from deepmatrixinversion.models.zoo import bundled_folder
from deepmatrixinversion.nets.weights import load_ensemble
from models_for_tests import (
    LAYERS,
    UNITS,
    make_model,
    replace,
    weights,
)
from spoiled_models import load_everything, refused


def test_round_trip(small):
    opened = open_model(small)
    assert opened.name == "small"
    assert opened.path == small
    assert opened.config.net == NetConfig("dense", 3, UNITS, LAYERS)
    assert opened.config.members == 2
    assert read_graph(opened) == (small / "model.onnx").read_bytes()
    for member in (1, 2):
        expected = weights(3, member)
        got = read_weights(opened, member)
        assert got.keys() == expected.keys()
        for key in got:
            np.testing.assert_array_equal(got[key], expected[key])
    ensemble = load_ensemble(opened)
    assert not ensemble.training
    for member in (1, 2):
        state = ensemble.members[member - 1].state_dict()
        np.testing.assert_array_equal(
            state["body.0.weight"].numpy(), weights(3, member)["body.0.weight"]
        )


def test_configuration_survives_json_exactly():
    config = ModelConfig(
        net=NetConfig("resnet", 5, 64, 2),
        members=1,
        data=TrainingData("spd", -0.1, 1 / 3, 1e-17),
        loss="mse",
        seed=-12345678901234567890,
        files={"model.onnx": "0" * 64, "member_1.safetensors": "ü"},
    )
    assert ModelConfig.from_json(config.to_json()) == config
    assert ModelConfig.from_json(config.to_json().encode()) == config


def test_name_may_be_given_and_trailing_slash_and_relative_paths_work(small, monkeypatch):
    assert open_model(small, "user/repo@abc").name == "user/repo@abc"
    assert open_model(f"{small}/").name == "small"
    monkeypatch.chdir(small)
    assert open_model(".").name == "small"


def test_symbolic_links_are_followed(small, tmp_path):
    """The hub's cache is made of them."""
    folder = tmp_path / "links"
    folder.mkdir()
    for file in small.iterdir():
        (folder / file.name).symlink_to(file)
    load_everything(folder)
    (tmp_path / "link").symlink_to(small)
    load_everything(tmp_path / "link")


def test_further_files_do_not_matter(model):
    (model / "evil.py").write_text("raise SystemExit('imported')")
    (model / "weights.pkl").write_bytes(b"not a pickle")
    (model / "member_3.safetensors").write_bytes(b"not listed")
    load_everything(model)


@pytest.mark.parametrize("name", ["config.json", "model.onnx", "member_2.safetensors"])
def test_a_missing_file_is_named(model, name):
    (model / name).unlink()
    refused(model, f"{name} is missing")
    (model / name).symlink_to("nowhere")
    refused(model, f"{name} is missing")
    (model / name).unlink()
    (model / name).mkdir()
    refused(model, f"{name} is missing")
    (model / name).rmdir()
    os.mkfifo(model / name)  # reading it would wait for ever
    refused(model, f"{name} is missing")


def test_what_is_no_directory(tmp_path, small):
    refused(tmp_path / "nowhere", "no model directory")
    refused(small / "config.json", "no model directory")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "config.json is missing")


@pytest.mark.parametrize("name", ["model.onnx", "member_1.safetensors"])
def test_one_changed_bit_is_noticed(model, name):
    data = bytearray((model / name).read_bytes())
    data[len(data) // 2] ^= 1
    (model / name).write_bytes(data)
    refused(model, name, "SHA-256 differs")


def test_files_of_enormous_size_are_refused_unread(model):
    with open(model / "model.onnx", "r+b") as file:
        file.truncate(3 << 30)  # sparse
    refused(model, "model.onnx", "more than")


def mutations(data: bytes, rng) -> bytes:
    """The bytes with a few of them changed, removed, repeated or moved."""
    spoiled = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(spoiled) or 1))
        length = int(rng.integers(1, 20))
        kind = rng.integers(5)
        if kind == 0 and spoiled:
            spoiled[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            spoiled[at : at + length] = rng.bytes(length)
        elif kind == 2:
            del spoiled[at : at + length]
        elif kind == 3:
            spoiled[at:at] = spoiled[at : at + length]
        elif rng.random() < 0.2:
            del spoiled[at:]
    return bytes(spoiled)


def fuzz(folder, rounds, seed):
    """Spoil one file at a time: what is not refused in a sentence must work."""
    rng = np.random.default_rng(seed)
    files = ["config.json", "model.onnx", "member_1.safetensors"]
    originals = {name: (folder / name).read_bytes() for name in files}
    refusals = longest = 0
    for _ in range(rounds):
        name = files[rng.integers(3)]
        spoiled = mutations(originals[name], rng)
        if name == "config.json":
            (folder / name).write_bytes(spoiled)
        else:
            replace(folder, name, spoiled)
        try:
            opened = open_model(folder)
            read_weights(opened, 1)
            with np.errstate(all="ignore"):
                Session(opened)(np.ones((2, 3, 3)))
        except ModelError as error:
            refusals += 1
            longest = max(longest, len(str(error)))
        finally:
            for file in ("config.json", name):
                (folder / file).write_bytes(originals[file])
    assert longest < 3000
    return refusals


def test_spoiled_directories_are_refused_or_work(tmp_path):
    folder = make_model(tmp_path / "m", members=1)
    assert fuzz(folder, 1500, seed=1) > 750


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_more_spoiled_directories(tmp_path, seed):
    folder = shutil.copytree(bundled_folder() / "feedback-3", tmp_path / "m")
    assert fuzz(folder, 3000, seed=100 + seed) > 500


def test_a_training_that_is_not_finished_says_how_to_go_on(tmp_path):
    (tmp_path / "training.json").write_text("{}")
    with pytest.raises(ModelError, match="not finished: dmxtrain --resume"):
        open_model(tmp_path)
