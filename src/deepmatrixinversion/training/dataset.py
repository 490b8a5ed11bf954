"""A training's own stack of matrices, split in contiguous blocks (no torch here)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors.numpy import load, save

from deepmatrixinversion.atomic import atomic_bytes
from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.inference.arrays import real_form, require_finite
from deepmatrixinversion.matrices import read_matrices

DATA = "data.safetensors"

LEAST = 10
"""Matrices without which no block would be left to choose and to test by."""

SHARES = (0.8, 0.9)
"""Where the validation block begins, and where the test block does."""

Array = NDArray[np.float64]


class DataSet(NamedTuple):
    """Matrices A (k, n, n), and what their inverses are to be, (k, n, n) or None."""

    A: Array
    targets: Array | None

    def blocks(self) -> tuple[DataSet, DataSet, DataSet]:
        """To train on, to choose by, to be tested on: 80, 10 and 10 %, one after the other.

        Contiguous, since a random split of a series in time would put each matrix's neighbours
        among those that it is tested on.
        """
        k = len(self.A)
        first, second = (int(share * k) for share in SHARES)
        return self._part(0, first), self._part(first, second), self._part(second, k)

    def _part(self, start: int, stop: int) -> DataSet:
        targets = None if self.targets is None else self.targets[start:stop]
        return DataSet(self.A[start:stop], targets)


def data_set(A: ArrayLike, targets: ArrayLike | None = None, name: str = "the data") -> DataSet:
    """A stack of real matrices to learn from, checked.

    Raises
    ------
    ValueError
        When it is no stack (k, n, n) of at least ten finite real matrices, or the targets are not
        as many of the same order.
    """
    found = _stack(A, name)
    if len(found) < LEAST:
        raise ValueError(f"{name}: {len(found)} matrices are too few: give {LEAST} or more")
    if targets is None:
        return DataSet(found, None)
    wanted = _stack(targets, "the targets")
    if wanted.shape != found.shape:
        raise ValueError(
            f"the targets are of shape {wanted.shape}, {name} of shape {found.shape}: there must "
            "be one target for each matrix"
        )
    return DataSet(found, wanted)


def read_data(file: str | os.PathLike[str], targets: str | os.PathLike[str] | None) -> DataSet:
    """The same from files in any format that ``read_matrices`` reads."""
    named = None if targets is None else read_matrices(targets)
    return data_set(read_matrices(file), named, os.fspath(file))


def save_data(directory: Path, data: DataSet) -> None:
    """Keep a copy in a training's directory until it has become a model."""
    tensors = {"A": np.ascontiguousarray(data.A)}
    if data.targets is not None:
        tensors["targets"] = np.ascontiguousarray(data.targets)
    atomic_bytes(directory / DATA, save(tensors))


def load_data(directory: Path) -> DataSet:
    """What ``save_data`` wrote.

    Raises
    ------
    ModelError
        When it is not there any more.
    """
    if not (directory / DATA).is_file():
        raise ModelError(f"{directory}: {DATA}, which this training learns from, is missing")
    tensors = load((directory / DATA).read_bytes())
    return DataSet(tensors["A"], tensors.get("targets"))


def _stack(M: ArrayLike, name: str) -> Array:
    form = real_form(M, name=name)
    if form.is_complex or form.array.ndim != 3 or not form.array.shape[-1]:
        kind = "complex ones" if form.is_complex else f"shape {np.shape(M)}"
        raise ValueError(f"{name} must be a stack (k, n, n) of real matrices, not {kind}")
    require_finite(form.array, name)
    return form.array.astype(np.float64, copy=False)
