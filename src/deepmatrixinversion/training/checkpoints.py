"""Checkpoints of a member in training: one safetensors file, replaced atomically.

A checkpoint holds the weights, the best weights so far, AdamW's two moments and step count, and
(as JSON in the file's metadata) the position of the run. Nothing is pickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn
from torch.optim import Optimizer

from deepmatrixinversion.atomic import atomic_bytes
from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.models.config import from_dict, parse_json

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass
class Progress:
    """Where a member's training stands.

    ``skipped`` counts steps left out because a gradient was not finite, ``skipped_in_a_row``
    those since the last step that was taken; ``elapsed`` is in seconds.
    """

    step: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    elapsed: float = 0.0
    best_metric: float = math.inf
    best_step: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            valid = isinstance(value, int | kind) and not isinstance(value, bool)
            if not (valid and (value >= 0 or (field.name == "best_metric" and value < 0))):
                raise ModelError(f"{field.name} is {value!r}, which no training reaches")


def checkpoint_file(directory: Path, member: int) -> Path:
    """Path of the checkpoint of member 1, 2, …"""
    return directory / f"checkpoint_{member}.safetensors"


def save_checkpoint(
    path: Path, net: nn.Module, best: dict[str, Tensor], optimizer: Optimizer, progress: Progress
) -> None:
    """Write a checkpoint; the one that was there is replaced in one instant or not at all."""
    tensors = {f"net.{k}": v for k, v in net.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in best.items()}
    for name, parameter in net.named_parameters():
        state = optimizer.state.get(parameter, {})
        tensors |= {f"{moment}.{name}": state[moment] for moment in _MOMENTS if moment in state}
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    atomic_bytes(path, save_safetensors(tensors, {"progress": json.dumps(asdict(progress))}))


def load_checkpoint(
    path: Path, net: nn.Module, optimizer: Optimizer
) -> tuple[dict[str, Tensor], Progress]:
    """Restore network and optimiser in place; returns the best weights and the position.

    Raises
    ------
    ModelError
        When the file is no checkpoint of this network.
    """
    progress = read_progress(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        net.load_state_dict(_part(tensors, "net"), strict=True)
        best = _part(tensors, "best")
        _check_alike("best weights", best, net.state_dict())
        moments = {moment: _part(tensors, moment) for moment in _MOMENTS}
        # A parameter has moments from the first step on that had a gradient for it.
        parameters = {k: v for k, v in net.named_parameters() if k in moments["step"]}
        _check_alike("first moments", moments["exp_avg"], parameters)
        _check_alike("second moments", moments["exp_avg_sq"], parameters)
        _check_alike("steps", moments["step"], dict.fromkeys(parameters, torch.tensor(0.0)))
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: not a checkpoint of this training ({error})") from None
    for name, parameter in net.named_parameters():
        if name in moments["step"]:
            optimizer.state[parameter] = {
                moment: values[name].to("cpu" if moment == "step" else parameter.device)
                for moment, values in moments.items()
            }
    return best, progress


def read_progress(path: Path) -> Progress:
    """The position that a checkpoint holds; the beginning where there is no checkpoint.

    Raises
    ------
    ModelError
        When the file is no checkpoint.
    """
    if not path.exists():
        return Progress()
    try:
        with safe_open(path, framework="pt") as file:
            values = parse_json((file.metadata() or {})["progress"], str(path))
        return from_dict(Progress, values, str(path))
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelError(f"{path}: not a checkpoint of a training ({error})") from None


def _check_alike(what: str, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    found, wanted = ({k: (v.shape, v.dtype) for k, v in t.items()} for t in (tensors, expected))
    if found != wanted:
        raise ValueError(f"its {what} are those of another network")


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    prefix += "."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
