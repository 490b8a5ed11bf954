"""The candidates that a network passes through."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Trajectory(NamedTuple):
    """Candidate inverses of A, first to last, with their residuals.

    Attributes
    ----------
    candidates : list of Tensor, each (batch, n, n)
        Candidate inverses X of A, in the scale of A.
    residuals : list of Tensor, each (batch,)
        ‖I - A X‖F of each.
    """

    candidates: list[Tensor]
    residuals: list[Tensor]
