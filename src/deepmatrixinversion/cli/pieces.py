"""Finished blocks kept beside an output, so that an interrupted job goes on where it ended."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deepmatrixinversion.atomic import atomic_bytes, atomic_text
from deepmatrixinversion.cli.kinds import Answers

_JOB = "job.json"
_X = "answers"


class Pieces:
    """The folder ``OUT.pieces``: what the job is, and the answers to each block that is done.

    Parameters
    ----------
    out : str
        The output.
    job : dict
        All that the answers depend on, as JSON.

    Raises
    ------
    ValueError
        The folder belongs to another job, or is no folder of this kind.
    """

    def __init__(self, out: str, job: dict[str, Any]) -> None:
        self.folder = Path(f"{out}.pieces")
        found = self._job()
        if found is None:
            self.folder.mkdir(exist_ok=True)
            atomic_text(self.folder / _JOB, json.dumps(job, indent=2) + "\n")
            return
        for name in {**found, **job}:
            if found.get(name) != job.get(name):
                raise ValueError(
                    f"{self.folder} is of another job: its {name} was {found.get(name)!r} and now "
                    f"is {job.get(name)!r}; remove it, or give the options it was begun with"
                )

    def _job(self) -> dict[str, Any] | None:
        """What the folder belongs to; None where it is new or empty."""
        if not self.folder.exists() or not any(self.folder.iterdir()):
            return None
        try:
            return dict(json.loads((self.folder / _JOB).read_text()))
        except (OSError, ValueError, TypeError):
            raise ValueError(
                f"{self.folder} holds no pieces of an output: move it out of the way"
            ) from None

    def get(self, first: int, count: int) -> Answers | None:
        """The answers to ``count`` matrices from the first on; None where they are not there."""
        try:
            data = io.BytesIO(self._name(first).read_bytes())
            piece = np.load(data, allow_pickle=False)
            columns = dict(piece) if isinstance(piece, Mapping) else {}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None  # not there, or damaged
        X = columns.pop(_X, None)
        if X is None or len(X) != count:
            return None
        return Answers(X, columns)

    def put(self, first: int, answers: Answers) -> None:
        """Keep answers."""
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **{_X: answers.X}, **answers.columns)
        atomic_bytes(self._name(first), file.getvalue())

    def remove(self) -> None:
        """The output is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _name(self, first: int) -> Path:
        return self.folder / f"{first:012d}.npz"


def stamp(path: str | None) -> list[Any] | None:
    """What tells one version of a file from another: path, size, time of its last change."""
    if path is None:
        return None
    found = os.stat(path)
    return [os.path.realpath(path), found.st_size, found.st_mtime_ns]
