"""Small networks, and matrices for them."""

from __future__ import annotations

import math
from typing import Any

import torch

from deepmatrixinversion.models.config import NetConfig
from deepmatrixinversion.nets import build

U = 2.0**-24  # unit roundoff of float32
ORDERS = (1, 2, 3, 5)


def net_of(name, n=3, nunits=8, nlayers=2, seed=0, weights=None) -> Any:
    """A network, untrained, or with all its weights from N(0, weights²)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = build(NetConfig(name, n, nunits, nlayers))
        if weights is not None:
            for parameter in net.parameters():
                torch.nn.init.normal_(parameter, std=weights)
    return net


def uniform(count, n, seed=0):
    return 2 * torch.rand(count, n, n, generator=torch.Generator().manual_seed(seed)) - 1


def menagerie(n):
    """Named stacks of matrices of order n."""
    A = uniform(64, n, seed=n)
    flat = A.clone()
    flat[:, -1] = flat[:, 0]
    spread = torch.logspace(0, -12, n) if n > 1 else torch.tensor([1e-12])
    return {
        "random": A,
        "singular": flat,
        "nearly singular": flat + 1e-6 * uniform(64, n, seed=9),
        "zero": torch.zeros(2, n, n),
        "one entry": torch.eye(n)[:1].T @ torch.eye(n)[-1:] * torch.ones(2, 1, 1),
        "permutation": torch.eye(n).flip(0).expand(2, n, n).contiguous(),
        "huge condition": torch.diag(spread) * A.new_tensor([1.0, -3.0]).reshape(2, 1, 1),
        "rows of any scale": spread[:, None] * A,
        "tiny": 1e-30 * A,
        "huge": 1e30 * A,
    }


MENAGERIE = list(menagerie(2))


def residual(A, X):
    """‖I - A X‖F in float64."""
    A, X = A.double(), X.double()
    return torch.linalg.matrix_norm(torch.eye(A.shape[-1], dtype=torch.float64) - A @ X)


def residual_rounding(A, X):
    """How far ‖R‖F that float32 finds for ‖A‖F = 1 may lie from ‖I - A X‖F of the answer.

    Each entry of A and X carries one rounding of its own and (n² + 2) of the norm that it was
    divided by, each entry of A X n more; the subtraction and the norm are relative to ‖R‖F,
    which is at most sqrt(n) + ‖ |A| |X| ‖F.
    """
    n = A.shape[-1]
    product = torch.linalg.matrix_norm(A.double().abs() @ X.double().abs())
    return (2 * n * n + n + 8) * U * (product + math.sqrt(n))
