"""What stands inside an exported graph, as torch modules."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from deepmatrixinversion.export.iteration import blocks_for
from deepmatrixinversion.export.options import Options
from deepmatrixinversion.linalg.algebra import Algebra
from deepmatrixinversion.linalg.minimal_residual import newton_schulz, solution
from deepmatrixinversion.nets import Feedback, build
from deepmatrixinversion.nets.prior import Prior
from deepmatrixinversion.nets.weights import load_ensemble


class Lapack(nn.Module):
    """``torch.linalg.inv_ex``, which the translation table writes in operators."""

    def forward(self, A: Tensor) -> Tensor:
        """The inverse, or finite numbers where there is none."""
        return torch.linalg.inv_ex(A)[0]


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

    def __init__(self, guess: nn.Module, options: Options) -> None:
        super().__init__()
        self.guess = guess
        self.options = options

    def forward(self, A: Tensor, B: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """One graph's work."""
        inside = A.to(self.options.inside)
        X = self.guess(inside)
        if self.options.steps:
            identity = torch.eye(A.shape[-1], dtype=inside.dtype)
            eps = torch.finfo(inside.dtype).eps
            algebra = Algebra(self.options.order, eps, identity, torch.where)
            X = newton_schulz(algebra, inside, X, self.options.steps)
        if B is None:
            answer = X.to(A.dtype)
            # Of what is returned, rounded as it is.
            X = answer.to(inside.dtype)
        else:
            answer = solution(inside, X, B.to(inside.dtype)).to(A.dtype)
        residual = _residual(inside, X)
        return answer, residual.to(A.dtype), residual < self.options.threshold


class PinvGraph(nn.Module):
    """A to (pseudoinverse, residual, converged)."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options

    def forward(self, A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One graph's work."""
        inside = A.to(self.options.inside)
        answer = torch.linalg.pinv(inside, rtol=self.options.rtol).to(A.dtype)
        X = answer.to(inside.dtype)
        largest = inside.abs().amax(dim=(-2, -1), keepdim=True)
        S = inside / torch.where(largest > 0, largest, torch.ones_like(largest))
        size = _norm(S)
        size = torch.where(size > 0, size, torch.ones_like(size))
        residual = _norm(S @ (X @ inside) - S) / size
        return answer, residual.to(A.dtype), residual < self.options.threshold


def _residual(A: Tensor, X: Tensor) -> Tensor:
    """‖I - A X‖F, up to order 4 with A X as the sums of all products of two entries that meet.

    onnxruntime takes 100 ns for a product of two matrices however small. A @ X is one for each of
    the stack; this is three for all of them.
    """
    n = A.shape[-1]
    if not isinstance(n, int) or n > 4:
        return _norm(torch.eye(n, dtype=A.dtype) - A @ X)
    i, j, k = np.indices((n, n, n)).reshape(3, -1)
    left, right, place = (
        torch.from_numpy(np.eye(n * n)[entry]).to(A.dtype)
        for entry in (n * i + k, n * k + j, n * i + j)
    )
    meeting = (A.reshape(-1, n * n) @ left.mT) * (X.reshape(-1, n * n) @ right.mT)
    return _norm(torch.eye(n, dtype=A.dtype).reshape(1, -1) - meeting @ place, -1)


def _norm(M: Tensor, dim: int | tuple[int, int] = (-2, -1)) -> Tensor:
    return torch.sqrt((M * M).sum(dim=dim))


def module_for(options: Options) -> nn.Module:
    """The module to export."""
    if options.kind == "pinv":
        return PinvGraph(options).eval()
    if options.network is None:
        return InverseGraph(Lapack(), options).eval()
    return InverseGraph(Widened(load_ensemble(options.network)), options).eval()


def products(options: Options) -> str:
    """How many products of order n the graph takes, in words."""
    extra = 2 * options.steps + bool(options.steps) + 1
    if options.method == "feedback" and options.network is not None:
        net = build(options.network.config.net)
        assert isinstance(net, Feedback)
        return str(options.network.config.members * net.products + extra)
    if options.method == "prior" and options.network is not None:
        net = load_ensemble(options.network).members[0]
        assert isinstance(net, Prior)
        return f"{net.store.overhead():.1f} for the start, {1 + 5 * net.store.blocks + extra} then"
    if options.method == "iterative" and options.kind != "pinv":
        blocks = blocks_for(options.order, np.dtype(str(options.inside).removeprefix("torch.")))
        return f"{'at most ' * options.early_exit}{1 + 5 * blocks + extra}"
    return "see MatMul among the operators"
