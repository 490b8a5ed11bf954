"""What a network is and what it was trained on: frozen dataclasses with a strict JSON form."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Self, TypeGuard, TypeVar

from deepmatrixinversion.errors import ModelError, printable, quoted

_T = TypeVar("_T")

FORMAT_VERSION = 1
NET_NAMES = ("dense", "resnet", "feedback", "spectral", "prior")
IMPORTED = "imported"  # a graph made elsewhere, which is all there is of it
ANY_ORDER = 0  # the msize of a network that knows no order

# Upper limits for what a file may ask of this process: far above any model of use, far below
# what would exhaust a machine before a sentence can be printed.
MAX_ORDER = 1024
MAX_UNITS = 65536
MAX_LAYERS = 1024
MAX_MEMBERS = 1024


@dataclass(frozen=True)
class NetConfig:
    """The architecture of one network.

    Parameters
    ----------
    net : {"dense", "resnet", "feedback", "spectral", "prior", "imported"}
    msize : int
        Order n of the matrices; 0 for ``spectral``, which takes any.
    nunits : int
        Width of a layer; of ``prior`` the number of stored inverses, which may be 0.
    nlayers : int
        Number of layers (``dense``) or blocks (``resnet``, ``feedback``); ``spectral`` has a fixed
        number. Of ``prior`` how many stored inverses a start combines. Of ``imported`` both only
        tell what it is.
    """

    net: str
    msize: int
    nunits: int = 128
    nlayers: int = 7

    def __post_init__(self) -> None:
        known = (*NET_NAMES, IMPORTED)
        require(self.net in known, f"net is {self.net!r}: choose one of {known}")
        for name, most in (("msize", MAX_ORDER), ("nunits", MAX_UNITS), ("nlayers", MAX_LAYERS)):
            value = getattr(self, name)
            if name == "msize" and self.net == "spectral":
                require(value == ANY_ORDER, f"msize is {value!r}: spectral takes any order, 0")
                continue
            least = 0 if self.net == "prior" and name != "msize" else 1
            require(
                is_whole(value) and least <= value <= most,
                f"{name} is {value!r}: it must be a whole number from {least} to {most}",
            )
        require(
            self.net != "prior" or self.nlayers <= self.nunits,
            f"nlayers is {self.nlayers!r}: it must not be above nunits, {self.nunits!r}",
        )


@dataclass(frozen=True)
class TrainingData:
    """The matrices a model saw: they describe where it was measured, never a limit on input."""

    distribution: str = "uniform"
    rmin: float = -1.0
    rmax: float = 1.0
    det_min: float = 0.0

    def __post_init__(self) -> None:
        require(isinstance(self.distribution, str), "distribution must be a string")
        for name in ("rmin", "rmax", "det_min"):
            value = getattr(self, name)
            require(
                is_number(value) and abs(value) < 1e300,
                f"{name} is {value!r}: it must be a finite number",
            )
            object.__setattr__(self, name, float(value))
        require(self.rmin < self.rmax, f"rmin ({self.rmin:g}) must be below rmax ({self.rmax:g})")
        require(self.det_min >= 0, f"det_min is {self.det_min:g}: it must not be negative")


@dataclass(frozen=True)
class ModelConfig:
    """``config.json`` of a model directory.

    ``files`` maps each weight and graph file to its SHA-256 digest, so that a directory whose
    parts belong to different trainings is refused.
    """

    net: NetConfig
    members: int
    data: TrainingData
    loss: str
    seed: int
    files: dict[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        require(
            is_whole(self.format_version) and self.format_version == FORMAT_VERSION,
            f"format_version is {self.format_version!r}: this release reads {FORMAT_VERSION}",
        )
        require(
            is_whole(self.members) and 1 <= self.members <= MAX_MEMBERS,
            f"members is {self.members!r}: it must be a whole number from 1 to {MAX_MEMBERS}",
        )
        require(isinstance(self.loss, str), "loss must be a string")
        require(is_whole(self.seed), "seed must be a whole number")
        require(
            isinstance(self.files, dict)
            and all(isinstance(k, str) and isinstance(v, str) for k, v in self.files.items()),
            "files must map file names to SHA-256 digests",
        )

    def to_json(self) -> str:
        """The text of ``config.json``."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read ``config.json``; unknown, missing and ill-typed keys raise ``ModelError``."""
        values = parse_json(text, "config.json")
        values = dict(_object(values, "config.json"))
        values["net"] = from_dict(NetConfig, values.get("net"), "net")
        values["data"] = from_dict(TrainingData, values.get("data"), "data")
        return from_dict(cls, values, "config.json")


def parse_json(text: str | bytes, where: str) -> Any:
    """The value of a JSON text in which no object has a key twice: readers differ in which counts.

    Raises
    ------
    ModelError
        Its message begins with ``where``, the file's name.
    """
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except RecursionError:
        raise ModelError(f"{where} is nested too deep") from None
    except ValueError as error:
        raise ModelError(f"{where} is not JSON: {printable(error)}") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in table if keys.count(key) > 1)
        raise ValueError(f"the key {quoted(twice)} is there twice")
    return table


def from_dict(cls: type[_T], values: object, where: str) -> _T:
    """Build the dataclass ``cls`` from a JSON or TOML table whose keys are exactly its fields."""
    table = _object(values, where)
    known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    extra = sorted(set(table) - known)
    require(not extra, f"{where}: unknown keys {printable(extra)}")
    require(not (missing := sorted(known - set(table))), f"{where}: missing keys {missing}")
    return cls(**table)


def _object(values: object, where: str) -> dict[str, Any]:
    require(isinstance(values, dict), f"{where} is not a table of keys and values")
    return values  # type: ignore[return-value]


def require(condition: bool, message: str) -> None:
    """Raise ``ModelError`` where a condition does not hold."""
    if not condition:
        raise ModelError(message)


def is_whole(value: object) -> TypeGuard[int]:
    """An int, and not one of Python's booleans."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Nor a boolean where any number will do."""
    return isinstance(value, int | float) and not isinstance(value, bool)
