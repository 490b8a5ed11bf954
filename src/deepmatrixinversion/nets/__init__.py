"""The networks: modules that map (batch, n, n) matrices to candidate inverses (torch only).

Every network normalises its input to ‖A‖F = 1 and undoes that on its output, so that
``net(c * A)`` is ``net(A) / c`` up to rounding. ``net.trajectory(A)`` returns the candidates it
passed through with their residuals, which is what the losses look at; ``net(A)`` returns the
best of them.
"""

from torch import nn

from deepmatrixinversion.models.config import NetConfig
from deepmatrixinversion.nets.dense import Dense
from deepmatrixinversion.nets.feedback import Feedback
from deepmatrixinversion.nets.prior import Prior
from deepmatrixinversion.nets.resnet import ResNet
from deepmatrixinversion.nets.spectral import Spectral
from deepmatrixinversion.nets.trajectory import Trajectory

NETS = {
    "dense": Dense,
    "resnet": ResNet,
    "feedback": Feedback,
    "spectral": Spectral,
    "prior": Prior,
}


def build(config: NetConfig) -> nn.Module:
    """The untrained network that ``config`` describes (weights from torch's global generator)."""
    return NETS[config.net](config)


__all__ = [
    "NETS",
    "Dense",
    "Feedback",
    "Prior",
    "ResNet",
    "Spectral",
    "Trajectory",
    "build",
]
