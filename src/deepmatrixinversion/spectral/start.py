"""Where ``spectral`` starts: Aᵀ, and the identity where A is symmetric positive definite.

The eigenvalues of A Aᵀ spread over kappa², those of A over kappa alone: polynomials in A itself
take half the products, or reach where those in A Aᵀ never come; and I - c A, like the first
polynomial in it, takes no product at all. NumPy arrays and torch tensors alike; nothing branches
on data, so that the exporter traces it.
"""

from __future__ import annotations

from typing import Any

from deepmatrixinversion.linalg.polynomial import MATRICES, TINY, scaled

POWER_STEPS = 12

SYMMETRY = 2.0
"""Roundings, in units of n eps ‖A‖F, by which a symmetric matrix may differ from its transpose:
those of products such as H P Hᵀ."""


def start(A: Any, definite: Any, one: Any, xp: Any) -> tuple[Any, Any]:
    """X and R = I - A X at X's best scale, of each A of the stack, 0 for A = 0.

    ``definite`` (batch, 1, 1) says where X is a multiple of the identity. Cost: one product.
    """
    square = _square(A, xp)
    X = xp.where(definite, one / square**0.5, A.swapaxes(-2, -1) / square)
    return _scaled(X, one - A @ X, one)


def start_from_identity(A: Any, one: Any, xp: Any) -> tuple[Any, Any]:
    """X and R where X is a multiple of the identity. Cost: O(n²)."""
    size = _square(A, xp) ** 0.5
    return _scaled(one / size, one - A / size, one)


def _square(A: Any, xp: Any) -> Any:
    square = MATRICES.inner(A, A)
    return xp.where(square > 0, square, xp.ones_like(square))


def _scaled(X: Any, R: Any, one: Any) -> tuple[Any, Any]:
    # Symmetric but for rounding, which the powers would amplify.
    R = 0.5 * (R + R.swapaxes(-2, -1))
    factor, R = scaled(one, R, MATRICES)
    return factor * X, R


def symmetric(A: Any, one: Any, eps: float, xp: Any) -> Any:
    """Whether each is symmetric but for rounding, with a positive diagonal: (batch, 1, 1)."""
    gap = A - A.swapaxes(-2, -1)
    most = SYMMETRY * A.shape[-1] * eps
    close = MATRICES.inner(gap, gap) <= most**2 * MATRICES.inner(A, A)
    return close & _nowhere((A <= 0) & (one > 0), xp)


def curved(A: Any, xp: Any) -> Any:
    """Whether symmetric matrices look positive definite, (batch, 1, 1).

    Power iteration on ‖A‖F I - A, from two vectors, finds a direction of negative curvature where
    there is a marked one; a wrong guess costs convergence, never correctness. Cost: O(n²).
    """
    n = A.shape[-1]
    shift = MATRICES.norm(A)
    # Fixed, and far from any structure.
    V = xp.cos((xp.arange(1, 2 * n + 1) + 0 * A[:, :1, :1]).reshape(-1, n, 2) ** 2)
    for _ in range(POWER_STEPS):
        V = shift * V - A @ V
        V = V / (V * V).sum(axis=-2, keepdims=True).clip(TINY) ** 0.5
    return _nowhere((V * (A @ V)).sum(axis=-2, keepdims=True) <= 0, xp)


def _nowhere(mask: Any, xp: Any) -> Any:
    """Whether each mask is false all over: counted, since ``any`` does not convert to opset 17."""
    return xp.where(mask, 1.0, 0.0).sum(axis=MATRICES.axes, keepdims=True) == 0
