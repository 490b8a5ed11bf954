"""Keras files that are broken, or want more than to be read, are refused in a sentence."""

from __future__ import annotations

import contextlib
import shutil
import struct
import zipfile

import h5py
import numpy as np
import pytest

from deepmatrixinversion.cli import invert, train
from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.matrices import write_matrices
from deepmatrixinversion.models.directory import open_model, read_graph
from keras_spoiling import becomes_code, copier, edited, extracted, refused

made = pytest.fixture(scope="module")(extracted)
copy = pytest.fixture(copier)


def anew(weights, name="0", **options):
    shape = weights[name].shape
    del weights[name]
    return weights.create_dataset(name, shape, "f4", **options)


def is_missing(weights):
    del weights["1"]


def is_a_soft_link(weights):
    weights["2"] = weights["0"][()]
    del weights["0"]
    weights["0"] = h5py.SoftLink("/layers/dense/vars/2")


def is_an_external_link(weights):
    del weights["0"]
    weights["0"] = h5py.ExternalLink("/etc/passwd", "/")


def is_kept_elsewhere(weights):
    anew(weights, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def is_virtual(weights):
    shape = weights["0"].shape
    del weights["0"]
    layout = h5py.VirtualLayout(shape, "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape)
    weights.create_virtual_dataset("0", layout)


def is_packed(weights):
    anew(weights, compression="gzip")


def is_never_written(weights):
    anew(weights)


def is_a_group(weights):
    del weights["0"]
    weights.create_group("0")


def is_text(weights):
    del weights["0"]
    weights["0"] = "text"


def is_not_finite(weights):
    weights["0"][0, 0] = np.nan


def is_enormous(weights):
    del weights["0"]
    weights.create_dataset("0", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024))


def are_many(weights):
    for k in range(2, 2000):
        weights.create_group(str(k))


WEIGHTS = {
    is_missing: "has 1 tensors, not 2",
    is_a_soft_link: "link",
    is_an_external_link: "link",
    is_kept_elsewhere: "plain numbers within the file",
    is_virtual: "plain numbers within the file",
    is_packed: "plain numbers within the file",
    is_never_written: "plain numbers within the file",
    is_a_group: "no array",
    is_text: "no array",
    is_not_finite: "not finite",
    is_enormous: "shape",
    are_many: "tensors, not 2",
}


@pytest.mark.parametrize("spoil", WEIGHTS, ids=lambda f: f.__name__)
def test_weights_that_are_refused(copy, spoil):
    path = copy()
    edited(path, spoil=spoil)
    refused(path, WEIGHTS[spoil])


def test_a_bomb_is_not_unpacked(copy):
    path = copy()
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        names = archive.namelist()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, b"\0" * (100 << 20) if name.endswith(".h5") else b"{}")
    refused(path, "unpacks to")


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n" + b"\0" * 100, b"\x80\x04cos\nsystem\n."],
    ids=["empty", "zip", "HDF5", "pickle"],
)
def test_what_is_no_keras_file(tmp_path, content):
    (tmp_path / "0.keras").write_bytes(content)
    refused(tmp_path / "0.keras", "no Keras model")


def test_deep_nesting(copy):
    path = copy()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", b"")
        archive.writestr("config.json", "[" * 100_000)
    refused(path, "nested|damaged")


def has_no_description(file):
    del file.attrs["model_config"]


def has_numbers_for_a_description(file):
    file.attrs["model_config"] = np.ones(3)


def has_no_list_of_weights(file):
    file["model_weights/the_first"].attrs["weight_names"] = 3


def has_a_list_of_nothing(file):
    file["model_weights/the_first"].attrs["weight_names"] = ["../x", "y"]


@pytest.mark.parametrize(
    "spoil, match",
    [
        (has_no_description, "no model_config"),
        (has_numbers_for_a_description, "no text"),
        (has_no_list_of_weights, "no list of weights"),
        (has_a_list_of_nothing, "missing"),
    ],
)
def test_older_files_that_are_refused(copy, spoil, match):
    path = copy("3/plain-h5/0.h5")
    with h5py.File(path, "r+") as file:
        spoil(file)
    refused(path, match)


SETTINGS = {
    "range_max = -1": "the range is empty",
    "range_min = 'x'": "not a number",
    "scaling_factor = 0": "not positive",
    "scaling_factor = nan": "not a number",
    "msize = 4": "config.toml says 4",
    "= 1": "not TOML",
    "range_max = 1e300": "not a number",
}


@pytest.mark.parametrize("text", SETTINGS)
def test_settings_that_are_refused(copy, text):
    path = copy()
    (path.parent / "config.toml").write_text(text)
    refused(path, SETTINGS[text])


def test_networks_of_two_orders_are_no_ensemble(copy, made):
    path = copy()
    shutil.copy(made / "3/residual-keras/1.keras", path.parent)
    refused(path.parent / "1.keras", "of order 3, beside one of 2")


def test_no_damage_ends_in_a_traceback(copy):
    """Bytes changed, cut off or made long: an answer or one sentence, whatever happens."""
    rng = np.random.default_rng(5)
    for name in ("3/plain-keras/0.keras", "2/plain-h5/0.h5"):
        path = copy(name)
        whole = path.read_bytes()
        for trial in range(60):
            data = bytearray(whole)
            if trial % 3 == 0:
                data = data[: rng.integers(len(data))]
            else:
                for _ in range(rng.integers(1, 20)):
                    place = rng.integers(len(data) - 8)
                    data[place : place + 8] = struct.pack("<Q", rng.integers(2 ** rng.integers(63)))
            path.write_bytes(data)
            with contextlib.suppress(ModelError):
                read_graph(open_model(path.parent))
        path.unlink()


def test_the_commands_say_it_in_a_sentence(copy, tmp_path, capsys):
    path = copy()
    edited(path, becomes_code)
    write_matrices(tmp_path / "a.npy", np.eye(2)[None])
    words = ["--inputmx", str(tmp_path / "a.npy"), "--inverseout", str(tmp_path / "x.npy")]
    assert invert.main([*words, "--model", str(tmp_path)]) == 2
    assert train.main(["--import", str(tmp_path), "--mout", str(tmp_path / "m")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert all("Lambda" in line for line in said)
    assert not list(tmp_path.glob("m_*"))
    assert train.main(["--import", str(tmp_path), "--msize", "3"]) == 2
    assert train.main(["--import", str(tmp_path / "nothing")]) == 2
    assert "no Keras files to import" in capsys.readouterr().err
