"""Keras's files, read with h5py and JSON alone: layers as data, never as code.

Three layouts: ``.keras`` of Keras 3, ``.keras`` of Keras 2 (both zip files with ``config.json`` and
``model.weights.h5``, whose groups are named after the layers' classes in their order), and the
older HDF5 file (``.h5``), whose attribute ``model_config`` is that JSON and whose groups are named
after the layers. Weights are plain datasets there, never compressed, linked or kept elsewhere: what
is not like that is refused before it is read.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepmatrixinversion.errors import ModelError, printable, quoted
from deepmatrixinversion.models.config import parse_json

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MAX_CONFIG_BYTES = 16 << 20
MAX_FILE_BYTES = 2 << 30
MAX_SQUEEZED = 100  # times that weights may be packed
MAX_LAYERS = 4096
MAX_WEIGHTS = 8  # tensors of one layer

NEEDS_H5PY = "Keras files need h5py: pip install h5py"


class Layer(NamedTuple):
    """A layer of a file: its class, its settings, and the names of the layers that it takes."""

    name: str
    kind: str
    config: dict[str, Any]
    inputs: list[str]


class KerasFile:
    """The layers of one file in their order, its output, and the weights by layer.

    Parameters
    ----------
    path : Path
        ``.keras``, ``.h5`` or ``.hdf5``.

    Raises
    ------
    ImportError
        When h5py is not installed.
    ModelError
        When it is no such file, or more or other than a network of plain layers.
    """

    def __init__(self, path: Path) -> None:
        try:
            import h5py
        except ImportError:
            raise ImportError(f"{path}: {NEEDS_H5PY}") from None
        self._h5py = h5py
        self.path = path
        with self._guarded():
            packed = zipfile.is_zipfile(path)
            if packed:
                config, weights = self._unpack()
            else:
                config, weights = b"", _bounded(path)
            self._root = h5py.File(io.BytesIO(weights), "r")
            self._by_name = not packed
            model = parse_json(config or self._attribute("model_config"), "its description")
            self.layers, self.output = _layers(model)

    def _unpack(self) -> tuple[bytes, bytes]:
        with zipfile.ZipFile(self.path) as archive:
            config = _member(archive, CONFIG, MAX_CONFIG_BYTES)
            return config, _member(archive, WEIGHTS, MAX_FILE_BYTES)

    def weights(self, layer: Layer, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
        """The weights of a layer, which must have these shapes, as finite float32."""
        with self._guarded():
            found = self._datasets(layer, len(shapes))
            return [self._array(d, s, layer) for d, s in zip(found, shapes, strict=True)]

    def _datasets(self, layer: Layer, count: int) -> list[Any]:
        if self._by_name:
            group = self._within(self._root, "model_weights", layer.name)
            names = self._names(group, layer)
            found = [self._within(group, *name.split("/")) for name in names]
        else:
            top = "layers" if "layers" in self._root else "_layer_checkpoint_dependencies"
            group = self._within(self._root, top, self._place(layer), "vars")
            found = [self._within(group, str(k)) for k in range(min(len(group), MAX_WEIGHTS + 1))]
        if len(found) != count:
            raise ModelError(f"layer {quoted(layer.name)} has {len(found)} tensors, not {count}")
        return found

    def _place(self, layer: Layer) -> str:
        """Where Keras keeps a layer: its class in snake case, counted."""
        snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", layer.kind).lower()
        before = [other.name for other in self.layers if other.kind == layer.kind]
        position = before.index(layer.name)
        return f"{snake}_{position}" if position else snake

    def _names(self, group: Any, layer: Layer) -> list[str]:
        found = group.attrs.get_id("weight_names")
        if len(found.shape) != 1 or found.shape[0] > MAX_WEIGHTS:
            raise ModelError(f"layer {quoted(layer.name)} has no list of weights")
        names = group.attrs["weight_names"]
        return [n.decode() if isinstance(n, bytes) else str(n) for n in names]

    def _attribute(self, name: str) -> str | bytes:
        """A text that stands as an attribute of the file."""
        if name not in self._root.attrs:
            raise ModelError(f"no Keras model (it has no {name})")
        found = self._root.attrs.get_id(name)
        if found.shape != () or found.get_storage_size() > MAX_CONFIG_BYTES:
            raise ModelError(f"its {name} is no text, or too long")
        text = self._root.attrs[name]
        if not isinstance(text, str | bytes) or len(text) > MAX_CONFIG_BYTES:
            raise ModelError(f"its {name} is no text, or too long")
        return text

    def _within(self, group: Any, *names: str) -> Any:
        """What lies in a group, reached through the file itself alone."""
        for name in names:
            link = group.get(name, getlink=True) if hasattr(group, "get") else None
            if link is None:
                raise ModelError(f"{quoted('/'.join(names))} is missing")
            if not isinstance(link, self._h5py.HardLink):
                raise ModelError(f"{quoted(name)} is a link, which no model needs")
            group = group[name]
        return group

    def _array(self, found: Any, shape: tuple[int, ...], layer: Layer) -> np.ndarray:
        where = f"a weight of layer {quoted(layer.name)}"
        if not isinstance(found, self._h5py.Dataset) or found.dtype.kind != "f":
            raise ModelError(f"{where} is no array of floating point numbers")
        if found.shape != shape:
            raise ModelError(f"{where} has shape {found.shape}, not {shape}")
        plain = not (found.is_virtual or found.external)
        plain = plain and found.id.get_create_plist().get_nfilters() == 0
        if not plain or found.id.get_storage_size() != found.size * found.dtype.itemsize:
            raise ModelError(f"{where} is not stored as plain numbers within the file")
        with np.errstate(over="ignore"):
            values = np.asarray(found[()], dtype=np.float32)
        if not np.isfinite(values).all():
            raise ModelError(f"{where} has entries that are not finite")
        return values

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Whatever a broken file makes h5py and zipfile raise, as one sentence."""
        try:
            yield
        except ModelError as error:
            raise ModelError(f"{self.path}: {error}") from None
        except (FileNotFoundError, PermissionError):
            raise
        except (
            OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, IndexError,
            OverflowError, EOFError, zipfile.BadZipFile, zlib.error, struct.error,
        ) as error:  # fmt: skip
            raise ModelError(
                f"{self.path}: no Keras model, or a damaged one ({printable(error)})"
            ) from None


