"""The models that come with the package, and how a model's name is resolved to a directory."""

from __future__ import annotations

import os
import re
from importlib import resources
from pathlib import Path

from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.models.directory import ModelDirectory, open_model
from deepmatrixinversion.models.hub import fetch

# Bundled models of one order that serve as the default guess: ORDER -> name.
DEFAULTS = {n: f"feedback-{n}" for n in range(2, 9)}

# For orders above: through Schur complements with leaves of order 3, which are the cheapest.
LARGE = "feedback-3"

# The bundled network that itself sees matrices of any order.
ANY = "spectral"

_DRIVE = re.compile(r"[A-Za-z]:")
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


def path_of(model: str | os.PathLike[str]) -> str | None:
    """The absolute path that a model's name means; None where it is bundled or on the Hub.

    A path is what is no string, what starts with ``.``, ``/``, ``~`` or a drive, and a name with a
    separator that an existing directory has. A bare name never is one, whatever lies in the
    working directory.
    """
    name = os.fspath(model)
    separated = any(mark in name for mark in (os.sep, os.altsep) if mark)
    if (
        not isinstance(model, str)
        or name.startswith((".", "/", "~"))
        or _DRIVE.match(name)
        or (separated and os.path.isdir(name))
    ):
        return os.path.abspath(os.path.expanduser(name))
    return None


def locate(model: str | os.PathLike[str]) -> ModelDirectory:
    """Find and verify a model: a directory, a bundled name or ``user/repo[@revision]``.

    Paths are told from names by ``path_of``: ``./feedback-3`` is a directory and ``feedback-3`` the
    bundled model. A model from the hub is named ``user/repo@commit``, with the commit that the
    revision resolved to.

    Raises
    ------
    ModelError
        When it is none of these, the hub has no such repository, or the model is malformed.
    ImportError
        When it names a hub repository and the extra ``hub`` is not installed.
    """
    name = os.fspath(model)
    if (path := path_of(model)) is not None:
        return open_model(path)
    if name in bundled_names():
        return open_model(bundled_folder() / name)
    if match := _HUB_NAME.fullmatch(name):
        try:
            path, commit = fetch(match["repo"], match["revision"])
        except ModelError as error:
            raise ModelError(f"{error} (nor is there a directory of that name)") from None
        return open_model(path, f"{match['repo']}@{commit}")
    remedy = f"; the directory here is './{name}'" if name and os.path.isdir(name) else ""
    raise ModelError(
        f"'{name}' is neither a model directory, nor a bundled model "
        f"({', '.join(bundled_names())}), nor user/repo[@revision] on the Hugging Face Hub{remedy}"
    )
