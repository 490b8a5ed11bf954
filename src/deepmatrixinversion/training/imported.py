"""An ensemble of Keras files made a model directory, which needs neither Keras nor h5py (no torch).

Its graph is its all: ``model.onnx`` holds the networks as they were trained, and ``config.json``
the range that they were trained on. Nothing is trained on, for the layers normalise nothing.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from deepmatrixinversion.atomic import atomic_bytes, atomic_text
from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.models.directory import (
    CARD,
    CONFIG,
    GRAPH,
    digest,
    open_model,
    read_graph,
    seal,
)
from deepmatrixinversion.models.keras_ensemble import keras_files
from deepmatrixinversion.reporting.imported_card import imported_card
from deepmatrixinversion.reporting.metrics import Evaluation
from deepmatrixinversion.training.directory import new_place
from deepmatrixinversion.training.evaluation import evaluate

MATRICES = 10_000


def import_model(source: Path, prefix: str | os.PathLike[str]) -> tuple[Path, list[Evaluation]]:
    """Write ``PREFIX_YYYYMMDDHHMMSS`` from a directory of Keras files, and measure its answers.

    Parameters
    ----------
    source : Path
        A directory with the members' ``.keras`` (or ``.h5``) files, and ``config.toml``.
    prefix : path
        Beginning of the new directory's name.

    Returns
    -------
    Path, list of Evaluation
        The model directory, and its raw answers to fresh uniform matrices of the range that it
        was trained on: all of them, and those with |det| > 0.1.

    Raises
    ------
    ImportError
        When h5py is not installed.
    ModelError
        When there are no such files, or they are no plain networks (``models.keras_layers``).
    """
    if (source / CONFIG).exists():
        raise ModelError(f"{source}: this is a model directory already; nothing is to be imported")
    if not (files := keras_files(source)):
        raise ModelError(f"{source}: there are no Keras files to import (.keras, .h5)")
    model = open_model(source)
    graph = read_graph(model)
    inverter = Inverter(model)
    data, order = model.config.data, model.config.net.msize
    kinds = (dataclasses.replace(data, det_min=least) for least in (0.0, data.det_min))
    evaluations = [evaluate(inverter, order, kind, matrices=MATRICES) for kind in kinds]
    directory = new_place(prefix)
    atomic_bytes(directory / GRAPH, graph)
    sources = {path.name: digest(path) for path in files}
    atomic_text(directory / CARD, imported_card(directory.name, model.config, sources, evaluations))
    seal(directory, model.config)
    return directory, evaluations