def _bounded(path: Path) -> bytes:
    if (size := path.stat().st_size) > MAX_FILE_BYTES:
        raise ModelError(f"{size} bytes, more than the {MAX_FILE_BYTES} a model may have")
    return path.read_bytes()


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    where = f"its {name}"
    if name not in archive.namelist():
        raise ModelError(f"{where} is missing; is this a Keras model?")
    info = archive.getinfo(name)
    if info.file_size > most or info.file_size > MAX_SQUEEZED * max(info.compress_size, 1 << 10):
        raise ModelError(f"{where} unpacks to {info.file_size} bytes, more than a model may have")
    with archive.open(info) as file:
        return file.read(most + 1)


def _layers(model: Any) -> tuple[list[Layer], str]:
    """The layers of a functional model, and the name of the one that answers."""
    if not isinstance(model, dict) or model.get("class_name") not in ("Functional", "Model"):
        raise ModelError("it is no functional Keras model")
    parts = model["config"]["layers"]
    if len(parts) > MAX_LAYERS:
        raise ModelError(f"it has {len(parts)} layers, more than {MAX_LAYERS}")
    layers = [_layer(part) for part in parts]
    if len({layer.name for layer in layers}) < len(layers):
        raise ModelError("two of its layers have one name")
    outputs = list(_references(model["config"]["output_layers"]))
    if len(outputs) != 1:
        raise ModelError(f"it has {len(outputs)} outputs, not one")
    return layers, outputs[0]


def _layer(part: dict[str, Any]) -> Layer:
    name, kind = str(part.get("name") or part["config"]["name"]), str(part["class_name"])
    home = str(part.get("module") or "keras")
    if home.split(".")[0] not in ("keras", "tf_keras", "tensorflow"):
        raise ModelError(f"layer {quoted(name)} is of {quoted(home)}, not one of Keras")
    nodes = part["inbound_nodes"]
    if len(nodes) > 1:
        raise ModelError(f"layer {quoted(name)} is used {len(nodes)} times")
    return Layer(name, kind, part["config"], list(_references(nodes)))


def _references(node: Any) -> Iterator[str]:
    """The layers that a node of Keras 2 or 3 names, in their order."""
    if isinstance(node, list) and len(node) >= 3 and isinstance(node[0], str):
        if node[1:3] != [0, 0]:
            raise ModelError(f"layer {quoted(node[0])} has more than one answer")
        yield node[0]
        node = node[3:]  # further arguments by name, of Keras 2
    if isinstance(node, dict):
        if node.get("class_name") == "__keras_tensor__":
            node = [node["config"]["keras_history"]]
        else:
            node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _references(part)
