"""Everything that determines a training run, in one frozen dataclass."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.matrices.distributions import mixture
from deepmatrixinversion.models.config import (
    ANY_ORDER,
    MAX_MEMBERS,
    NetConfig,
    TrainingData,
    from_dict,
    is_number,
    is_whole,
    require,
)
from deepmatrixinversion.spectral.advice import BLOCKS

PRECISIONS = {"32": "32-true", "64": "64-true", "bf16": "bf16-mixed"}

LOSS_NAMES = ("frobenius", "log_residual", "mae", "mse", "products")
NEEDS_DATA = "net prior learns from matrices of your own: give them as data"
WITH_TARGETS = ("mae", "mse")  # the losses that compare with inverses

# Whole numbers that a run can do something with: what fits in memory is checked apart.
LIMITS = {
    "nmx_samples": (1, 10**15),
    "epochs": (1, 10**9),
    "batch_size": (1, 10**9),
    "n_repeats": (1, MAX_MEMBERS),
    "devices": (1, 1024),
    "seed": (0, 2**64 - 1),
    "threads": (0, 1024),
}

# Up to this order, a step of `spectral` has a full batch.
SPECTRAL_ORDER = 16

# What an option falls back to where the network's kind decides. The published networks keep the
# published settings; the feedback network sees everything, singular or not.
PUBLISHED = {"loss": "frobenius", "lr": 1e-4, "det_min": 0.1, "nunits": 128, "nlayers": 7}
NET_DEFAULTS: dict[str, dict[str, Any]] = {
    "dense": PUBLISHED,
    "resnet": PUBLISHED | {"threads": 0},
    "spectral": {
        "loss": "products",
        "msize": ANY_ORDER,
        "orders": "2,4,8,16,32,48,64",
        "distribution": "normal+uniform+normal+uniform+spectrum+spectrum+spd+correlation+toeplitz"
        "+low_rank_plus_noise+nearly_singular+diagonally_dominant+kernel+hessian+stiffness"
        "+received+autocovariance+discounted+transport+transport",
        "lr": 1e-3,
        "nunits": 32,
        "nlayers": BLOCKS,
        "batch_size": 512,
        "nmx_samples": 200_000,
    },
    "prior": {"loss": "products", "nunits": 512, "nlayers": 8},
    "feedback": {
        "loss": "log_residual",
        "lr": 3e-4,
        "nunits": 32,
        "nlayers": 3,
    },
}


@dataclass(frozen=True)
class Recipe:
    """A training run; the fields are the options of ``dmxtrain`` and the keys of its TOML file.

    ``orders`` is for ``spectral``: the orders that the steps take in turn, as in "8,16,32".

    ``data`` and ``targets`` name the files that a static training learns from; without, matrices
    are made fresh for every step. ``prior`` takes them, the largest number of inverses to store as
    ``nunits`` and to combine as ``nlayers``, and the seed; it has no steps.

    ``max_minutes`` is the time for the whole ensemble; with it the learning rate follows the
    clock as well as the step, so such a run cannot be repeated bit for bit. ``threads`` are those
    of each process on the CPU; 0 leaves them to torch. One is the best for the small networks:
    two gain little on an idle machine, and lose a factor of seven where another process wants one
    of the cores.
    """

    msize: int
    net: str = "feedback"
    data: str = ""
    targets: str = ""
    orders: str = ""
    nunits: int = 128
    nlayers: int = 7
    rmin: float = -1.0
    rmax: float = 1.0
    distribution: str = "uniform"
    det_min: float = 0.0
    loss: str = "log_residual"
    nmx_samples: int = 1_000_000
    epochs: int = 10
    batch_size: int = 1024
    n_repeats: int = 1
    lr: float = 1e-4
    seed: int = 0
    device: str = "auto"
    devices: int = 1
    threads: int = 1
    precision: str = "32"
    max_minutes: float | None = None
    checkpoint_seconds: float = 30.0

    def __post_init__(self) -> None:
        self.net_config()
        self._check_data()
        self.training_data()
        mixture(self.distribution)
        self.order_cycle()
        require(self.loss in LOSS_NAMES, f"loss is {self.loss!r}: choose one of {list(LOSS_NAMES)}")

        for name, (least, most) in LIMITS.items():
            require(
                is_whole(value := getattr(self, name)) and least <= value <= most,
                f"{name} must be a whole number of at least {least} and at most {most}",
            )
        require(
            self.batch_size % self.devices == 0,
            f"batch_size ({self.batch_size}) must be a multiple of devices ({self.devices})",
        )
        require(
            self.precision in list(PRECISIONS),
            f"precision is {self.precision!r}: choose one of {sorted(PRECISIONS)}",
        )
        require(isinstance(self.device, str), "device must be a string such as cpu or cuda")
        for name in ("lr", "checkpoint_seconds", "max_minutes"):
            value = getattr(self, name)
            if not (name == "max_minutes" and value is None):
                require(
                    is_number(value) and 0 < value < math.inf,
                    f"{name} is {value!r}: it must be a number above 0",
                )

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Self:
        """A recipe from the options that were given; the rest from the network's defaults."""
        given = {k: v for k, v in options.items() if v is not None}
        net = given.get("net", cls.net)
        # A list, as a TOML file may give what cannot be looked up in a dict.
        require(net in list(NET_DEFAULTS), f"net is {net!r}: choose one of {sorted(NET_DEFAULTS)}")
        require(net != "prior" or bool(given.get("data")), NEEDS_DATA)
        defaults = {
            f.name: f.default
            for f in dataclasses.fields(cls)
            if f.default is not dataclasses.MISSING
        }
        return from_dict(cls, defaults | NET_DEFAULTS[net] | given, "recipe")

    def to_dict(self) -> dict[str, Any]:
        """Field names and values, JSON-ready."""
        return dataclasses.asdict(self)

    def net_config(self) -> NetConfig:
        """The architecture."""
        return NetConfig(self.net, self.msize, self.nunits, self.nlayers)

    def _check_data(self) -> None:
        for name in ("data", "targets"):
            require(isinstance(getattr(self, name), str), f"{name} must be the name of a file")
        require(self.net != "prior" or self.data != "", NEEDS_DATA)
        used = self.net == "prior" or self.loss in WITH_TARGETS
        require(
            self.targets == "" or (self.data != "" and used),
            "targets go with data, and with net prior or the losses mae and mse",
        )

    def training_data(self) -> TrainingData:
        """The matrices."""
        if self.data:
            return TrainingData(self.data, self.rmin, self.rmax)
        return TrainingData(self.distribution, self.rmin, self.rmax, self.det_min)

    def order_cycle(self) -> tuple[int, ...]:
        """The orders that successive steps train on."""
        if self.net != "spectral":
            require(self.orders == "", "orders is for --net spectral: other networks have one")
            return (self.msize,)
        words = self.orders.split(",") if isinstance(self.orders, str) else []
        valid = bool(words) and all(w.strip().isdecimal() and 1 <= int(w) <= 1024 for w in words)
        require(valid, f"orders is {self.orders!r}: it must be orders such as '8,16,32'")
        return tuple(int(w) for w in words)

    def shape_at(self, step: int) -> tuple[int, int]:
        """Order and number of the matrices of a step, all processes together.

        Beyond order 16 there are fewer, as the singular values of one cost n³.
        """
        cycle = self.order_cycle()
        order = cycle[step % len(cycle)]
        if self.net != "spectral" or order <= SPECTRAL_ORDER:
            return order, self.batch_size
        share = self.batch_size * SPECTRAL_ORDER // order
        return order, max(self.devices, share - share % self.devices)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in which ``nmx_samples`` matrices are seen."""
        return -(-self.nmx_samples // self.batch_size)

    @property
    def total_steps(self) -> int:
        """Optimiser steps of one member."""
        return self.epochs * self.steps_per_epoch


def read_toml(path: str | Path) -> dict[str, Any]:
    """The options in a TOML file; unknown keys raise ``ModelError``."""
    with open(path, "rb") as file:
        try:
            table = tomllib.load(file)
        except RecursionError:
            raise ModelError(f"{path}: not a TOML file of options (nested too deep)") from None
        except ValueError as error:  # of TOML, of UTF-8, of numbers with thousands of digits
            raise ModelError(f"{path}: not a TOML file ({error})") from None
    known = {f.name for f in dataclasses.fields(Recipe)}
    require(not (extra := sorted(set(table) - known)), f"{path}: unknown options {extra}")
    return table
