"""From weight files to networks."""

from __future__ import annotations

import torch

from deepmatrixinversion.errors import ModelError
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
        net = build(model.config.net)
        tensors = {k: torch.from_numpy(v) for k, v in read_weights(model, member).items()}
        try:
            net.load_state_dict(tensors, strict=True)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise ModelError(
                f"{model.path}: the weights of member {member} do not fit the configured "
                f"network ({reason[:200]}{' ...' if len(reason) > 200 else ''})"
            ) from None
        members.append(net)
    return Ensemble(members).eval()
