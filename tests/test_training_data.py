"""Trainings that learn from a stack of the user's own matrices."""

# Data with targets has targets.
# pyright: reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from deepmatrixinversion import Inverter, read_matrices, write_matrices
from deepmatrixinversion.cli.train import main
from deepmatrixinversion.training import fit
from deepmatrixinversion.training.curve import read_curve
from deepmatrixinversion.training.dataset import DATA, data_set, load_data, save_data
from deepmatrixinversion.training.matrices import Static
from deepmatrixinversion.training.recipe import LOSS_NAMES, Recipe
from deepmatrixinversion.training.streams import TRAINING
from models_for_tests import well_conditioned

SHORT = {"epochs": 2, "nmx_samples": 512, "batch_size": 64, "nunits": 8, "nlayers": 1}
WORDS = [w for k, v in SHORT.items() for w in (f"--{k}", str(v))]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_matrices("a.npy", well_conditioned(100))
    write_matrices("x.npy", np.linalg.inv(read_matrices("a.npy")))
    return tmp_path


def test_blocks_are_contiguous_and_share_nothing():
    A = well_conditioned(40)
    train, validation, test = data_set(A, A).blocks()
    assert [len(part.A) for part in (train, validation, test)] == [32, 4, 4]
    np.testing.assert_array_equal(np.concatenate([p.A for p in (train, validation, test)]), A)
    np.testing.assert_array_equal(test.targets, A[36:])


def test_steps_draw_from_the_training_block_alone():
    A = np.arange(40.0)[:, None, None] * np.ones((2, 2))
    recipe = Recipe.from_options({"msize": 2, "data": "a.npy"})
    static = Static(recipe, torch.device("cpu"), data_set(A, -A))
    drawn = [static.draw(TRAINING, 2, 500, 1, step, 0) for step in range(2)]
    for batch in drawn:
        assert set(batch.A[:, 0, 0].int().tolist()) == set(range(32))
        assert torch.equal(batch.target, -batch.A)
    assert not torch.equal(drawn[0].A, drawn[1].A)
    assert torch.equal(drawn[0].A, static.draw(TRAINING, 2, 500, 1, 0, 0).A)
    (held_out,) = static.selection(1)
    assert held_out.A[:, 0, 0].tolist() == [32.0, 33.0, 34.0, 35.0]


def test_data_is_kept_until_the_training_is_a_model(tmp_path):
    data = data_set(well_conditioned(12), well_conditioned(12, seed=1))
    save_data(tmp_path, data)
    again = load_data(tmp_path)
    np.testing.assert_array_equal(again.A, data.A)
    np.testing.assert_array_equal(again.targets, data.targets)
    (tmp_path / DATA).unlink()
    with pytest.raises(ValueError, match="is missing"):
        load_data(tmp_path)


def test_losses_are_those_that_recipes_may_name():
    from deepmatrixinversion.training.losses import LOSSES

    assert tuple(sorted(LOSSES)) == LOSS_NAMES


def test_a_target_takes_the_inverses_place():
    from deepmatrixinversion.nets import Trajectory
    from deepmatrixinversion.training.losses import LOSSES

    A = torch.eye(2)[None]
    t = Trajectory([A], [torch.zeros(1)])
    assert LOSSES["mse"](t, A).item() == 0
    # ‖A‖F is sqrt(2), and two of four entries are off by 1.
    assert LOSSES["mse"](t, A, 2 * A).item() == pytest.approx(1.0)
    assert LOSSES["frobenius"](t, A, 2 * A).item() == 0


SLOW = [pytest.param(net, marks=pytest.mark.slow) for net in ("resnet", "feedback", "spectral")]


@pytest.mark.parametrize("net", ["dense", *SLOW])
def test_every_network_learns_from_a_file(here, net, capsys):
    words = [w for w in WORDS if net != "spectral" or w not in ("--nlayers", "1")]
    words += ["--mout", "m", "--quiet", "--data", "a.npy", "--net", net]
    assert main(words) == 0
    directory = capsys.readouterr().out.strip()
    model = Inverter.from_pretrained(f"./{directory}")
    assert model.inv_ex(well_conditioned(5, seed=2)).certificate.certified.all()
    assert not (here / directory / DATA).exists()
    looks = [look for look in read_curve(here / directory / "training.csv") if look.selection]
    assert len(looks) == 2
    assert all(np.isfinite([look.validation_loss, look.validation_median]).all() for look in looks)
    card = (here / directory / "README.md").read_text()
    assert "The matrices of `a.npy`" in card
    assert "| 10 |" in card  # the test block
    assert json.loads((here / directory / "training.json").read_text())["data"] == "a.npy"


