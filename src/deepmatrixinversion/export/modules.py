"""What can stand inside an exported graph, and how it is chosen."""

from __future__ import annotations

import math
import os
from typing import NamedTuple

import torch
from torch import Tensor, nn

from deepmatrixinversion.models.config import ANY_ORDER
from deepmatrixinversion.models.directory import ModelDirectory
from deepmatrixinversion.models.zoo import bundled_names, locate
from deepmatrixinversion.nets.iterative import newton_schulz
from deepmatrixinversion.nets.weights import load_ensemble

NETS = ("auto", "adjugate", "elimination", "iterative", "feedback", "spectral")
KINDS = {"inverse": "inverse", "pinv": "pseudoinverse", "solve": "solution"}
DTYPES = {"16": torch.float16, "32": torch.float32, "64": torch.float64}
THRESHOLDS = {"16": 0.1, "32": 1e-2, "64": 1e-6}
METHODS = {"adjugate": "adjugate", "elimination": "elimination", "iterative": "iteration"}
LARGEST = 256  # an unrolled graph beyond is megabytes of nodes


class Choice(NamedTuple):
    """An export's settings, all decided."""

    order: int
    net: str
    model: ModelDirectory | None
    kind: str
    precision: str
    refine: int
    tol: float

    @property
    def output(self) -> str:
        """The name of the first output."""
        return KINDS[self.kind]

    @property
    def method(self) -> str:
        """The method of the translation table."""
        return METHODS.get(self.net, "auto")

    @property
    def inside(self) -> torch.dtype:
        """The dtype of the arithmetic."""
        return torch.float64 if self.precision == "64" else torch.float32


def choose(
    order: int,
    net: str,
    model: str | os.PathLike[str] | None,
    kind: str,
    precision: str,
    refine: int | None,
    tol: float | None,
) -> Choice:
    """Decide what the options leave open; ``ValueError`` where they contradict one another."""
    for name, value, known in (
        ("net", net, NETS),
        ("kind", kind, tuple(KINDS)),
        ("precision", precision, tuple(DTYPES)),
    ):
        if value not in known:
            raise ValueError(f"{name} is {value!r}: choose one of {', '.join(known)}")
    if not 0 <= order <= LARGEST:
        raise ValueError(f"order is {order}: choose one from 1 to {LARGEST}, or 0 for any")
    directory = None
    if kind == "pinv":
        if net != "auto" or model is not None:
            raise ValueError("pinv has one method of its own: leave out net and model")
        if refine:
            raise ValueError("pinv takes no refinement: Newton-Schulz would undo the rank decision")
        net = "iterative"
    elif model is not None or net in ("feedback", "spectral", "auto"):
        directory = _network(order, net, model)
        if directory is not None:
            net = directory.config.net.net
        else:
            net = "adjugate" if order <= 4 else "iterative"
    if directory is None and order == ANY_ORDER:
        raise ValueError("order 0, for any, needs a spectral network: give an order or --model")
    if net == "adjugate" and order > 4:
        raise ValueError(f"adjugate goes up to order 4, not {order}: try elimination")
    if refine is None:
        refine = 0 if directory is None else 5 if precision == "64" else 2
    return Choice(
        order,
        net,
        directory,
        kind,
        precision,
        refine,
        THRESHOLDS[precision] if tol is None else tol,
    )


def _network(order: int, net: str, model: str | os.PathLike[str] | None) -> ModelDirectory | None:
    """The network that was asked for or is bundled for the order, or None where auto has none."""
    if model is None:
        if net == "auto" and 0 < order <= 4:
            return None
        wanted = "feedback" if net == "auto" and order else "spectral" if net == "auto" else net
        found = [d for d in map(locate, bundled_names()) if d.config.net.net == wanted]
        found = [d for d in found if d.config.net.msize in (order, ANY_ORDER)]
        if not found and net != "auto":
            raise ValueError(
                f"no {net} network of order {order} is bundled: train one with 'dmxtrain --net "
                f"{net}' and give its directory as --model, or choose another net"
            )
        return found[0] if found else None
    directory = locate(model)
    config = directory.config.net
    if net not in ("auto", config.net):
        raise ValueError(f"{directory.name} is a {config.net} network, not {net}")
    if config.msize not in (order, ANY_ORDER):
        raise ValueError(f"{directory.name} inverts matrices of order {config.msize}, not {order}")
    return directory


