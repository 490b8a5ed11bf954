"""Stacks in Zarr: an array to read, a group of inverses with their certificates to write.

A part is written in this order: inverses, certificates, and last its row of ``done``, which has
checksums of what was read and of what was written. Every file of a store is replaced in one
instant, so that a run that was killed at any point leaves parts that are done, and others.
"""

from __future__ import annotations

import os
import shutil
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.errors import MatrixFormatError, printable
from deepmatrixinversion.linalg.certificate import Certificate
from deepmatrixinversion.linalg.engine import Inversion
from deepmatrixinversion.matrices.elements import as_elements, element_type, stack_shape

SUFFIX = ".zarr"
FIELDS = {
    "certified": np.bool_,
    "residual_bound": np.float64,
    "error_bound": np.float64,
    "relative_error_bound": np.float64,
    "steps": np.int64,
}
"""Arrays of the group beside ``inverse``, a number a matrix."""

DESCRIPTION = "deepmatrixinversion"
"""The group's attribute that says what was inverted, and how."""


def is_zarr(path: str) -> bool:
    """Whether a path leads to a Zarr store, or into one."""
    return any(part.lower().endswith(SUFFIX) for part in Path(path).parts)


def _library(path: str) -> Any:
    try:
        import zarr
    except ImportError:
        raise ImportError(
            f"{path}: Zarr stores need the package zarr: pip install 'deepmatrixinversion[zarr]'"
        ) from None
    return zarr


class ZarrSource(NamedTuple):
    """The matrices of a Zarr array (count, rows, cols), or (rows, cols) for one."""

    path: str
    name: str
    shape: tuple[int, int, int]
    dtype: np.dtype
    granule: int

    @classmethod
    def of(cls, path: str) -> ZarrSource:
        """The array at ``path``, or the only one in the group there.

        Raises
        ------
        MatrixFormatError
            where there is none, or several, or one of something else
        ImportError
            without the package zarr
        """
        array, inside = _array(path)
        whole = stack_shape(array.shape, path)
        stored = (array.shards or array.chunks) if array.ndim == 3 else (1,)
        dtype = element_type(array.dtype, path)
        return cls(inside, path, whole, dtype, stored[0])

    def read(self, start: int, stop: int) -> NDArray:
        """Matrices ``start`` to ``stop`` - 1."""
        array = _library(self.path).open_array(self.path, mode="r")
        block = np.asarray(array[start:stop] if array.ndim == 3 else array[...][None])
        return as_elements(block, self.name, start)


def _array(path: str) -> tuple[Any, str]:
    """The array that a path means, and its own path."""
    zarr = _library(path)
    if not os.path.exists(path):
        raise FileNotFoundError(2, "No such file or directory", path)
    try:
        found = zarr.open(path, mode="r")
    except Exception as error:  # zarr's exceptions share no base class
        raise MatrixFormatError(f"{path}: no Zarr store ({printable(error)})") from None
    if not isinstance(found, zarr.Group):
        return found, path
    arrays = {name: array for name, array in found.arrays() if array.ndim >= 2}
    if len(arrays) == 1:
        ((name, array),) = arrays.items()
        return array, os.path.join(path, name)
    names = ", ".join(sorted(arrays)) or "none"
    raise MatrixFormatError(
        f"{path}: a group with these arrays of matrices: {names}; name one, as in "
        f"{os.path.join(path, 'NAME')}"
    )


class ZarrSink(NamedTuple):
    """A group of ``inverse``, certificates and what is done."""

    path: str

    @classmethod
    def made(cls, path: str, source: Any, step: int, how: dict[str, Any]) -> ZarrSink:
        """The group at ``path``: a new one, or that of an earlier run of the very same job.

        Raises
        ------
        MatrixFormatError
            where something else is there
        """
        zarr = _library(path)
        count, rows, cols = source.shape
        job = {"matrices": [count, rows, cols], "dtype": source.dtype.str, "part": step, **how}
        if os.path.lexists(path):
            _check_same(zarr, path, job)
            return cls(path)
        folder, own = os.path.split(os.path.abspath(path))
        if not os.path.isdir(folder):
            raise FileNotFoundError(2, "No such file or directory", folder)
        temporary = os.path.join(folder, f".{own}.{os.getpid()}.tmp")
        try:
            _create(zarr, temporary, source, step, job)
            os.rename(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return cls(path)

    def _group(self) -> Any:
        return _library(self.path).open_group(self.path, mode="r+")

    def kept(self, number: int, start: int, A: NDArray) -> Inversion | None:
        """What is there for these very matrices, if it is what was once written."""
        group = self._group()
        done, read, written = group["done"][number].tolist()
        if not done or read != _checksum(A):
            return None
        part = slice(start, start + len(A))
        fields = [group[name][part] for name in ("inverse", *FIELDS)]
        if _checksum(*fields) != written:
            return None
        X, *bounds, steps = fields
        return Inversion(X, Certificate(*bounds), steps)

    def write(self, number: int, start: int, A: NDArray, result: Inversion) -> None:
        """One part, and then that it is done."""
        group = self._group()
        part = slice(start, start + len(A))
        fields = (result.inverse, *result.certificate, result.steps)
        for name, values in zip(("inverse", *FIELDS), fields, strict=True):
            group[name][part] = values
        group["done"][number] = [1, _checksum(A), _checksum(*fields)]


def _create(zarr: Any, path: str, source: Any, step: int, job: dict[str, Any]) -> None:
    count, n, _ = source.shape
    step = min(step, count)
    group = zarr.create_group(path, attributes={DESCRIPTION: job})
    group.create_array(
        "inverse",
        shape=(count, n, n),
        dtype=source.dtype,
        chunks=(min(source.granule, step), n, n),
        fill_value=np.nan,
        compressors=None,  # the last bits of an inverse are noise
    )
    for name, dtype in FIELDS.items():
        group.create_array(name, shape=(count,), dtype=dtype, chunks=(step,), fill_value=0)
    parts = -(-count // step)
    group.create_array(
        "done", shape=(parts, 3), dtype=np.int64, chunks=(1, 3), fill_value=0, compressors=None
    )


def _check_same(zarr: Any, path: str, job: dict[str, Any]) -> None:
    try:
        found = dict(zarr.open_group(path, mode="r").attrs).get(DESCRIPTION)
    except Exception:  # zarr's exceptions share no base class
        found = None
    if found == job:
        return
    if not isinstance(found, dict):
        raise MatrixFormatError(
            f"{path}: something else is there; remove it, or name another store"
        )
    differing = [k for k in job if found.get(k) != job[k]]
    raise MatrixFormatError(
        f"{path}: inverses of another job are there, whose {', '.join(differing)} "
        "differ; remove them, or name another store"
    )


def _checksum(*arrays: NDArray) -> int:
    value = 0
    for array in arrays:
        value = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, value)
    return value
