"""What an export may be asked for, checked at once, and what is decided where nothing is said."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch

from deepmatrixinversion.export import adjugate, elimination, pseudo_inverse
from deepmatrixinversion.linalg.purification import default_rtol
from deepmatrixinversion.models.config import ANY_ORDER
from deepmatrixinversion.models.directory import ModelDirectory
from deepmatrixinversion.models.zoo import bundled_names, locate

METHODS = ("auto", "adjugate", "elimination", "iterative")
NETWORKS = ("feedback", "spectral")
KINDS = {"inverse": "inverse", "pinv": "pseudoinverse", "solve": "solution"}
DTYPES = {"16": torch.float16, "32": torch.float32, "64": torch.float64}
THRESHOLDS = {"16": 0.1, "32": 1e-2, "64": 1e-6}
OPSETS = (17, 25)
"""Opset versions that the exporter of the installed torch and onnx has been tried with."""
LARGEST = 256  # an unrolled graph beyond is megabytes of nodes


def automatic(order: int) -> str:
    """The method for an order, of exports and of the translation table alike.

    Cofactors where they are as exact as elimination, and products where its graph grows long.
    Beyond order 2 cofactors are not: float32, one singular value large and all others 1e-4 of it,
    largest relative error of 2,000 at order 3 and 4: 0.23 and 1.3, with elimination 2e-4.
    """
    if order <= adjugate.EXACT:
        return "adjugate"
    return "elimination" if order <= elimination.LARGEST else "iterative"


@dataclass(frozen=True)
class Options:
    """An export as it was asked for; see `export_onnx` for what each option means.

    Raises
    ------
    ValueError
        Where options are out of range or contradict one another.
    """

    order: int
    net: str = "auto"
    model: str | os.PathLike[str] | None = None
    kind: str = "inverse"
    precision: str = "32"
    refine: int | None = None
    tol: float | None = None
    rows: int | None = None
    early_exit: bool = False
    opset: int = 18
    internal: str | None = None

    def __post_init__(self) -> None:
        for fault in self._faults():
            raise ValueError(fault)

    def _faults(self) -> Iterator[str]:
        for name, value, known in (
            ("net", self.net, (*METHODS, *NETWORKS)),
            ("kind", self.kind, KINDS),
            ("precision", self.precision, DTYPES),
        ):
            if value not in known:
                yield f"{name} is {value!r}: choose one of {', '.join(known)}"
        if not OPSETS[0] <= self.opset <= OPSETS[1]:
            yield f"opset is {self.opset}: choose one from {OPSETS[0]} to {OPSETS[1]}"
        if self.tol is not None and not 0 < self.tol < 1:
            yield f"tol is {self.tol:g}: a residual proves something below 1 only"
        if not 0 <= self.order <= LARGEST:
            yield f"order is {self.order}: choose one from 1 to {LARGEST}, or 0 for any"
        yield from self._faults_of_pinv()
        other = "pinv" if self.kind == "pinv" else self.model
        if other is None and self.net not in ("auto", "iterative"):
            other = self.net
        if self.early_exit and other is not None:
            yield f"early_exit goes with net iterative alone, not with {other}"
        if self.order == ANY_ORDER and self.network is None:
            yield "order 0, for any, needs a spectral network: give an order or --model"
        if self.method == "adjugate" and self.order > adjugate.LARGEST:
            largest = adjugate.LARGEST
            yield f"adjugate goes up to order {largest}, not {self.order}: try elimination"

    def _faults_of_pinv(self) -> Iterator[str]:
        if self.kind == "pinv":
            if self.net != "auto" or self.model is not None:
                yield "pinv has one method of its own: leave out net and model"
            if self.refine:
                yield "pinv takes no refinement: Newton-Schulz would undo the rank decision"
        elif self.rows is not None:
            yield f"rows belong to kind pinv: {self.kind} takes square matrices only"
        if self.rows is not None and not 1 <= self.rows <= LARGEST:
            yield f"rows is {self.rows}: choose from 1 to {LARGEST}"
        yield from self._faults_of_internal()

    def _faults_of_internal(self) -> Iterator[str]:
        if self.internal is None:
            return
        if self.internal not in ("32", "64"):
            yield f"internal is {self.internal!r}: choose 32 or 64"
        elif self.kind != "pinv":
            yield f"internal belongs to kind pinv: {self.kind} has the precision of its input"
        elif int(self.internal) < int(self.precision):
            yield f"internal is {self.internal}, less than the precision {self.precision}"
        elif self.internal == "32" and not self.jacobi:
            largest = pseudo_inverse.LARGEST
            yield (
                f"beyond {largest} rows and columns pinv needs float64 inside: leave out internal "
                "or give 64"
            )

    @cached_property
    def network(self) -> ModelDirectory | None:
        """The network that was asked for or is bundled for the order; None where there is none."""
        if self.kind == "pinv" or self.early_exit:
            return None
        if self.model is not None:
            return self._located(self.model)
        wanted = self.net if self.net in NETWORKS else "spectral"
        if self.net != wanted and (self.net != "auto" or self.order != ANY_ORDER):
            return None
        found = [d for d in map(locate, bundled_names()) if d.config.net.net == wanted]
        found = [d for d in found if d.config.net.msize in (self.order, ANY_ORDER)]
        if not found and self.net == wanted:
            raise ValueError(
                f"no {wanted} network of order {self.order} is bundled: train one with 'dmxtrain "
                f"--net {wanted}' and give its directory as --model, or choose another net"
            )
        return found[0] if found else None

    def _located(self, model: str | os.PathLike[str]) -> ModelDirectory:
        directory = locate(model)
        config = directory.config.net
        if self.net not in ("auto", config.net):
            raise ValueError(f"{directory.name} is a {config.net} network, not {self.net}")
        if config.msize not in (self.order, ANY_ORDER):
            raise ValueError(
                f"{directory.name} inverts matrices of order {config.msize}, not {self.order}"
            )
        return directory

    @property
    def method(self) -> str:
        """What computes the inverse: ``net``, with what ``auto`` stands for in its place."""
        if self.kind == "pinv" or self.early_exit:
            return "iterative"
        if self.network is not None:
            return self.network.config.net.net
        return automatic(self.order) if self.net == "auto" else self.net

    @property
    def steps(self) -> int:
        """Newton-Schulz steps after it."""
        if self.refine is not None:
            return self.refine
        return 0 if self.network is None else 5 if self.precision == "64" else 2

    @property
    def threshold(self) -> float:
        """The residual below which a matrix counts as converged."""
        return THRESHOLDS[self.precision] if self.tol is None else self.tol

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.order if self.rows is None else self.rows, self.order

    @property
    def output(self) -> str:
        """The name of the first output."""
        return KINDS[self.kind]

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of input and output."""
        return DTYPES[self.precision]

    @property
    def jacobi(self) -> bool:
        """Whether a pseudo-inverse is computed by Jacobi rotations, in any precision."""
        return min(self.shape) <= pseudo_inverse.LARGEST

    @property
    def inside(self) -> torch.dtype:
        """The dtype of the arithmetic."""
        if self.internal is not None:
            return DTYPES[self.internal]
        iterated = self.kind == "pinv" and not self.jacobi
        return torch.float64 if self.precision == "64" or iterated else torch.float32

    @property
    def rtol(self) -> float:
        """The tolerance of a pseudo-inverse: max(m, n) eps of the input's dtype, or float32's."""
        eps = torch.finfo(torch.float64 if self.precision == "64" else torch.float32).eps
        if self.jacobi:
            return max(self.shape) * eps
        return default_rtol(*self.shape, eps, torch.finfo(self.inside).eps)
