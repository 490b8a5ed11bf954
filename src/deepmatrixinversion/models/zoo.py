"""The models that come with the package, and how a model's name is resolved to a directory."""

from __future__ import annotations

import os
import re
from importlib import resources
from pathlib import Path

from deepmatrixinversion.errors import ModelError, quoted
from deepmatrixinversion.models.directory import ModelDirectory, open_model
from deepmatrixinversion.models.hub import fetch

# Bundled models of one order that serve as the default guess: ORDER -> name.
DEFAULTS = {n: f"feedback-{n}" for n in range(2, 9)}

# For orders above: through Schur complements with leaves of order 3, which are the cheapest.
LARGE = "feedback-3"

# The bundled network that itself sees matrices of any order.
ANY = "spectral"

_HUB_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


def bundled_folder() -> Path:
    """The folder of bundled model directories."""
    return Path(str(resources.files("deepmatrixinversion.models") / "bundled"))


def bundled_names() -> list[str]:
    """Names of the bundled models, sorted."""
    return sorted(p.name for p in bundled_folder().iterdir() if (p / "config.json").is_file())


def name_for_order(order: int) -> str:
    """Name of the bundled model that suits matrices of this order best.

    The one of that order, else the next larger one (matrices are padded with the identity), else
    the one whose order makes the cheapest leaves of a Schur recursion.
    """
    larger = [m for m in DEFAULTS if m >= order]
    return DEFAULTS[min(larger)] if larger else LARGE


def locate(model: str | os.PathLike[str]) -> ModelDirectory:
    """Find and verify a model by one rule, wherever a name is asked for.

    * A bare name is that of a bundled model, whatever lies in the working directory.
    * What starts with ``.``, ``/``, ``~`` or a drive, or is an existing directory named with a
      separator, is a path; so is every ``pathlib.Path``.
    * Anything else with one slash is ``user/repo[@revision]`` on the Hugging Face Hub. It is named
      ``user/repo@commit``, with the commit that the revision resolved to.

    Raises
    ------
    ModelError
        When it is none of these, the hub has no such repository, or the model is malformed.
    ImportError
        When it names a hub repository and the extra ``hub`` is not installed.
    """
    name = os.fspath(model)
    if is_path(model):
        return open_model(os.path.expanduser(name))
    if name in bundled_names():
        return open_model(bundled_folder() / name)
    if match := _HUB_NAME.fullmatch(name):
        try:
            path, commit = fetch(match["repo"], match["revision"])
        except ModelError as error:
            raise ModelError(f"{error} (nor is there a directory of that name)") from None
        return open_model(path, f"{match['repo']}@{commit}")
    here = f"; the directory here is './{name}'" if name and Path(name).is_dir() else ""
    raise ModelError(
        f"{quoted(name, 200)} is neither a model directory, nor a bundled model "
        f"({', '.join(bundled_names())}), nor user/repo[@revision] on the Hugging Face Hub{here}"
    )


def is_path(model: str | os.PathLike[str]) -> bool:
    """Whether a model's name is a path, by the rule of `locate`."""
    name = os.fspath(model)
    if not isinstance(model, str) or name.startswith((".", "/", "~", os.sep)):
        return True
    if re.match(r"[A-Za-z]:", name):  # a drive
        return True
    return bool({"/", os.sep} & set(name)) and Path(name).is_dir()
