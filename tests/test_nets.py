"""The networks: size, layers, scale, gradients."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.models.config import NET_NAMES, NetConfig
from deepmatrixinversion.nets import NETS, build
from deepmatrixinversion.nets.ensemble import Ensemble
from deepmatrixinversion.training.losses import LOSSES
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
        with pytest.raises(ModelError):
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
