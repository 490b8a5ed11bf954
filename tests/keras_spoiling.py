"""Keras files to be spoilt, and how they are refused."""

from __future__ import annotations

import io
import json
import shutil
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import pytest

from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.models.directory import open_model, read_graph

HERE = Path(__file__).parent


def extracted(tmp_path_factory):
    """A fixture: the folder of all files."""
    folder = tmp_path_factory.mktemp("keras")
    with zipfile.ZipFile(HERE / "keras_models.zip") as archive:
        archive.extractall(folder)
    return folder


def copier(made, tmp_path):
    """A fixture: copies one file into a folder of its own, to be spoilt."""

    def copied(name="3/plain-keras/0.keras"):
        return Path(shutil.copy(made / name, tmp_path))

    return copied


def edited(path: Path, change=None, spoil=None, **zipped) -> None:
    """Write a .keras file anew with its configuration or its weights changed."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    if change:
        config = json.loads(parts["config.json"])
        change(config["config"]["layers"])
        parts["config.json"] = json.dumps(config).encode()
    if spoil:
        buffer = io.BytesIO(parts["model.weights.h5"])
        with h5py.File(buffer, "r+") as file:
            spoil(file["layers/dense/vars"])
        parts["model.weights.h5"] = buffer.getvalue()
    with zipfile.ZipFile(path, "w", **zipped) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def refused(path: Path, match: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=match) as caught:
            read_graph(open_model(path.parent))
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
    assert str(path.parent) in str(caught.value)
    assert "\n" not in str(caught.value)


def of_kind(layers, kind):
    return next(layer for layer in layers if layer["class_name"] == kind)


def becomes_code(layers):
    layer = of_kind(layers, "Activation")
    layer["class_name"] = "Lambda"
    layer["config"] = {"name": layer["name"], "function": {"class_name": "__lambda__"}}
