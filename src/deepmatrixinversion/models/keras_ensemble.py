"""Ensembles of the published system: a directory of Keras files with ``config.toml`` beside them.

Each file is a member, whose input is the matrix as it is, with entries in the training's range, and
whose output times ``scaling_factor`` is its proposal; the ensemble's is their mean. Of
``config.toml`` every key may be missing, and so may the file: ``range_min`` is -1 then,
``range_max`` 1, and ``scaling_factor`` their difference, by which training divides its targets.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from deepmatrixinversion.errors import ModelError, printable, quoted
from deepmatrixinversion.models.config import (
    IMPORTED,
    MAX_MEMBERS,
    MAX_ORDER,
    ModelConfig,
    NetConfig,
    TrainingData,
    is_number,
)
from deepmatrixinversion.models.graph_writer import GraphWriter
from deepmatrixinversion.models.keras_file import KerasFile
from deepmatrixinversion.models.keras_layers import order_of, write_network

SETTINGS = "config.toml"
MAX_SETTINGS_BYTES = 1 << 20
ENDINGS = ("*.keras", "*.h5", "*.hdf5")  # the first of which there are files


def keras_files(directory: Path) -> list[Path]:
    """The members' files of an ensemble; none where it is none."""
    for ending in ENDINGS:
        if found := sorted(path for path in directory.glob(ending) if path.is_file()):
            return found
    return []


def read_ensemble(directory: Path) -> tuple[ModelConfig, bytes]:
    """What an ensemble is, and its graph: A float32 (batch, n, n) -> X, as it was trained.

    Raises
    ------
    ImportError
        When h5py is not installed.
    ModelError
        When a file is none of Keras, or is no plain feed-forward network of one order.
    """
    paths = keras_files(directory)
    if not 1 <= len(paths) <= MAX_MEMBERS:
        raise ModelError(f"{directory}: {len(paths)} Keras files, not 1 to {MAX_MEMBERS}")
    settings = _settings(directory / SETTINGS)
    low, high = settings.get("range_min", -1.0), settings.get("range_max", 1.0)
    if low >= high:
        raise ModelError(f"{directory / SETTINGS}: the range is empty, from {low:g} to {high:g}")
    data = TrainingData("uniform", low, high, det_min=0.1)
    factor = settings.get("scaling_factor", data.rmax - data.rmin)
    graph = GraphWriter()
    answers, net = [], None
    for path in paths:
        file = KerasFile(path)
        answers.append(_member(file, graph, settings))
        net = net or _net(file)
        if order_of(file) != net.msize:
            raise ModelError(f"{path}: of order {order_of(file)}, beside one of {net.msize}")
    assert net is not None
    total = answers[0]
    for answer in answers[1:]:
        total = graph.node("Add", total, answer)
    mean = graph.node("Mul", total, graph.constant(np.array(factor / len(paths))))
    return ModelConfig(net, len(paths), data, loss="frobenius", seed=0), graph.model(
        net.msize, mean
    )


def _member(file: KerasFile, graph: GraphWriter, settings: dict[str, float]) -> str:
    order = order_of(file)
    if order > MAX_ORDER:
        raise ModelError(f"{file.path}: of order {order}, above {MAX_ORDER}")
    if (said := settings.get("msize", order)) != order:
        raise ModelError(f"{file.path}: of order {order}, but {SETTINGS} says {said:g}")
    return write_network(file, graph, "A", order).name


def _net(file: KerasFile) -> NetConfig:
    """The order, the width of the first layer, and how many layers have weights."""
    dense = [layer for layer in file.layers if layer.kind == "Dense"]
    width = dense[0].config["units"] if dense else 1
    return NetConfig(IMPORTED, order_of(file), width, max(1, len(dense)))


def _settings(path: Path) -> dict[str, float]:
    """The numbers of ``config.toml``; what else it says is of no use here."""
    if not path.is_file():
        return {}
    if path.stat().st_size > MAX_SETTINGS_BYTES:
        raise ModelError(f"{path}: too long")
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not TOML ({printable(error)})") from None
    names = ("scaling_factor", "msize", "range_min", "range_max")
    found = {name: table[name] for name in names if name in table}
    for name, value in found.items():
        if not is_number(value) or not abs(value) <= 1e30:
            raise ModelError(f"{path}: {name} is {quoted(value)}, not a number")
    if not found.get("scaling_factor", 1) > 0:
        raise ModelError(f"{path}: scaling_factor is {found['scaling_factor']:g}, not positive")
    return found
