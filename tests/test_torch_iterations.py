"""Inverses by minimal residual steps: laws, limits and the rule for the number of blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from deepmatrixinversion.linalg.minimal_residual import blocks_for
from deepmatrixinversion.linalg.purification import scaled_steps
from deepmatrixinversion.matrices.spectra import even_spectrum, with_condition, with_singular_values
from deepmatrixinversion.torch import iterations
from deepmatrixinversion.torch.iterations import (
    minimal_residual_inverse,
    newton_schulz,
    pseudo_inverse,
    smallest_rtol,
)
from menagerie import INVERTIBLE, SINGULAR, hilbert
from spectra_of_tests import with_pseudo_inverses

DTYPES = [torch.float32, torch.float64]


def normal(*shape: int, dtype=torch.float64, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def residual(A: torch.Tensor, X: torch.Tensor) -> torch.Tensor:
    """‖I - A X‖F in float64."""
    return torch.linalg.matrix_norm(torch.eye(A.shape[-1]).double() - A.double() @ X.double())


def rounding(A: torch.Tensor, X: torch.Tensor) -> torch.Tensor:
    """What rounding in A's dtype alone leaves of ‖I - A X‖F: n eps ‖A‖F ‖X‖F."""
    norms = torch.linalg.matrix_norm(A.double()) * torch.linalg.matrix_norm(X.double())
    return A.shape[-1] * torch.finfo(A.dtype).eps * norms


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 9, 16, 33, 64])
def test_unstructured_matrices_reach_rounding_level(n, dtype):
    A = normal(24, n, n, dtype=dtype)
    # Without the worst conditioned, of which float32 may not hold enough.
    A = A[torch.linalg.cond(A.double()) < 1000]
    assert len(A) > 12
    X = minimal_residual_inverse(A, blocks_for(n, dtype == torch.float64))
    assert X.dtype == dtype
    assert X.shape == A.shape
    assert (residual(A, X) <= rounding(A, X)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_small_singular_value_falls_in_a_few_blocks_however_small(dtype):
    """What Newton-Schulz needs 2 log2 kappa steps for: 20 and 66 here."""
    kappa = 1e3 if dtype == torch.float32 else 1e10
    sigma = torch.ones(12).double()
    sigma[-1] = 1 / kappa
    A = torch.from_numpy(with_singular_values(np.random.default_rng(0), sigma.numpy())).to(dtype)
    X = minimal_residual_inverse(A, 5)
    assert residual(A, X) <= 4 * rounding(A, X)


@pytest.mark.parametrize("name", INVERTIBLE)
def test_menagerie_in_float64(name):
    A = torch.from_numpy(INVERTIBLE[name].copy())
    scaled = A / A.abs().max()
    kappa = torch.linalg.cond(scaled)
    X = minimal_residual_inverse(A, blocks_for(len(A), A.dtype == torch.float64) + 10)
    assert torch.isfinite(X).all()
    # I - A X without the overflow of A's scale.
    R = residual(scaled, X * A.abs().max())
    assert 4 * len(A) ** 2 * torch.finfo(A.dtype).eps * kappa >= R


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SINGULAR)
def test_singular_matrices_are_finite_and_not_called_inverted(name, dtype):
    A = torch.from_numpy(SINGULAR[name].copy())
    A = (A / A.abs().max().clamp(min=1e-300)).to(dtype)
    X = minimal_residual_inverse(A, blocks_for(len(A), dtype == torch.float64) + 4)
    assert torch.isfinite(X).all()
    # I - A X has a vector of norm 1 that it keeps.
    assert residual(A, X) >= 1 - rounding(A, X)


def test_zero_gives_zero_and_permutations_their_transposes_exactly():
    for n in (1, 3, 12):
        assert (minimal_residual_inverse(torch.zeros(2, n, n), 4) == 0).all()
    P = torch.eye(10)[torch.randperm(10, generator=torch.Generator().manual_seed(0))]
    assert (minimal_residual_inverse(P, 4) - P.T).abs().max() <= torch.finfo(P.dtype).eps * 10


