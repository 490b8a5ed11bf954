"""The network for every order by itself: its step, its block, what it is trained through."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import schedules
from deepmatrixinversion import ModelError
from deepmatrixinversion.linalg.polynomial import (
    MATRICES,
    SPECTRA,
    begin,
    corrected,
    extend,
    polynomial,
    scaled,
)
from deepmatrixinversion.spectral.moments import Moments
from deepmatrixinversion.spectral.opening import steps as opening
from deepmatrixinversion.training.recipe import Recipe
from spectral_samples import stack, unit, untrained
from truth import residuals

EPS = float(np.finfo(float).eps)


# --- the polynomial step -------------------------------------------------------------------------


def fitted(R, degree, space, one):
    powers, fit = [one, R], begin(R)
    for _ in range(degree):
        fit = extend(fit, R, powers, space, EPS)
        powers.append(space.product(powers[-1], R))
    return powers, fit


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
def test_the_step_is_the_least_squares_optimum(degree):
    """Against numpy.linalg.lstsq over the images R^j - R^(j+1)."""
    r = np.random.default_rng(degree).uniform(-0.5, 0.95, (7, 12))
    _, fit = fitted(r, degree, SPECTRA, np.ones_like(r))
    for k in range(len(r)):
        images = np.stack([r[k] ** j - r[k] ** (j + 1) for j in range(degree)], axis=1)
        best = r[k] - images @ np.linalg.lstsq(images, r[k], rcond=None)[0]
        # The optimum is stationary: an error of the solution counts squared.
        assert np.linalg.norm(fit.remainder[k]) <= np.linalg.norm(best) * (1 + 1e-9) + 100 * EPS


@pytest.mark.parametrize("degree", [1, 2, 3, 7])
def test_the_predicted_residual_is_the_residual(degree):
    A = unit(stack(9))
    X = A.swapaxes(1, 2)
    R = np.eye(9) - A @ X
    powers, fit = fitted(R, degree, MATRICES, np.eye(9))
    rng = np.random.default_rng(1)
    moves = [0.1 * rng.standard_normal((len(A), 1, 1)) for _ in range(degree)]
    steps, predicted = corrected(fit, moves, MATRICES)
    c = polynomial(fit, steps)
    P = sum(c[j] * powers[j] for j in range(degree))
    size = np.max(sum(np.abs(c[j]) for j in range(degree)))
    error = np.abs(np.eye(9) - A @ (X @ P) - predicted).max()
    assert error <= 100 * 9 * EPS * size


def test_spectra_and_matrices_agree():
    A = unit(stack(8))
    sigma = np.linalg.svd(A, compute_uv=False)
    r = 1 - sigma**2
    R = np.eye(8) - A @ A.swapaxes(1, 2)
    for degree in (2, 3):
        _, on_spectra = fitted(r, degree, SPECTRA, np.ones_like(r))
        _, on_matrices = fitted(R, degree, MATRICES, np.eye(8))
        np.testing.assert_allclose(
            np.linalg.norm(on_spectra.remainder, axis=1),
            np.linalg.norm(on_matrices.remainder, axis=(1, 2)),
            rtol=1e-6,
        )


# --- the network ---------------------------------------------------------------------------------


def test_the_best_scale_costs_nothing():
    A = unit(stack(6))
    R = np.eye(6) - A @ A.swapaxes(1, 2)
    factor, after = scaled(np.eye(6), R, MATRICES)
    X = factor * A.swapaxes(1, 2)
    np.testing.assert_allclose(after, np.eye(6) - A @ X, atol=1e-12)
    for other in (0.99, 1.01):
        assert (residuals(A, X) < residuals(A, other * X)).all()


def test_untrained_a_block_is_least_squares_over_its_images():
    """Images of I, R and P = (R² (what the step of degree two leaves))²."""
    A = torch.from_numpy(stack(12))
    r = schedules.first_residual(np.linalg.svd(A.numpy(), compute_uv=False))
    _, r = scaled(np.ones_like(r), r, SPECTRA)
    net, R = untrained(), torch.from_numpy(r)
    hidden = torch.zeros(len(R), 8, dtype=torch.float64)
    low, high, moves, opens, _ = net._block(R, torch.ones_like(R), hidden, SPECTRA)

    def rest(r, known):
        images = np.stack([(1 - r) * M for M in known], axis=1)
        return r - images @ np.linalg.lstsq(images, r, rcond=None)[0]

    for k, row in enumerate(r):
        known = [np.ones_like(row), row]
        quadratic = rest(row, known)
        nonic = rest(row, [*known, (row**2 * quadratic) ** 2])
        for look, expected in ((low, quadratic), (high, nonic)):
            found = look.fit.remainder[k].detach().numpy()
            assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(expected))
    assert not any(move.any() for move in moves)
    assert not opens.any()


@pytest.mark.parametrize("degree", [1, 2, 5, 8])
def test_the_open_step_is_the_best_of_its_degree(degree):
    """Against numpy.linalg.lstsq over the images of the powers; p leads to what is left."""
    r = np.random.default_rng(degree).uniform(0, 0.95, (7, 12))
    *_, last = opening(r, np.ones_like(r), SPECTRA, EPS, degree)
    p = last.polynomial(np.ones_like(r))
    np.testing.assert_allclose(1 - (1 - r) * p, last.remainder, atol=1e-9)
    for k in range(len(r)):
        images = np.stack([r[k] ** j - r[k] ** (j + 1) for j in range(degree)], axis=1)
        best = r[k] - images @ np.linalg.lstsq(images, r[k], rcond=None)[0]
        # Three-term recurrences lose orthogonality as directions converge, which costs little.
        assert np.linalg.norm(last.remainder[k]) <= np.linalg.norm(best) * (1 + 1e-6) + 1e-12


def test_coefficients_stand_for_matrices():
    """Products, inner products and combinations in a Gram matrix, against the matrices."""
    R = np.random.default_rng(5).standard_normal((4, 6, 6))
    R = R + R.swapaxes(1, 2)
    space = Moments(R, 5)
    square = space.product(space.R, space.R)
    mixed = space.one * 2.0 - space.R + 0.5 * square
    cube = space.product(space.R, mixed)
    exact = 2 * np.eye(6) - R + 0.5 * R @ R
    np.testing.assert_allclose(space.matrix(mixed), exact, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(space.matrix(cube), R @ exact, rtol=1e-12, atol=1e-10)
    inner = np.einsum("kij,kij->k", exact, R @ exact)
    size = np.linalg.norm(exact, axis=(1, 2)) * np.linalg.norm(R @ exact, axis=(1, 2))
    assert (np.abs(space.inner(mixed, cube)[0] - inner) <= 1e-13 * size).all()
    some = np.array([True, False, True, True])
    space.keep(some)
    np.testing.assert_allclose(space.matrix(cube[:, some]), (R @ exact)[some], atol=1e-10)


def test_residuals_by_product_fall_and_converge():
    net = untrained()
    residuals = torch.stack(net.trajectory(torch.from_numpy(stack(8))).residuals)
    assert (residuals.diff(dim=0) <= 1e-9).all()
    assert (residuals[-1] < 1e-3).all()


def test_gradients_are_finite_on_degenerate_spectra():
    net = untrained()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    eye = torch.eye(6, dtype=torch.float64)
    A = torch.stack([eye, eye * 0, torch.diag(torch.tensor([1.0, 1, 1, 0, 0, 0])).double(), eye])
    A[3, 0, 0] = 1e-9
    torch.stack(net.trajectory(A).residuals).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


@pytest.mark.parametrize("orders", ["", "0", "8,", "a", "8;16", 8])
def test_orders_without_sense_are_refused(orders):
    with pytest.raises(ModelError, match="orders"):
        Recipe.from_options({"net": "spectral", "orders": orders})


def test_steps_take_the_orders_in_turn_with_fewer_large_matrices():
    recipe = Recipe.from_options({"net": "spectral", "orders": "4,64", "batch_size": 256})
    assert [recipe.shape_at(step) for step in range(3)] == [(4, 256), (64, 64), (4, 256)]
