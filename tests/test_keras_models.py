"""Ensembles of Keras files answer as Keras does, whatever layout they are in."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from deepmatrixinversion import Inverter
from deepmatrixinversion.cli import invert, train
from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.matrices import read_matrices, write_matrices
from deepmatrixinversion.models.directory import open_model, read_weights

HERE = Path(__file__).parent
TOLERANCE = 1e-5
ENSEMBLES = [
    f"{version}/{name}-{layout}"
    for version in (2, 3)
    for name in ("residual", "plain")
    for layout in ("keras", "h5")
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What Keras 2 and Keras 3 wrote (tests/keras_models.py), unpacked."""
    folder = tmp_path_factory.mktemp("keras")
    with zipfile.ZipFile(HERE / "keras_models.zip") as archive:
        archive.extractall(folder)
    return folder


def check_answers(folder: Path, name: str) -> None:
    with np.load(folder / "expected.npz") as expected:
        A, X = expected[f"{name}.A"], expected[f"{name}.X"]
    inverter = Inverter.from_pretrained(folder / name)
    answers = inverter.guess(A.astype(np.float64))
    np.testing.assert_allclose(answers, X, rtol=TOLERANCE, atol=TOLERANCE * np.abs(X).max())
    # The network saw these matrices as they are, and others by a power of two.
    np.testing.assert_array_equal(inverter.guess(A.astype(np.float64) * 64), answers / 64)
    np.testing.assert_array_equal(inverter.guess(A.astype(np.float64) / 1024), answers * 1024)


@pytest.mark.parametrize("name", ENSEMBLES)
def test_answers_are_those_of_keras(made, name):
    version, name = name.split("/")
    check_answers(made / version, name)


def test_any_network_may_guess_for_a_certified_inverse(made):
    A = np.random.default_rng(0).uniform(-1, 1, (50, 7, 7))
    inverter = Inverter.from_pretrained(made / "3" / "residual-keras")
    X = inverter(A)
    np.testing.assert_allclose(A @ X, np.broadcast_to(np.eye(7), A.shape), atol=1e-9)
    assert "members=2" in str(inverter.model.config)


def test_dmxinvert_takes_a_folder_of_keras_files(made, tmp_path, capsys):
    A = np.random.default_rng(0).uniform(-1, 1, (5, 3, 3))
    write_matrices(tmp_path / "a.npy", A)
    pattern = str(made / "3" / "residual-ker*")
    words = ["--inputmx", str(tmp_path / "a.npy"), "--inverseout", str(tmp_path / "x.npy")]
    assert invert.main([*words, "--model", pattern, "--raw"]) == 0
    capsys.readouterr()
    X = read_matrices(tmp_path / "x.npy")
    np.testing.assert_array_equal(X, Inverter.from_pretrained(made / "3/residual-keras").guess(A))


def test_dmxtrain_imports_what_then_needs_no_h5py(made, tmp_path, capsys, monkeypatch):
    source = made / "3" / "residual-keras"
    assert train.main(["--import", str(source), "--mout", str(tmp_path / "Mine")]) == 0
    folder = Path(capsys.readouterr().out.strip())
    assert folder.name.startswith("Mine_")
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "model.onnx"]
    card = (folder / "README.md").read_text()
    assert "0.keras" in card
    monkeypatch.setitem(sys.modules, "h5py", None)
    A = np.random.default_rng(0).uniform(-1, 1, (5, 3, 3))
    model = open_model(folder)
    assert (model.config.members, model.config.net.net) == (2, "imported")
    imported = Inverter(model).guess(A)
    with pytest.raises(ImportError, match="pip install"):
        open_model(source)
    monkeypatch.undo()
    np.testing.assert_array_equal(imported, Inverter.from_pretrained(source).guess(A))
    with pytest.raises(ModelError, match="no weights"):
        read_weights(model, 1)


def test_importing_needs_no_torch(made, tmp_path):
    source, target = str(made / "3" / "plain-keras"), str(tmp_path / "Mine")
    code = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'keras', 'tensorflow'): sys.modules[name] = None\n"
        "from deepmatrixinversion.cli import train\n"
        f"sys.exit(train.main(['--import', {source!r}, '--mout', {target!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip(), "model.onnx").exists()


SETTINGS = {
    "": 2.0,
    "range_max = 1\n": 2.0,
    "range_min = -3\nrange_max = 3": 6.0,
    "msize = 3\nnunits = 2\nnlayers = 1\nscaling_factor = 5": 5.0,
    "unknown = 'ignored'\nrange_min = 0": 1.0,
    None: 2.0,
}


@pytest.mark.parametrize("text", list(SETTINGS))
def test_every_key_of_the_settings_may_be_missing(made, tmp_path, text):
    os.link(made / "3" / "residual-keras" / "0.keras", tmp_path / "0.keras")
    if text is not None:
        (tmp_path / "config.toml").write_text(text)
    model = open_model(tmp_path)
    reach = max(abs(model.config.data.rmin), abs(model.config.data.rmax))
    A = np.diag([0.75, 0.5, 0.6])[None] * reach
    (tmp_path / "config.toml").write_text(f"range_max = {reach}\nscaling_factor = 1")
    one = Inverter.from_pretrained(tmp_path).guess(A)
    np.testing.assert_allclose(Inverter(model).guess(A), SETTINGS[text] * one, rtol=1e-6)


@pytest.mark.keras
@pytest.mark.parametrize("module", ["keras", "tf_keras"])
def test_fresh_ensembles_of_the_published_size(module, tmp_path):
    python = os.environ["DMX_KERAS"]
    words = [python, str(HERE / "keras_models.py"), module, str(tmp_path / "made"), "128", "7"]
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "PYTHONPATH": ""}
    subprocess.run(words, check=True, env=environment)
    for name in ("residual-keras", "residual-h5", "plain-keras", "plain-h5"):
        check_answers(tmp_path / "made", name)
    parameters = (tmp_path / "made" / "residual-h5" / "0.h5").stat().st_size / 4
    assert parameters > 4_712_713