@pytest.mark.parametrize("n", [3, 11])
@pytest.mark.parametrize("batch", [(), (0,), (1,), (2, 3), (2, 0, 3)])
def test_stacks_of_any_shape_agree_with_one_at_a_time(n, batch):
    A = normal(*batch, n, n)
    X = minimal_residual_inverse(A, 9)
    assert X.shape == A.shape
    for one, inverse in zip(A.reshape(-1, n, n), X.reshape(-1, n, n), strict=True):
        alone = minimal_residual_inverse(one, 9)
        # Different summation orders at most.
        bound = rounding(one, alone) * torch.linalg.matrix_norm(alone)
        assert torch.linalg.matrix_norm(alone - inverse) <= 4 * bound


@pytest.mark.parametrize("shape", [(0, 0), (3, 0, 0)])
def test_order_zero(shape):
    assert minimal_residual_inverse(torch.zeros(shape), 2).shape == shape
    assert pseudo_inverse(torch.zeros(2, 0, 3)).shape == (2, 3, 0)


@pytest.mark.parametrize("n", [4, 10])
def test_powers_of_two_scale_the_inverse_exactly(n):
    A = normal(5, n, n)
    X = minimal_residual_inverse(A, 8)
    for power in (-900, -30, 70, 900):
        scale = 2.0**power
        assert torch.equal(minimal_residual_inverse(A * scale, 8), X / scale)


@pytest.mark.parametrize("n", [3, 10])
def test_bad_entries_spoil_only_their_own_matrix(n):
    A = normal(4, n, n)
    good = minimal_residual_inverse(A, 8)
    A[1, 0, 0] = torch.nan
    A[2, 1, 1] = torch.inf
    X = minimal_residual_inverse(A, 8)
    assert torch.equal(X[[0, 3]], good[[0, 3]])
    assert not torch.isfinite(X[1]).all()
    assert not torch.isfinite(X[2]).all()


@pytest.mark.parametrize("n", [3, 12])
def test_more_blocks_never_end_worse(n):
    A = torch.cat([normal(20, n, n), torch.from_numpy(hilbert(n))[None]])
    last = residual(A / torch.linalg.matrix_norm(A)[:, None, None], A.mT * 0)
    for blocks in range(12):
        X = minimal_residual_inverse(A, blocks)
        now = residual(A, X)
        assert (now <= last + 2 * rounding(A, X)).all()
        last = now


def test_blocks_grow_with_the_logarithm_of_the_order():
    assert [blocks_for(n, False) for n in (0, 1, 2, 3, 4, 8, 9, 128)] == [2, 2, 3, 4, 4, 5, 6, 9]
    assert blocks_for(8, True) == 6


def test_elementwise_and_batched_products_give_the_same(monkeypatch):
    A = normal(6, 7, 7)
    X = minimal_residual_inverse(A, 8)
    monkeypatch.setattr(iterations, "ELEMENTWISE_ORDER", 0)
    Y = minimal_residual_inverse(A, 8)
    norm = torch.linalg.matrix_norm(X)
    assert (torch.linalg.matrix_norm(X - Y) <= 4 * rounding(A, X) * norm).all()


def test_the_gradient_of_converged_steps_is_the_implicit_one():
    A = normal(3, 4, 4).requires_grad_()
    X = minimal_residual_inverse(A, 9)
    G = normal(3, 4, 4, seed=2)
    (got,) = torch.autograd.grad(X, A, G)
    X = X.detach()
    expected = -X.mT @ G @ X.mT
    kappa = torch.linalg.cond(A.detach()).max()
    assert (got - expected).norm() <= 1e-14 * kappa**2 * expected.norm()


