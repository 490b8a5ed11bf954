"""The recipe: defaults, the TOML file, the command line, and what they refuse."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex

import pytest

from deepmatrixinversion.cli import train
from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.models.config import NET_NAMES
from deepmatrixinversion.training.directory import RECIPE, new_directory, read_recipe
from deepmatrixinversion.training.losses import LOSSES
from deepmatrixinversion.training.recipe import NET_DEFAULTS, Recipe, read_toml
from deepmatrixinversion.training.run import check_data


def recipe_of(monkeypatch, tmp_path, *words):
    """The recipe that a command line trains with; nothing is trained."""
    from deepmatrixinversion.training import directory

    recipes = []

    class Enough(Exception):
        pass

    def remember(prefix, recipe, data=None):
        recipes.append(recipe)
        raise Enough

    monkeypatch.setattr(directory, "new_directory", remember)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Enough):
        train.main([str(word) for word in words])
    return recipes[0]


def refusal(capsys, *words):
    """The one line on stderr with which a command line is refused (exit status 2)."""
    assert train.main([str(word) for word in words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


def toml(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return path


# --- defaults ----------------------------------------------------------------------------------


def test_every_network_has_defaults_that_make_a_recipe():
    assert set(NET_DEFAULTS) == set(NET_NAMES)
    for net in NET_NAMES:
        order = {} if net == "spectral" else {"msize": 3}
        order |= {"data": "mine.npy"} if net == "prior" else {}
        recipe = Recipe.from_options({"net": net} | order)
        for name, value in NET_DEFAULTS[net].items():
            assert getattr(recipe, name) == value
        assert recipe.loss in LOSSES
        check_data(recipe)


@pytest.mark.parametrize("net", ["dense", "resnet"])
def test_published_networks_keep_the_published_settings(net):
    r = Recipe.from_options({"msize": 3, "net": net})
    assert (r.nunits, r.nlayers, r.loss, r.lr) == (128, 7, "frobenius", 1e-4)
    assert (r.rmin, r.rmax, r.det_min, r.distribution) == (-1.0, 1.0, 0.1, "uniform")


def test_feedback_is_the_default_and_sees_every_matrix():
    r = Recipe.from_options({"msize": 3})
    assert (r.net, r.loss, r.det_min) == ("feedback", "log_residual", 0.0)


def test_what_is_given_wins_over_defaults_and_none_is_not_given():
    r = Recipe.from_options({"msize": 3, "net": "dense", "lr": 0.5, "det_min": 0.0, "loss": None})
    assert (r.lr, r.det_min, r.loss) == (0.5, 0.0, "frobenius")


def test_steps():
    r = Recipe.from_options({"msize": 2, "nmx_samples": 257, "batch_size": 64, "epochs": 3})
    assert (r.steps_per_epoch, r.total_steps) == (5, 15)


# --- refusals ----------------------------------------------------------------------------------

ILL = {
    "msize": ("msize", [0, -1, 2.5, "3", True, 10**9, [3], {}]),
    "net": ("net", ["cnn", 3, [], {}]),
    "data": ("data", [1, [], {}]),
    "targets": ("targets", [1, [], "inverses.npy"]),
    "loss": ("loss", ["huber", 1, [], {}]),
    "distribution": ("distribution", ["cauchy", "", "uniform+", 3, []]),
    "nunits": ("nunits", [0, 1.5, "x"]),
    "nlayers": ("nlayers", [0, -3, []]),
    "rmin": ("rmin", ["a", float("nan"), float("-inf"), 1.0, 2.0]),
    "rmax": ("rmax", [[], float("inf"), -1.0]),
    "det_min": ("det_min", [-0.1, "x", float("nan")]),
    "orders": ("orders", ["8", "8,16", 3, []]),  # for spectral alone
    "threads": ("threads", [-1, 1.5, "2", True, 10**15]),
    "nmx_samples": ("nmx_samples", [0, 1e6, "1", 10**400]),
    "epochs": ("epochs", [0, 1.5, True, 10**400]),
    "batch_size": ("batch_size", [0, 64.0, 10**15]),
    "n_repeats": ("n_repeats", [0, "2", 10**15]),
    "devices": ("devices", [0, "auto", 10**15]),
    "lr": ("lr", [0, -1e-3, float("nan"), float("inf"), "fast", True]),
    "seed": ("seed", [-1, 1.0, "x", 2**64]),
    "device": ("device", [0, ["cpu"]]),
    "precision": ("precision", ["16", 32, []]),
    "max_minutes": ("max_minutes", [0, -1, "soon", float("nan")]),
    "checkpoint_seconds": ("checkpoint_seconds", [0, -1, "x"]),
}


@pytest.mark.parametrize(
    "name, value", [(name, value) for name, (_, values) in ILL.items() for value in values]
)
def test_ill_values_are_refused_in_a_sentence_that_names_the_option(name, value):
    with pytest.raises(ValueError, match=ILL[name][0]) as raised:
        Recipe.from_options({"msize": 3} | {name: value})
    assert "\n" not in str(raised.value)


def test_every_option_has_its_ill_values():
    assert set(ILL) == {f.name for f in dataclasses.fields(Recipe)}


def test_msize_is_required():
    with pytest.raises(ModelError, match="msize"):
        Recipe.from_options({"net": "dense"})


def test_unknown_options_are_refused():
    with pytest.raises(ModelError, match="momentum"):
        Recipe.from_options({"msize": 3, "momentum": 0.9})


def test_batch_must_split_over_the_processes():
    with pytest.raises(ModelError, match=r"batch_size.*devices"):
        Recipe.from_options({"msize": 3, "batch_size": 65, "devices": 2})


def test_matrices_that_cannot_be_drawn_are_said_at_once():
    with pytest.raises(ValueError, match="det_min"):
        check_data(Recipe.from_options({"msize": 2, "det_min": 1e9}))
    with pytest.raises(ValueError, match="range"):
        check_data(Recipe.from_options({"msize": 2, "rmin": -1e200}))


# --- TOML --------------------------------------------------------------------------------------


def test_toml_gives_the_recipe(tmp_path, monkeypatch):
    text = 'msize = 2\nnet = "dense"\nlr = 0.01\nrmin = -3\nmax_minutes = 1.5\nprecision = "64"\n'
    recipe = recipe_of(monkeypatch, tmp_path, "--config", toml(tmp_path, text))
    options = {"msize": 2, "net": "dense", "lr": 0.01, "rmin": -3.0, "max_minutes": 1.5}
    assert recipe == Recipe.from_options(options | {"precision": "64"})
    assert recipe.det_min == NET_DEFAULTS["dense"]["det_min"]


def test_command_line_wins_over_toml(tmp_path, monkeypatch):
    path = toml(tmp_path, 'msize = 2\nnet = "dense"\nlr = 0.01\nseed = 7\n')
    words = ["--config", path, "--msize", 4, "--net", "resnet", "--seed", 0]
    recipe = recipe_of(monkeypatch, tmp_path, *words)
    assert (recipe.msize, recipe.net, recipe.seed, recipe.lr) == (4, "resnet", 0, 0.01)


@pytest.mark.parametrize(
    "text, says",
    [
        ("msize = 2\nmomentum = 0.9\nbeta = 1\n", "unknown options.*beta.*momentum"),
        ("msize = 2\nmout = 'x'\n", "unknown options.*mout"),
        ("msize = \n", "not a TOML file"),
        ("msize = 2\n[net]\nnunits = 3\n", "net is"),
        ("net = 'dense'\n", "msize"),
        ("msize = '2'\n", "msize"),
        ("msize = 2\nprecision = 32\n", "precision"),
        ("msize = " + "[" * 100_000, "nested too deep"),
        ("msize = " + "9" * 10_000, "not a TOML file"),
        ("msize = 2\nbatch_size = 1_000_000_000_000_000\n", "batch_size"),
        ("msize = 1024\nbatch_size = 1_000_000_000\n", "batch_size .* memory"),
        ("msize = 3\nnet = 'dense'\nnunits = 65536\nnlayers = 1024\n", "nunits .* memory"),
    ],
)
def test_bad_toml_is_one_sentence(tmp_path, monkeypatch, capsys, text, says):
    path = toml(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    assert re.search(says, refusal(capsys, "--config", path))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_toml_that_is_no_text_or_not_there(tmp_path, capsys):
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff\xfe\x00msize")
    with pytest.raises(ModelError):
        read_toml(path)
    assert "No such file" in refusal(capsys, "--config", tmp_path / "none.toml")
    assert "directory" in refusal(capsys, "--config", tmp_path)


# --- command line and record -------------------------------------------------------------------

UNUSUAL = {
    "msize": 4,
    "net": "resnet",
    "nunits": 5,
    "nlayers": 2,
    "rmin": -1e-05,
    "rmax": 1e17,
    "distribution": "uniform+normal",
    "det_min": 1e-30,
    "loss": "mae",
    "nmx_samples": 640,
    "epochs": 3,
    "batch_size": 32,
    "n_repeats": 2,
    "lr": 3.3e-05,
    "seed": 2**40,
    "device": "cpu",
    "devices": 2,
    "precision": "bf16",
    "max_minutes": 0.125,
}


@pytest.mark.parametrize(
    "options",
    [{"msize": 3}, {"msize": 3, "net": "dense"}, UNUSUAL],
    ids=["default", "dense", "all"],
)
def test_repeat_command_gives_the_same_recipe(options, tmp_path, monkeypatch):
    recipe = Recipe.from_options(options)
    program, *words = shlex.split(train.repeat_command(recipe.to_dict()))
    assert program == "dmxtrain"
    assert recipe_of(monkeypatch, tmp_path, *words) == recipe


def test_options_may_be_spelled_with_hyphens(tmp_path, monkeypatch):
    words = [
        "--msize",
        "2",
        "--batch-size",
        "32",
        "--nmx-samples",
        "64",
        "--n-repeats",
        "3",
        "--det-min=0.5",
    ]
    recipe = recipe_of(monkeypatch, tmp_path, *words)
    assert (recipe.batch_size, recipe.nmx_samples, recipe.n_repeats) == (32, 64, 3)
    assert recipe.det_min == 0.5


def test_recipe_is_recorded_and_read_back(tmp_path):
    recipe = Recipe.from_options(UNUSUAL)
    directory = new_directory(tmp_path / "deep" / "run", recipe)
    assert read_recipe(directory) == recipe
    other = new_directory(tmp_path / "deep" / "run", recipe)  # within the same second
    assert other != directory


@pytest.mark.parametrize(
    "change", [{"msize": "3"}, {"net": []}, {"more": 1}, {"distribution": "cauchy"}, None]
)
def test_a_recipe_on_disk_is_checked(tmp_path, change):
    directory = new_directory(tmp_path / "run", Recipe.from_options({"msize": 3}))
    values = json.loads((directory / RECIPE).read_text())
    text = json.dumps(values | change) if change else "{"
    (directory / RECIPE).write_text(text)
    with pytest.raises(ValueError):
        read_recipe(directory)


def test_a_recipe_on_disk_lacks_nothing(tmp_path):
    directory = new_directory(tmp_path / "run", Recipe.from_options({"msize": 3}))
    values = json.loads((directory / RECIPE).read_text())
    del values["seed"]
    (directory / RECIPE).write_text(json.dumps(values))
    with pytest.raises(ModelError, match="seed"):
        read_recipe(directory)
