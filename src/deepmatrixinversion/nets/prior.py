"""What was learned of one person's matrices, as a module for export: it is fitted in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from deepmatrixinversion.linalg.algebra import Algebra
from deepmatrixinversion.linalg.minimal_residual import minimal_residual
from deepmatrixinversion.models.config import NetConfig
from deepmatrixinversion.nets.normalisation import normalised, residual_norm
from deepmatrixinversion.nets.trajectory import Trajectory
from deepmatrixinversion.prior.proposal import combine
from deepmatrixinversion.prior.store import Prior as Store
from deepmatrixinversion.prior.store import from_tensors, tensor_shapes
from deepmatrixinversion.spectral.start import curved, start, symmetric


class Prior(nn.Module):
    """The start that ``prior.proposal`` proposes, and minimal residual steps.

    As many steps as took 99 % of the validation matrices to a residual of 1e-3. A matrix that the
    guard does not let pass starts as if there were no prior, and may need more than they do.
    """

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.nearest = config.nlayers
        for name, shape in tensor_shapes(config.msize, config.nunits).items():
            self.register_buffer(name, torch.zeros(shape))
        self.store = self._store()
        self.register_load_state_dict_post_hook(lambda module, _: module._use())

    def _use(self) -> None:
        """Numbers that shape the graph, taken from the buffers once they are filled."""
        self.store = self._store()

    def _store(self) -> Store:
        return from_tensors({k: v.numpy() for k, v in self.named_buffers()}, self.nearest)

    def forward(self, A: Tensor) -> Tensor:
        """A candidate inverse of each matrix of A, shape (batch, n, n)."""
        A, scale = normalised(A)
        one = torch.eye(self.store.order, dtype=A.dtype, device=A.device)
        eps = torch.finfo(A.dtype).eps
        algebra = Algebra(self.store.order, eps, one, torch.where)
        X, _ = start(A, symmetric(A, one, eps, torch) & curved(A, torch), one, torch)
        if self.store.guard:
            proposed, familiar = self._proposal(algebra, A)
            X = torch.where(familiar.reshape(-1, 1, 1), proposed, X)
        return minimal_residual(algebra, A, X, self.store.blocks) / scale

    def trajectory(self, A: Tensor) -> Trajectory:
        """The single candidate with its residual."""
        X = self(A)
        return Trajectory([X], [residual_norm(A, X)])

    def _proposal(self, algebra: Algebra, A: Tensor) -> tuple[Tensor, Tensor]:
        """Starts, and which of them the guard lets pass: ``prior.proposal`` in torch."""
        store = self.store

        def tensor(M: Any) -> Tensor:
            return torch.as_tensor(M, dtype=A.dtype, device=A.device)

        V, W = tensor(store.sketch), tensor(store.probe)
        Y = V @ A
        y = Y.reshape(-1, V.shape[0] * V.shape[1])
        gap = y - tensor(store.centre)
        if store.nearest:
            near = self._nearest(tensor, gap)
            inverses = tensor(store.inverses)
            terms = [inverses[near[:, j]] for j in range(store.nearest)]
            gap = y - tensor(store.sketches)[near[:, 0]]
            distance = (gap * gap).sum(dim=1)
        else:
            terms = [tensor(store.mean) + 0.0 * A]
            distance = ((gap @ tensor(store.precision)) * gap).sum(dim=1)
        X, left = combine(algebra, V, [Y @ E for E in terms], terms)
        if store.nearest:
            rows = W - (W @ A) @ X
            left = torch.maximum(left, (rows * rows).sum(dim=(1, 2)) ** 0.5)
        near_enough = (distance >= store.closest) & (distance <= store.farthest)
        return X, near_enough & (left <= store.guard)

    def _nearest(self, tensor: Callable[[Any], Tensor], gap: Tensor) -> Tensor:
        """Places in the store of the J nearest matrices, (batch, J)."""
        z = (gap @ tensor(self.store.keys).T)[:, None]
        cells = torch.as_tensor(self.store.cells, device=gap.device)
        home = _closest(tensor(self.store.centres)[None] - z, 1)[:, 0]
        cell = cells[home]
        near = _closest(tensor(self.store.places)[cell] - z, self.store.nearest)
        return torch.gather(cell, 1, near)


def _closest(gaps: Tensor, count: int) -> Tensor:
    """Where the shortest of (batch, m, p) differences are, (batch, count)."""
    return torch.topk((gaps * gaps).sum(dim=2), count, dim=1, largest=False).indices
