"""The networks: shape, size, scale, and the promise that feedback never makes worse."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.models.config import NET_NAMES, NetConfig
from deepmatrixinversion.nets import NETS, build, feedback
from deepmatrixinversion.nets.algebra import product
from deepmatrixinversion.nets.ensemble import Ensemble
from deepmatrixinversion.training.losses import LOSSES

U = 2.0**-24  # unit roundoff of float32
ORDERS = (1, 2, 3, 5)


def net_of(name, n=3, nunits=8, nlayers=2, seed=0, weights=None):
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


# --- size and layers ---------------------------------------------------------------------------


def test_resnet_has_exactly_the_published_number_of_parameters():
    net = build(NetConfig("resnet", 3, 128, 7))
    assert sum(p.numel() for p in net.parameters()) == 4_712_713


def test_dense_has_exactly_the_baselines_number_of_parameters():
    net = build(NetConfig("dense", 3, 128, 7))
    # 9 -> 128, six times 128 -> 128, 128 -> 9, each with biases.
    assert sum(p.numel() for p in net.parameters()) == 10 * 128 + 6 * 129 * 128 + 129 * 9


def test_resnet_is_the_published_one_layer_for_layer():
    net = build(NetConfig("resnet", 3, 128, 7))
    block = [(256, 128), (256, 384), (256, 640), (256, 896), (128, 1152)]
    shapes = [tuple(p.shape) for p in net.parameters() if p.ndim == 2]
    assert shapes == [(128, 9), *(7 * block), (9, 128)]
    assert [tuple(p.shape) for p in net.parameters() if p.ndim == 1] == [(s[0],) for s in shapes]


def test_resnet_computes_what_its_layers_say():
    net = net_of("resnet", n=2, nunits=3, nlayers=2, weights=0.5)
    layers = iter([m for m in net.modules() if isinstance(m, torch.nn.Linear)])

    def linear(x):
        layer = next(layers)
        return x @ layer.weight.T + layer.bias

    A = uniform(16, 2)
    A = A / torch.linalg.matrix_norm(A)[:, None, None]
    x = torch.relu(linear(math.sqrt(2) * A.flatten(1)))
    for _ in range(2):
        grown = x
        for _ in range(4):
            grown = torch.cat([grown, torch.relu(linear(grown))], dim=1)
        x = x + linear(grown)
    X = math.sqrt(2) * linear(x).reshape(-1, 2, 2)
    torch.testing.assert_close(net(A), X, rtol=1e-5, atol=1e-5)
    assert next(layers, None) is None


def test_an_untrained_block_of_resnet_is_the_identity():
    net = net_of("resnet", nlayers=3)
    without = torch.nn.Sequential(net.body[0], net.body[1], net.body[-1])
    bare = copy.deepcopy(net)
    bare.body = without
    A = uniform(64, 3)
    assert torch.equal(net(A), bare(A))
    for block in list(net.body)[2:-1]:
        x = torch.randn(5, 8)
        assert torch.equal(block(x), x)


# --- every network -----------------------------------------------------------------------------


# spectral, which takes any order, and prior, which is fitted, have tests of their own.
ONE_ORDER = [name for name in NETS if name not in ("spectral", "prior")]


def test_the_registry_is_what_configurations_may_name():
    assert set(NETS) == set(NET_NAMES)


@pytest.mark.parametrize("name", ONE_ORDER)
@pytest.mark.parametrize("n", ORDERS)
@pytest.mark.parametrize("nlayers", [1, 3])
@pytest.mark.parametrize("nunits", [1, 8])
def test_every_valid_size_builds_and_answers(name, n, nlayers, nunits):
    net = build(NetConfig(name, n, nunits, nlayers))
    for count in (1, 7):
        X = net(uniform(count, n))
        assert X.shape == (count, n, n)
        assert torch.isfinite(X).all()


@pytest.mark.parametrize("name", ONE_ORDER)
def test_configurations_without_sense_are_refused(name):
    for msize, nunits, nlayers in [(0, 8, 1), (3, 0, 1), (3, 8, 0), (3.0, 8, 1), (True, 8, 1)]:
        with pytest.raises(ModelError, match="must be a whole number"):
            build(NetConfig(name, msize, nunits, nlayers))


@pytest.mark.parametrize("weights", [None, 0.3])
@pytest.mark.parametrize("n", ORDERS)
@pytest.mark.parametrize("name", ONE_ORDER)
def test_scaling_by_a_power_of_two_scales_the_answer_exactly(name, n, weights):
    net = net_of(name, n, weights=weights)
    A = uniform(64, n)
    X = net(A)
    for power in (-60, -1, 1, 40):
        assert torch.equal(net(A * 2.0**power), X * 2.0**-power)


@pytest.mark.parametrize("kind", MENAGERIE)
@pytest.mark.parametrize("weights", [None, 0.3])
@pytest.mark.parametrize("name", ONE_ORDER)
def test_answers_and_residuals_are_finite(name, weights, kind):
    for n in ORDERS:
        A = menagerie(n)[kind]
        net = net_of(name, n, weights=weights)
        X = net(A)
        trajectory = net.trajectory(A)
        assert torch.equal(trajectory.candidates[-1], X)
        assert torch.isfinite(X).all()
        assert all(torch.isfinite(r).all() for r in trajectory.residuals)


@pytest.mark.parametrize("loss", ["frobenius", "log_residual"])
@pytest.mark.parametrize("kind", MENAGERIE)
@pytest.mark.parametrize("name", ONE_ORDER)
def test_gradients_are_finite_whatever_the_batch(name, kind, loss):
    for n in (1, 2, 3):
        A = menagerie(n)[kind]
        for weights in (None, 0.1):
            net = net_of(name, n, weights=weights)
            LOSSES[loss](net.trajectory(A), A).backward()
            for parameter in net.parameters():
                assert torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize("name", ONE_ORDER)
def test_a_trajectory_tells_the_residuals_of_its_candidates(name):
    for n in ORDERS:
        for kind in ("random", "singular", "nearly singular", "permutation", "zero"):
            A = menagerie(n)[kind]
            for weights in (None, 0.3):
                trajectory = net_of(name, n, weights=weights).trajectory(A)
                for X, r in zip(*trajectory, strict=True):
                    assert X.shape == A.shape
                    assert r.shape == (len(A),)
                    error = (r.double() - residual(A, X)).abs()
                    assert (error <= residual_rounding(A, X)).all(), (n, kind, weights)


def test_an_ensemble_is_the_mean_of_its_members():
    members = [net_of("dense", seed=seed) for seed in range(3)]
    A = uniform(8, 3)
    mean = sum(member(A) for member in members) / 3
    torch.testing.assert_close(Ensemble(members)(A), mean, rtol=8 * U, atol=8 * U)
    assert torch.equal(Ensemble(members[:1])(A), members[0](A))


# --- feedback ----------------------------------------------------------------------------------


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
    generator = torch.Generator().manual_seed(1)
    Q, _ = torch.linalg.qr(torch.randn(32, 3, 3, generator=generator))
    A = Q * torch.tensor([1.0, 0.7, 0.8])
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
    generator = torch.Generator().manual_seed(5)

    def haar():
        normal = torch.randn(32, n, n, generator=generator, dtype=torch.float64)
        return torch.linalg.qr(normal).Q

    U, V, sigma = haar(), haar(), torch.linspace(1, 0.4, n, dtype=torch.float64)
    A = haar() * sigma
    net = net_of("feedback", n, nlayers=2, weights=weights).double()
    X = net(A)
    torch.testing.assert_close(net(U @ A @ V), V.mT @ X @ U.mT, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(net(A.mT), X.mT, rtol=1e-6, atol=1e-6)
    P = torch.eye(n, dtype=torch.float64)[torch.randperm(n, generator=generator)]
    torch.testing.assert_close(net(P @ A), X @ P.mT, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n", range(2, 9))
def test_untrained_feedback_is_exact_where_float32_can_be(n):
    """Spread spectra: what is left is rounding, a few n kappa u, up to a condition of 1e3."""
    generator = torch.Generator().manual_seed(n)
    U, V = (
        torch.linalg.qr(torch.randn(200, n, n, generator=generator, dtype=torch.float64)).Q
        for _ in range(2)
    )
    blocks = 1 if n < 4 else 2 if n < 6 else 3
    for kappa in (10.0, 100.0, 1000.0):
        A = ((U * torch.logspace(0, -math.log10(kappa), n, dtype=torch.float64)) @ V).float()
        X = net_of("feedback", n, nlayers=blocks)(A)
        assert residual(A, X).median() <= n * kappa * 2.0**-24
