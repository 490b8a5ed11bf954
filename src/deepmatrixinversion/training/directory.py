"""The directory of a training (no torch here).

While it runs, it holds ``training.json`` (the recipe), ``checkpoint_K.safetensors``,
``training.csv`` and ``tensorboard/``, and ``data.safetensors`` where it learns from a file; members
that are done leave ``member_K.safetensors``. The last file written is ``config.json``: with it the
directory is a model, without it a run to resume.
"""

from __future__ import annotations

import json
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from deepmatrixinversion.atomic import atomic_text
from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.models.config import from_dict, parse_json
from deepmatrixinversion.models.directory import CONFIG, RECIPE
from deepmatrixinversion.training.dataset import DataSet, save_data
from deepmatrixinversion.training.recipe import Recipe


def new_directory(
    prefix: str | os.PathLike[str], recipe: Recipe, data: DataSet | None = None
) -> Path:
    """Make ``PREFIX_YYYYMMDDHHMMSS`` and write the recipe into it, and the data it learns from."""
    path = new_place(prefix)
    if data is not None:
        save_data(path, data)
    atomic_text(path / RECIPE, json.dumps(recipe.to_dict(), indent=2) + "\n")
    return path


def new_place(prefix: str | os.PathLike[str]) -> Path:
    """Make the folder ``PREFIX_YYYYMMDDHHMMSS``, which nobody else has."""
    while True:
        path = Path(f"{os.fspath(prefix)}_{datetime.now():%Y%m%d%H%M%S}")
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:  # another run began within the same second
            time.sleep(0.2)


def read_recipe(directory: Path) -> Recipe:
    """The recipe of a run directory.

    Raises
    ------
    ModelError
        When it is no run directory.
    """
    if not (directory / RECIPE).is_file():
        raise ModelError(f"{directory}: no training to resume there ({RECIPE} is missing)")
    values: Any = parse_json((directory / RECIPE).read_bytes(), str(directory / RECIPE))
    return from_dict(Recipe, values, str(directory / RECIPE))


def is_finished(directory: Path) -> bool:
    """Whether the training of a run directory has become a model."""
    return (directory / CONFIG).exists()
