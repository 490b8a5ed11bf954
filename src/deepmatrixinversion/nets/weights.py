"""From weight files to networks."""

from __future__ import annotations

import torch

from deepmatrixinversion.models.directory import ModelDirectory, read_weights
from deepmatrixinversion.nets import build
from deepmatrixinversion.nets.ensemble import Ensemble


def load_ensemble(model: ModelDirectory) -> Ensemble:
    """The trained networks of a model directory, float32, on the CPU, in evaluation mode.

    Raises
    ------
    ModelError
        When names or shapes of the weights are not those of the configured network.
    """
    members = []
    for member in range(1, model.config.members + 1):
        # Read, and so checked, before a network of the configured size takes memory.
        tensors = {k: torch.from_numpy(v) for k, v in read_weights(model, member).items()}
        net = build(model.config.net)
        net.load_state_dict(tensors, strict=True)
        members.append(net)
    return Ensemble(members).eval()
