"""Models that call something else than an inverse: what is computed, of which matrices, how well.

Each takes one stack of matrices and gives one, so that every runtime is fed alike.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from deepmatrixinversion.matrices.spectra import with_condition

U = 2.0**-24
RIGHT_SIDES = 2


class Model(nn.Module):
    """A function of a stack of matrices, as a model."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, A: torch.Tensor) -> torch.Tensor:
        """What the function makes of it."""
        return self.function(A)


def determinant(A: torch.Tensor) -> torch.Tensor:
    """det A, (batch, 1, 1)."""
    return torch.linalg.det(A).reshape(-1, 1, 1)


def spectrum(A: torch.Tensor) -> torch.Tensor:
    """Eigenvalues in a row above the eigenvectors, (batch, n + 1, n)."""
    values, vectors = torch.linalg.eigh(A)
    return torch.cat([values.unsqueeze(-2), vectors], dim=-2)


def solution(A: torch.Tensor) -> torch.Tensor:
    """A⁻¹ B of (A, B) side by side."""
    return torch.linalg.solve(A[..., :-RIGHT_SIDES], A[..., -RIGHT_SIDES:])


def with_right_sides(rng: np.random.Generator, order: int, kappa: np.ndarray) -> np.ndarray:
    """(A, B) side by side."""
    A = with_condition(rng, order, kappa)
    return np.concatenate([A, A @ rng.standard_normal((len(A), order, RIGHT_SIDES))], axis=-1)


def symmetric(rng: np.random.Generator, order: int, kappa: np.ndarray) -> np.ndarray:
    """Symmetric matrices of no definite sign."""
    A = rng.standard_normal((len(kappa), order, order))
    return A + A.swapaxes(-1, -2)


def positive(rng: np.random.Generator, order: int, kappa: np.ndarray) -> np.ndarray:
    """Positive definite matrices of these condition numbers."""
    root = with_condition(rng, order, np.sqrt(kappa))
    return root @ root.swapaxes(-1, -2)


def tall(rng: np.random.Generator, order: int, kappa: np.ndarray) -> np.ndarray:
    """Matrices with half as many rows again as columns, no worse conditioned than asked for."""
    below = rng.standard_normal((len(kappa), order // 2, order))
    return np.concatenate([with_condition(rng, order, kappa), below], axis=-2)


class Kind(NamedTuple):
    """What a model computes, of which matrices, and NumPy's answer."""

    function: Callable[[torch.Tensor], torch.Tensor]
    matrices: Callable[[np.random.Generator, int, np.ndarray], np.ndarray]
    answer: Callable[[np.ndarray], np.ndarray]


def eigh(A: np.ndarray) -> np.ndarray:
    """NumPy's eigenvalues and eigenvectors, as `spectrum` puts them."""
    values, vectors = np.linalg.eigh(A)
    return np.concatenate([values[:, None], vectors], axis=-2)


KINDS = {
    "inverse": Kind(torch.linalg.inv, with_condition, np.linalg.inv),
    "det": Kind(determinant, with_condition, lambda A: np.linalg.det(A).reshape(-1, 1, 1)),
    "eigh": Kind(spectrum, symmetric, eigh),
    "pinv": Kind(torch.linalg.pinv, tall, np.linalg.pinv),
    "solve": Kind(
        solution,
        with_right_sides,
        lambda A: np.linalg.solve(A[..., :-RIGHT_SIDES], A[..., -RIGHT_SIDES:]),
    ),
    "cholesky": Kind(torch.linalg.cholesky, positive, np.linalg.cholesky),
}


def errors(kind: str, A: np.ndarray, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """‖X - Y‖F/‖Y‖F of each matrix against float64's Y, and the same over κ 2⁻²⁴.

    Of eigenvalues and eigenvectors the largest of: the eigenvalues' error, ‖V D Vᵀ - A‖F over
    ‖A‖F, ‖Vᵀ V - I‖F; κ is 1 there.
    """
    A, X = A.astype(np.float64), X.astype(np.float64)
    Y = KINDS[kind].answer(A)
    if kind == "eigh":
        found = _of_spectrum(A, X, Y)
        return found, found / U
    found = _norm(X - Y) / _norm(Y)
    square = A[..., :-RIGHT_SIDES] if kind == "solve" else A
    return found, found / (np.linalg.cond(square) * U)


def _of_spectrum(A: np.ndarray, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    values, V = X[:, :1], X[:, 1:]
    size = _norm(A)
    off = _norm(values - Y[:, :1]) / size
    rebuilt = _norm((V * values) @ V.swapaxes(-1, -2) - A) / size
    # np.maximum passes a NaN on.
    orthogonal = _norm(V.swapaxes(-1, -2) @ V - np.eye(V.shape[-1]))
    return np.maximum(np.maximum(off, rebuilt), orthogonal)


def _norm(M: np.ndarray) -> np.ndarray:
    return np.linalg.norm(M, axis=(1, 2))


def write(kind: str, A: np.ndarray, path: Path) -> None:
    """The model of a kind for matrices of A's shape, as a user would export it."""
    from deepmatrixinversion.export import onnx_translation_table, strip
    from deepmatrixinversion.export.graph import quiet

    with warnings.catch_warnings(), quiet("torch.onnx"):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Model(KINDS[kind].function),
            (torch.from_numpy(A[:3]),),
            path,
            dynamo=True,
            external_data=False,
            verbose=False,
            input_names=["A"],
            output_names=["X"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            custom_translation_table=onnx_translation_table(),
        )
    strip(path)
