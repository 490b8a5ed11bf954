"""The settings of an export, and how what the options leave open is decided."""

from __future__ import annotations

import os
from typing import NamedTuple

import torch

from deepmatrixinversion.export import adjugate, elimination
from deepmatrixinversion.models.config import ANY_ORDER
from deepmatrixinversion.models.directory import ModelDirectory
from deepmatrixinversion.models.zoo import bundled_names, locate

NETS = ("auto", "adjugate", "elimination", "iterative", "feedback", "spectral")
KINDS = {"inverse": "inverse", "pinv": "pseudoinverse", "solve": "solution"}
DTYPES = {"16": torch.float16, "32": torch.float32, "64": torch.float64}
THRESHOLDS = {"16": 0.1, "32": 1e-2, "64": 1e-6}
METHODS = {"adjugate": "adjugate", "elimination": "elimination", "iterative": "iteration"}
LARGEST = 256  # an unrolled graph beyond is megabytes of nodes


class Choice(NamedTuple):
    """An export's settings, all decided. Matrices have ``rows`` rows and ``order`` columns."""

    order: int
    net: str
    model: ModelDirectory | None
    kind: str
    precision: str
    refine: int
    tol: float
    rows: int
    early_exit: bool

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
    rows: int | None = None,
    early_exit: bool = False,
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
    if rows is not None and kind != "pinv":
        raise ValueError(f"rows belong to kind pinv: {kind} takes square matrices only")
    if rows is not None and not 1 <= rows <= LARGEST:
        raise ValueError(f"rows is {rows}: choose from 1 to {LARGEST}")
    if early_exit and (kind == "pinv" or model is not None or net not in ("auto", "iterative")):
        named = "pinv" if kind == "pinv" else model if model is not None else net
        raise ValueError(f"early_exit goes with net iterative alone, not with {named}")
    directory = None
    if kind == "pinv":
        if net != "auto" or model is not None:
            raise ValueError("pinv has one method of its own: leave out net and model")
        if refine:
            raise ValueError("pinv takes no refinement: Newton-Schulz would undo the rank decision")
        net = "iterative"
    elif early_exit:
        net = "iterative"
    elif model is not None or net in ("feedback", "spectral") or order == ANY_ORDER:
        directory = _network(order, net, model)
        net = net if directory is None else directory.config.net.net
    elif net == "auto":
        net = _automatic(order)
    if directory is None and order == ANY_ORDER:
        raise ValueError("order 0, for any, needs a spectral network: give an order or --model")
    if net == "adjugate" and order > adjugate.LARGEST:
        raise ValueError(
            f"adjugate goes up to order {adjugate.LARGEST}, not {order}: try elimination"
        )
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
        order if rows is None else rows,
        early_exit,
    )


def _automatic(order: int) -> str:
    """Cofactors where they are exact enough, and where elimination's graph grows long, products."""
    if order <= adjugate.LARGEST:
        return "adjugate"
    return "elimination" if order <= elimination.LARGEST else "iterative"


def _network(order: int, net: str, model: str | os.PathLike[str] | None) -> ModelDirectory | None:
    """The network that was asked for or is bundled for the order; None where it has none."""
    if model is None:
        wanted = "spectral" if net == "auto" else net
        if wanted not in ("feedback", "spectral"):
            return None
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
