"""Implicit gradients: of inverses from the inverse itself, not from the steps that led there.

Every derivative is made of differentiable operations on X = A^-1, which is differentiable itself,
so that derivatives of all orders exist. ``torch.compile`` takes no autograd.Function with a
``jvp``, so that there is one class of each kind without it.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad

from deepmatrixinversion.torch import cuda_stack
from deepmatrixinversion.torch.iterations import (
    equilibrated,
    full_precision,
    minimal_residual_inverse,
    newton_schulz,
    pseudo_inverse,
)


def _nested_forward_mode() -> contextlib.AbstractContextManager:
    """Let a ``jvp`` be differentiated by an outer forward mode.

    PyTorch calls it with forward mode off at all levels, and the derivative of a forward-mode
    derivative would silently be wrong: 0 for d²/dA² where it is not.
    """
    return forward_ad._set_fwd_grad_enabled(True)


def _iterated(A: Tensor, blocks: int, refine: int) -> Tensor:
    S, r, c = equilibrated(A)
    X = minimal_residual_inverse(S, blocks)
    X = newton_schulz(S, X, refine) if refine else X
    # Contiguous, since forward-mode derivatives need the layout of their own function.
    return (X / c.mT / r.mT).contiguous()


def _eliminated(A: Tensor, blocks: int) -> Tensor:
    """By the device's kernel, and where that settles nothing by iteration."""
    stack = A.reshape(-1, *A.shape[-2:])
    X, settled, *_ = cuda_stack.invert_stack(stack)
    left = (~settled).nonzero()[:, 0]
    if left.numel():
        X[left] = _iterated(stack[left], blocks, 0)
    return X.reshape(A.shape)


class _CompiledInverse(Function):
    """X = A^-1 with dA = -X^T G X^T."""

    @staticmethod
    def forward(A: Tensor, blocks: int, refine: int, direct: bool) -> Tensor:
        if direct and cuda_stack.serves(A):
            return _eliminated(A, blocks)
        return _iterated(A, blocks, refine)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        (G,) = grad_outputs
        (X,) = ctx.saved_tensors
        with full_precision(X):
            return -X.mT @ G @ X.mT, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        A, *how = inputs
        # One more dimension of the stack, in front.
        return invert(A.movedim(in_dims[0], 0), *how), 0


class _Inverse(_CompiledInverse):
    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Tensor:
        dA = grad_inputs[0]
        (X,) = ctx.saved_tensors
        with full_precision(X), _nested_forward_mode():
            return -X @ dA @ X


class _CompiledPseudoInverse(Function):
    """X = A^+ with the derivative at constant rank of Golub & Pereyra 1973, equation (4.12).

    dX = -X dA X + X X^T dA^T (I - A X) + (I - X A) dA^T X^T X
    """

    @staticmethod
    def forward(A: Tensor, rtol: float | None) -> Tensor:
        return pseudo_inverse(A, rtol).contiguous()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)
        ctx.save_for_forward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (G,) = grad_outputs
        A, X = ctx.saved_tensors
        with full_precision(X):
            V, W = G.mT @ X, X @ G.mT
            gradient = -X.mT @ G @ X.mT
            gradient = gradient + (V - A @ (X @ V)) @ X.mT + X.mT @ (W - (W @ X) @ A)
            return gradient, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        A, rtol = inputs
        return pseudo_invert(A.movedim(in_dims[0], 0), rtol), 0


class _PseudoInverse(_CompiledPseudoInverse):
    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Tensor:
        dA = grad_inputs[0]
        A, X = ctx.saved_tensors
        with full_precision(X), _nested_forward_mode():
            A, X = forward_ad.unpack_dual(A).primal, forward_ad.unpack_dual(X).primal
            V, W = X.mT @ dA.mT, dA.mT @ X.mT
            return -X @ dA @ X + X @ (V - (V @ A) @ X) + (W - X @ (A @ W)) @ X


def invert(A: Tensor, blocks: int, refine: int, direct: bool = False) -> Tensor:
    """`minimal_residual_inverse` and ``refine`` Newton-Schulz steps, (..., n, n) float32 or 64.

    ``direct``: or by `cuda_stack`, where that serves.
    """
    kind = _CompiledInverse if torch.compiler.is_compiling() else _Inverse
    return kind.apply(A, blocks, refine, direct)


def pseudo_invert(A: Tensor, rtol: float | None) -> Tensor:
    """`pseudo_inverse`, (..., m, n) -> (..., n, m) float32 or float64."""
    kind = _CompiledPseudoInverse if torch.compiler.is_compiling() else _PseudoInverse
    return kind.apply(A, rtol)
