"""Tensors and tolerances that the tests of the torch interface share."""

from __future__ import annotations

import torch


def normal(*shape: int, dtype=torch.float64, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    wide = torch.complex128 if dtype.is_complex else torch.float64
    return torch.randn(*shape, generator=generator, dtype=wide).to(dtype)


def moderate(*shape: int, dtype=torch.float64, seed: int = 1) -> torch.Tensor:
    """Matrices of random singular vectors and singular values from 1 to 3: kappa = 3."""
    U, _, V = torch.linalg.svd(normal(*shape, dtype=dtype, seed=seed), full_matrices=False)
    sigma = torch.linspace(3, 1, min(shape[-2:]), dtype=U.real.dtype)
    return (U * sigma) @ V


def eps(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps


def close(got: torch.Tensor, expected: torch.Tensor, kappa: float, power: int = 1) -> None:
    """Relative errors of at most c n eps kappa^power in the Frobenius norm of the whole."""
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    n = max(got.shape[-2:], default=1) if got.dim() > 1 else 1
    bound = 8 * max(n, 4) * eps(got.dtype) * kappa**power
    assert (got - expected).norm() <= bound * expected.norm()


def leaf(A: torch.Tensor) -> torch.Tensor:
    return A.detach().clone().requires_grad_()
