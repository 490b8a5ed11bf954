"""feedback: never worse than it began, invariant, exact where float32 can be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepmatrixinversion.matrices.spectra import with_condition, with_singular_values
from deepmatrixinversion.nets import feedback
from deepmatrixinversion.nets.algebra import product
from nets_for_tests import (
    MENAGERIE,
    ORDERS,
    U,
    menagerie,
    net_of,
    residual,
    residual_rounding,
    uniform,
)


# From nothing learned to weights that overflow in the first product.
@pytest.mark.parametrize("weights", [None, 0.1, 3.0, 1e4, 1e15, 1e30])
@pytest.mark.parametrize("kind", MENAGERIE)
def test_feedback_never_ends_worse_than_it_began(kind, weights):
    for n in ORDERS:
        A = menagerie(n)[kind]
        net = net_of("feedback", n, nlayers=4, weights=weights)
        X, trajectory = net(A), net.trajectory(A)
        assert torch.isfinite(X).all()
        residuals = torch.stack(trajectory.residuals)
        assert torch.isfinite(residuals).all()
        assert (residuals.diff(dim=0) <= 0).all()
        start = trajectory.candidates[0]
        rounding = residual_rounding(A, X) + residual_rounding(A, start)
        assert (residual(A, X) <= residual(A, start) + rounding).all()


def test_feedback_starts_from_the_scaled_transpose():
    A = uniform(16, 3)
    start = net_of("feedback").trajectory(A).candidates[0]
    expected = A.mT / (A * A).sum((-2, -1), keepdim=True)
    torch.testing.assert_close(start, expected, rtol=32 * U, atol=0)


def test_untrained_feedback_inverts_what_is_well_conditioned():
    # Each block of an untrained network does at least what the third-order iteration does: it
    # cubes the residual's norm, once that is below one. Eigenvalues of A Aᵀ/‖A‖F² are those of
    # sigma²/sum(sigma²), here at least 0.49/(1 + 0.7² + 0.8²) = 0.23: ‖R‖ <= 0.77, and 0.77^81
    # after four blocks, before rounding takes over.
    sigma = np.tile([1.0, 0.7, 0.8], (32, 1))
    A = torch.from_numpy(with_singular_values(np.random.default_rng(1), sigma)).float()
    X = net_of("feedback", nlayers=5)(A)
    assert (residual(A, X) <= residual_rounding(A, X)).all()


def test_feedback_uses_what_it_has_learned():
    A = uniform(64, 5)
    assert not torch.equal(net_of("feedback", 5, weights=0.3)(A), net_of("feedback", 5)(A))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_feedback_takes_the_products_that_it_says(n, monkeypatch):
    count = []

    def counting(M, N):
        count.append(1)
        return product(M, N)

    monkeypatch.setattr(feedback, "product", counting)
    net = net_of("feedback", n, nlayers=3)
    net(uniform(2, n))
    assert len(count) == net.products


@pytest.mark.parametrize("weights", [None, 0.3])
@pytest.mark.parametrize("n", [2, 3, 6])
def test_feedback_commutes_with_orthogonal_factors_and_with_transposition(n, weights):
    """(U A V)⁻¹ = Vᵀ A⁻¹ Uᵀ and (Aᵀ)⁻¹ = (A⁻¹)ᵀ, whatever the weights, up to rounding."""
    rng = np.random.default_rng(5)
    U, V = (torch.from_numpy(with_condition(rng, n, np.ones(32))) for _ in range(2))
    A = torch.from_numpy(with_singular_values(rng, np.tile(np.linspace(1, 0.4, n), (32, 1))))
    net = net_of("feedback", n, nlayers=2, weights=weights).double()
    X = net(A)
    torch.testing.assert_close(net(U @ A @ V), V.mT @ X @ U.mT, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(net(A.mT), X.mT, rtol=1e-6, atol=1e-6)
    P = torch.eye(n, dtype=torch.float64)[torch.from_numpy(rng.permutation(n))]
    torch.testing.assert_close(net(P @ A), X @ P.mT, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n", range(2, 9))
def test_untrained_feedback_is_exact_where_float32_can_be(n):
    """Spread spectra: what is left is rounding, a few n kappa u, up to a condition of 1e3."""
    rng = np.random.default_rng(n)
    blocks = 1 if n < 4 else 2 if n < 6 else 3
    for kappa in (10.0, 100.0, 1000.0):
        A = torch.from_numpy(with_condition(rng, n, np.full(200, kappa))).float()
        X = net_of("feedback", n, nlayers=blocks)(A)
        assert residual(A, X).median() <= n * kappa * 2.0**-24