class Lapack(nn.Module):
    """``torch.linalg.inv``, which the translation table writes in operators."""

    def forward(self, A: Tensor) -> Tensor:
        """The inverse."""
        return torch.linalg.inv(A)


class Widened(nn.Module):
    """A network in its own float32, whatever the dtype around it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, A: Tensor) -> Tensor:
        """The network's answer in A's dtype."""
        # Scaled by a power of two, so that float64's range goes through float32.
        largest = A.abs().amax(dim=(-2, -1), keepdim=True)
        largest = torch.where(largest > 0, largest, torch.ones_like(largest))
        scale = torch.pow(2.0, torch.floor(torch.log2(largest)))
        return self.net((A / scale).float()).to(A.dtype) / scale


class InverseGraph(nn.Module):
    """A to (inverse or solution, residual, converged)."""

    def __init__(self, guess: nn.Module, choice: Choice) -> None:
        super().__init__()
        self.guess = guess
        self.choice = choice

    def forward(self, A: Tensor, B: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """One graph's work."""
        inside = A.to(self.choice.inside)
        X = self.guess(inside)
        if self.choice.refine:
            X = newton_schulz(inside, X, self.choice.refine)
        if B is None:
            answer = X.to(A.dtype)
            # Of what is returned, rounded as it is.
            X = answer.to(inside.dtype)
        else:
            right = B.to(inside.dtype)
            Y = X @ right
            answer = (Y + X @ (right - inside @ Y)).to(A.dtype)
        identity = torch.eye(A.shape[-1], dtype=inside.dtype)
        residual = _norm(identity - inside @ X)
        return answer, residual.to(A.dtype), residual < self.choice.tol


class PinvGraph(nn.Module):
    """A to (pseudoinverse, residual, converged)."""

    def __init__(self, choice: Choice) -> None:
        super().__init__()
        self.choice = choice

    def forward(self, A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One graph's work."""
        inside = A.to(self.choice.inside)
        answer = torch.linalg.pinv(inside).to(A.dtype)
        X = answer.to(inside.dtype)
        largest = inside.abs().amax(dim=(-2, -1), keepdim=True)
        S = inside / torch.where(largest > 0, largest, torch.ones_like(largest))
        size = _norm(S)
        size = torch.where(size > 0, size, torch.ones_like(size))
        residual = _norm(S @ (X @ inside) - S) / size
        return answer, residual.to(A.dtype), residual < self.choice.tol


def _norm(M: Tensor) -> Tensor:
    return torch.sqrt((M * M).sum(dim=(-2, -1)))


def module_for(choice: Choice) -> nn.Module:
    """The module to export."""
    if choice.kind == "pinv":
        return PinvGraph(choice).eval()
    if choice.model is None:
        return InverseGraph(Lapack(), choice).eval()
    return InverseGraph(Widened(load_ensemble(choice.model)), choice).eval()


def products(choice: Choice) -> str:
    """How many products of order n the graph takes, in words."""
    extra = 2 * choice.refine + bool(choice.refine) + 1
    if choice.net == "feedback" and choice.model is not None:
        blocks = choice.model.config.net.nlayers * choice.model.config.members
        return f"{choice.model.config.members + 7 * blocks + extra}, and {2 * blocks} dense layers"
    if choice.net == "iterative" and choice.kind != "pinv":
        blocks = 5 + math.ceil(math.log2(choice.order)) + 2 * (choice.precision == "64")
        return str(1 + 5 * blocks + extra)
    return "see MatMul among the operators"
