"""The model directory: what a training leaves and what an inversion loads.

::

    config.json             what the networks are and what they saw (``ModelConfig``)
    member_1.safetensors …  the weights of each member of the ensemble, float32
    model.onnx              the members' mean as one graph, float32, dynamic batch (none of `prior`;
                            all there is of `imported`)
    README.md               the model card
    training.csv            the training curve
    *.png                   plots

Loading trusts nothing: the configuration's keys, types and ranges, the digest, size, names,
dtypes and finiteness of the weights are checked, and no file is ever unpickled or imported.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors

from deepmatrixinversion.atomic import atomic_text
from deepmatrixinversion.errors import ModelError, printable, quoted
from deepmatrixinversion.models.config import IMPORTED, ModelConfig
from deepmatrixinversion.models.graph import check_graph
from deepmatrixinversion.models.keras_ensemble import keras_files, read_ensemble
from deepmatrixinversion.models.weights import first_misfit, weight_shapes

CONFIG = "config.json"
GRAPH = "model.onnx"
CARD = "README.md"
CURVE = "training.csv"
RECIPE = "training.json"  # of a training, with which it goes on

# No model that this package can describe comes near these: they stop a hostile or broken file
# before it fills the memory.
MAX_CONFIG_BYTES = 1 << 20
MAX_FILE_BYTES = 2 << 30
MAX_HEADER_BYTES = 1 << 20  # of a safetensors file


class ModelDirectory(NamedTuple):
    """A model directory whose configuration has been read and whose files have been verified.

    ``graph`` holds the graph of one that has no file of it: an ensemble of Keras files.
    """

    path: Path
    config: ModelConfig
    name: str
    graph: bytes | None = None


def member_file(member: int) -> str:
    """File name of the weights of member 1, 2, …"""
    return f"member_{member}.safetensors"


def model_files(net: str, members: int) -> list[str]:
    """The files that ``config.json`` lists: weights, and the graph but for ``prior``.

    A prior is fitted without torch, which alone could write its graph: ``dmxexport`` does. What is
    imported is a graph alone.
    """
    if net == IMPORTED:
        return [GRAPH]
    weights = [member_file(k + 1) for k in range(members)]
    return weights if net == "prior" else [GRAPH, *weights]


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(directory: Path, config: ModelConfig) -> None:
    """Make a directory with all other files a model: ``config.json``, with their digests, is last.

    Without it the directory is a run to resume.
    """
    names = model_files(config.net.net, config.members)
    config = dataclasses.replace(config, files={name: digest(directory / name) for name in names})
    atomic_text(directory / CONFIG, config.to_json())


def open_model(path: str | os.PathLike[str], name: str | None = None) -> ModelDirectory:
    """Read and verify a model directory, to be called ``name`` (default: its last component).

    A directory without ``config.json`` may be an ensemble of Keras files (``keras_ensemble``).

    Raises
    ------
    ModelError
        When it is no directory, a file is missing, too large, or not the one that
        ``config.json`` names, or ``config.json`` itself is malformed.
    """
    path = Path(path)
    if not path.is_dir():
        raise ModelError(f"{path}: no model directory there")
    name = name or path.resolve().name
    if not (path / CONFIG).exists() and keras_files(path):
        config, graph = read_ensemble(path)
        return ModelDirectory(path, config, name, graph)
    if not (path / CONFIG).exists() and (path / RECIPE).is_file():
        raise ModelError(f"{path}: its training is not finished: dmxtrain --resume {path}")
    config = ModelConfig.from_json(_read(path, CONFIG, MAX_CONFIG_BYTES))
    expected = set(model_files(config.net.net, config.members))
    if set(config.files) != expected:
        raise ModelError(f"{path / CONFIG}: files must list exactly {sorted(expected)}")
    for file, recorded in config.files.items():
        _check_file(path, file, MAX_FILE_BYTES)
        if digest(path / file) != recorded:
            raise ModelError(
                f"{path / file}: not the file that {CONFIG} describes (its SHA-256 differs); "
                "copy the whole model directory again"
            )
    return ModelDirectory(path, config, name)


def is_model(path: str | os.PathLike[str]) -> bool:
    """Whether a directory holds a finished model, or an ensemble of Keras files."""
    return (Path(path) / CONFIG).is_file() or bool(keras_files(Path(path)))


def read_graph(model: ModelDirectory) -> bytes:
    """The bytes of ``model.onnx``, which are those of a network of the configured order.

    Raises
    ------
    ModelError
        When they are not (``graph.check_graph``).
    """
    if model.config.net.net == "prior":
        raise ModelError(f"{model.path}: a prior has no {GRAPH}; dmxexport writes one")
    data = model.graph or _read(model.path, GRAPH, MAX_FILE_BYTES)
    check_graph(data, model.config.net.msize, str(model.path / GRAPH))
    return data


def read_weights(model: ModelDirectory, member: int) -> dict[str, np.ndarray]:
    """The weights of member 1, 2, …: float32 and finite, by parameter name.

    Raises
    ------
    ModelError
        When the file is no safetensors file, a tensor is not float32 or not finite, or names and
        shapes are not those of the configured network.
    """
    if model.config.net.net == IMPORTED:
        raise ModelError(
            f"{model.path}: an imported model has no weights but those in {GRAPH}, its export "
            "(dmxtrain --import writes it)"
        )
    name = member_file(member)
    where = f"{model.path / name}"
    data = _read(model.path, name, MAX_FILE_BYTES)
    if int.from_bytes(data[:8], "little") > MAX_HEADER_BYTES:
        raise ModelError(f"{where}: not a safetensors file of a model (its header is too long)")
    try:
        tensors = load_safetensors(data)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{where}: not a safetensors file ({printable(error)})") from None
    for key, value in tensors.items():
        if value.dtype != np.float32:
            raise ModelError(f"{where}: {quoted(key)} is {value.dtype}, not float32")
        if not np.isfinite(value).all():
            raise ModelError(f"{where}: {quoted(key)} has entries that are not finite")
    found = {key: value.shape for key, value in tensors.items()}
    if misfit := first_misfit(found, weight_shapes(model.config.net)):
        raise ModelError(
            f"{model.path}: the weights of member {member} do not fit the configured network "
            f"({misfit})"
        )
    return tensors


def _check_file(path: Path, name: str, most: int) -> None:
    file = path / name
    if not file.is_file():
        raise ModelError(f"{path}: {name} is missing; is this a model directory?")
    if (size := file.stat().st_size) > most:
        raise ModelError(f"{file}: {size} bytes, more than the {most} that a model may have")


def _read(path: Path, name: str, most: int) -> bytes:
    _check_file(path, name, most)
    return (path / name).read_bytes()
