"""Each loss on examples small enough to work out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from deepmatrixinversion.nets import Trajectory
from deepmatrixinversion.nets.dense import Direct
from deepmatrixinversion.training.losses import LOSSES, RESIDUAL_FLOOR

EPS = torch.finfo(torch.float32).eps


class Constant(torch.nn.Module):
    """Answers the same whatever it is asked."""

    def __init__(self, values):
        super().__init__()
        self.values = torch.nn.Parameter(torch.as_tensor(values, dtype=torch.float32))

    def forward(self, x):
        return self.values.expand(len(x), -1)


def trajectory(A, *candidates):
    residuals = [torch.linalg.matrix_norm(torch.eye(A.shape[-1]) - A @ X) for X in candidates]
    return Trajectory(list(candidates), residuals)


def diagonals(*rows):
    return torch.diag_embed(torch.tensor(rows, dtype=torch.float32))


def test_frobenius_is_the_mean_of_the_last_residuals_norms():
    # A = diag(2, 4), X = diag(1/2, 1/2): I - AX = diag(0, -1), norm 1.
    # A = diag(1, 1), X = 0:              I - AX = I,           norm sqrt 2.
    A = diagonals([2, 4], [1, 1])
    X = diagonals([0.5, 0.5], [0, 0])
    loss = LOSSES["frobenius"](trajectory(A, 7 * X, X), A)
    assert loss.item() == pytest.approx((1 + math.sqrt(2)) / 2, rel=4 * EPS)


def test_frobenius_of_a_network_is_on_the_matrix_itself():
    # ‖diag(3, 4)‖F = 5 and the network reads its body's output b as X = sqrt(2) b / 5, so
    # b = 5 / sqrt(2) diag(1/3, 0) means X = diag(1/3, 0), I - AX = diag(0, 1), norm 1.
    body = Constant([5 / math.sqrt(2) / 3, 0, 0, 0])
    net, values = Direct(2, body), body.values
    A = diagonals([3, 4])
    torch.testing.assert_close(net(A), diagonals([1 / 3, 0]), rtol=8 * EPS, atol=0)
    loss = LOSSES["frobenius"](net.trajectory(A), A)
    assert loss.item() == pytest.approx(1, rel=16 * EPS)
    loss.backward()
    assert values.grad is not None
    assert values.grad.abs().sum() > 0


def test_log_residual_weighs_last_one_inner_a_tenth_and_leaves_out_the_start():
    A = torch.eye(2).expand(1, 2, 2)
    residuals = [torch.tensor([r]) for r in (9.0, 0.5, 0.25, 0.125)]
    loss = LOSSES["log_residual"](Trajectory([A] * 4, residuals), A)
    last, *inner = (math.log(r + RESIDUAL_FLOOR) for r in (0.125, 0.5, 0.25))
    expected = last + 0.1 * sum(inner)
    assert loss.item() == pytest.approx(expected, rel=8 * EPS)
    # The mean over the batch is of the logarithms, not the logarithm of the mean.
    loss = LOSSES["log_residual"](Trajectory([A], [torch.tensor([0.1, 10.0])]), A)
    # log 0.1 and log 10 cancel, but for the floor: f (1/0.1 + 1/10) / 2, to first order.
    assert loss.item() == pytest.approx(5.05 * RESIDUAL_FLOOR, abs=8 * EPS)


@pytest.mark.parametrize("candidates", [1, 2])
def test_log_residual_without_inner_candidates(candidates):
    A = torch.eye(2).expand(1, 2, 2)
    residuals = [torch.tensor([9.0]), torch.tensor([0.25])][-candidates:]
    loss = LOSSES["log_residual"](Trajectory([A] * candidates, residuals), A)
    assert loss.item() == pytest.approx(math.log(0.25 + RESIDUAL_FLOOR), rel=8 * EPS)


def test_log_residual_is_finite_at_a_perfect_answer():
    A = torch.eye(2).expand(1, 2, 2)
    loss = LOSSES["log_residual"](Trajectory([A], [torch.zeros(1)]), A)
    assert loss.item() == pytest.approx(math.log(RESIDUAL_FLOOR), rel=8 * EPS)


def test_mse_and_mae_by_hand():
    # X - inv(A) = diag(0, -1/4); times ‖A‖F = 5 that is one entry of 1.25 among four.
    A, X = diagonals([3, 4]), diagonals([1 / 3, 0])
    t = trajectory(A, X)
    assert LOSSES["mse"](t, A).item() == pytest.approx(1.25**2 / 4, rel=16 * EPS)
    assert LOSSES["mae"](t, A).item() == pytest.approx(1.25 / 4, rel=16 * EPS)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("power", [-40, 30])
def test_no_loss_depends_on_the_scale_of_the_matrices(name, power):
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(32, 3, 3, generator=generator)
    X = torch.linalg.inv(A) + 0.1 * torch.randn(32, 3, 3, generator=generator)
    c = 2.0**power
    loss = LOSSES[name](trajectory(A, X, X), A)
    scaled = LOSSES[name](trajectory(c * A, X / c, X / c), c * A)
    # Scaling by a power of two is exact, so only the norm and LAPACK could round otherwise.
    assert scaled.item() == pytest.approx(loss.item(), rel=32 * EPS)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_one_number_with_a_gradient(name):
    body = Constant([0.3, 0.1, -0.2, 0.4])
    net, values = Direct(2, body), body.values
    A = diagonals([3, 4], [1, 2])
    loss = LOSSES[name](net.trajectory(A), A)
    assert loss.shape == ()
    loss.backward()
    assert values.grad is not None
    assert torch.isfinite(values.grad).all()


def test_products_counts_the_candidates_above_a_thousandth():
    residuals = [torch.tensor([r, r]) for r in (1e2, 1e1, 1e-6, 0.0)]
    loss = LOSSES["products"](Trajectory([], residuals), torch.eye(2))
    far = 0.02 * sum(math.log(max(r, RESIDUAL_FLOOR)) for r in (1e2, 1e1, 1e-6, 0.0))
    assert loss.item() == pytest.approx(2 + far, abs=0.05)
    half = LOSSES["products"](Trajectory([], [torch.tensor([1e-3])]), torch.eye(2))
    assert half.item() == pytest.approx(0.5 + 0.02 * math.log(1e-3))