def test_an_interrupted_training_goes_on_without_the_file(here, capsys, monkeypatch):
    words = [*WORDS, "--quiet", "--net", "dense", "--data", "a.npy", "--targets", "x.npy"]
    words += ["--loss", "mse"]
    assert main([*words, "--mout", "whole"]) == 0
    whole = capsys.readouterr().out.strip()
    from deepmatrixinversion.training import loop

    taken, real = [], loop._step

    def stop(*arguments):
        taken.append(None)
        if len(taken) == 9:  # after the first epoch's checkpoint
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(loop, "_step", stop)
    assert main([*words, "--mout", "cut"]) == 130
    monkeypatch.setattr(loop, "_step", real)
    (cut,) = here.glob("cut_*")
    assert (cut / DATA).exists()
    os.remove("a.npy")
    os.remove("x.npy")
    assert main(["--resume", str(cut), "--quiet"]) == 0
    name = "member_1.safetensors"
    assert (cut / name).read_bytes() == (here / whole / name).read_bytes()
    assert not (cut / DATA).exists()


def test_a_prior_needs_no_torch_and_can_be_resumed(here):
    code = "import sys; sys.modules['torch'] = sys.modules['onnx'] = None\n"
    code += "from deepmatrixinversion.cli.train import main; sys.exit(main(sys.argv[1:]))"

    def train(*words):
        return subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
        )

    done = train("--net", "prior", "--data", "a.npy", "--mout", "m")
    assert done.returncode == 0, done.stderr
    assert "(chosen)" in done.stderr
    directory = here / done.stdout.strip()
    weights = (directory / "member_1.safetensors").read_bytes()
    save_data(directory, data_set(read_matrices("a.npy")))
    for name in ("config.json", "member_1.safetensors"):
        (directory / name).unlink()
    again = train("--resume", str(directory))
    assert again.returncode == 0, again.stderr
    assert (directory / "member_1.safetensors").read_bytes() == weights


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--net", "prior"], "matrices of your own"),
        (["--data", "a.npy", "--msize", "4"], "msize is 4, but the matrices are of order 3"),
        (["--data", "a.npy", "--targets", "x.npy"], "losses mae and mse"),
        (["--net", "prior", "--targets", "x.npy"], "matrices of your own"),
        (["--data", "few.npy"], "too few"),
        (["--data", "nan.npy"], "not finite"),
        (["--data", "wide.npy"], "square"),
        (["--data", "absent.npy"], "absent.npy"),
        (["--net", "prior", "--data", "a.npy", "--targets", "few.npy"], "one target for each"),
        (["--net", "prior", "--data", "ones.npy"], "certified inverse"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_in_a_sentence(here, capsys, words, sentence):
    np.save("few.npy", np.ones((4, 3, 3)))
    np.save("nan.npy", np.full((20, 3, 3), np.nan))
    np.save("wide.npy", np.ones((20, 3, 4)))
    np.save("ones.npy", np.ones((20, 3, 3)))
    assert main([*words, "--quiet"]) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if sentence in x]
    assert line.startswith(sys.argv[0].rsplit("/", 1)[-1])


def test_fit_takes_the_options_of_a_training(tmp_path):
    A = well_conditioned(60)
    inverter = fit(A, net="dense", mout=tmp_path / "m", **SHORT)
    assert inverter.model.config.net.nunits == 8
    assert inverter.guess(A).shape == A.shape
    with pytest.raises(ValueError, match="unknown keys"):
        fit(A, momentum=0.9)
    with pytest.raises(ValueError, match="stack"):
        fit(A[0])


def test_a_temporary_directory_goes_with_its_inverter():
    inverter = fit(well_conditioned(60))
    path = inverter.model.path
    assert path.is_dir()
    del inverter
    assert not path.exists()