def test_newton_schulz_squares_small_residuals_and_keeps_what_it_cannot_better():
    A = normal(5, 6, 6)
    X = torch.linalg.inv(A)
    worse = X @ (torch.eye(6).double() + 1e-3 * normal(6, 6, seed=3))
    rho = residual(A, worse)
    squared = residual(A, newton_schulz(A, worse, 1))
    assert (squared <= rho**2 + rounding(A, X)).all()
    assert (residual(A, newton_schulz(A, worse, 4)) <= rounding(A, X)).all()
    useless = 100 * normal(5, 6, 6, seed=4)
    assert torch.equal(newton_schulz(A, useless, 3), useless)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5), (20, 30), (40, 12), (1, 6), (6, 1)])
def test_pseudo_inverse_of_every_rank_and_shape(shape, dtype):
    m, n = shape
    for rank in range(1, min(m, n) + 1, 1 + min(m, n) // 4):
        rng = np.random.default_rng([m, n, rank])
        A, expected = map(
            torch.from_numpy, with_pseudo_inverses(rng, even_spectrum(rank, 10), m, n)
        )
        X = pseudo_inverse(A.to(dtype))
        # kappa = 10: of A's own rounding, kappa² where it fills up the rank, and of the products.
        tolerance = torch.finfo(dtype).eps * max(m, n) * 10**2
        assert (X - expected).norm() <= tolerance * expected.norm()


@pytest.mark.parametrize("dtype", DTYPES)
def test_rtol_says_which_singular_values_count(dtype):
    for rtol in (smallest_rtol(dtype), 0.02):
        A = torch.diag(torch.tensor([1.0, rtol, 0.4 * rtol, 0], dtype=dtype)) / (1 + rtol)
        kept = torch.diagonal(pseudo_inverse(A, rtol) @ A)
        expected = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=dtype)
        assert (kept - expected).abs().max() <= 1e-5


def test_steps_end_for_numbers_of_any_kind():
    """In float32 1 - rtol² is 1, and no step would change it."""
    rtol: Any = np.float32(1e-5)
    assert scaled_steps(rtol) == scaled_steps(float(rtol))


@pytest.mark.parametrize("n", [4, 8, 16])
def test_pseudo_inverse_of_deficient_matrices_is_as_exact_as_lapack(n):
    """To kappa eps, whatever the rank, up to the condition 1e6 that float64 allows."""
    for rank in (1, n // 2, n - 1, n):
        for kappa in (1.0, 1e2, 1e4, 1e6):
            sigma = even_spectrum(rank, np.full(50, kappa))
            pair = with_pseudo_inverses(np.random.default_rng(rank), sigma, n, n)
            A, expected = map(torch.from_numpy, pair)
            difference = pseudo_inverse(A) - expected
            error = torch.linalg.matrix_norm(difference) / torch.linalg.matrix_norm(expected)
            assert error.max() <= 2 * n * torch.finfo(A.dtype).eps * (10 + kappa)


@pytest.mark.parametrize("dtype", DTYPES)
def test_singular_values_near_rtol_do_not_make_it_diverge(dtype):
    rtol = smallest_rtol(dtype)
    for n in (6, 16, 32):
        for decades in (4, 8, 16):
            A = with_condition(np.random.default_rng(n), n, np.full(100, 10.0**decades))
            A = torch.from_numpy(A).to(dtype)
            X = pseudo_inverse(A)
            assert (torch.linalg.matrix_norm(X) <= 3 / rtol).all()
            # Dropping a singular value costs itself; one half dropped costs more, but not much.
            assert (torch.linalg.matrix_norm(A @ X @ A - A) <= 1e-3 + 4 * rtol).all()


def test_pseudo_inverse_of_zero_is_zero_and_rtol_is_checked():
    assert (pseudo_inverse(torch.zeros(2, 3, 4)) == 0).all()
    for rtol in (1e-9, 1.0, float("nan")):
        with pytest.raises(ValueError, match="rtol"):
            pseudo_inverse(torch.eye(2), rtol)


def test_the_same_bits_every_time():
    A = normal(4, 9, 9, dtype=torch.float32)
    assert torch.equal(minimal_residual_inverse(A, 7), minimal_residual_inverse(A, 7))
