"""The network for every order in the compiled kernel: it does what the NumPy text says."""

from __future__ import annotations

import numpy as np
import pytest

from deepmatrixinversion import kernel
from deepmatrixinversion.kernel.spectral import LARGEST_GUESS, MOST_UNITS
from deepmatrixinversion.linalg.greedy import EARLY_EXIT
from deepmatrixinversion.matrices.spectra import with_condition
from deepmatrixinversion.models.directory import read_weights
from deepmatrixinversion.models.zoo import locate
from deepmatrixinversion.spectral import compiled
from deepmatrixinversion.spectral.driver import SMALL_ORDER, spectral_guess
from deepmatrixinversion.spectral.plan import OPEN, WAYS, decided
from kernel_families import bits
from spectral_samples import always, stack, unit, untrained
from truth import residuals

pytestmark = pytest.mark.skipif(not kernel.available(), reason="there is no kernel")

ROUNDING = 1e-4
"""Rounding in the features passes through float32 weights and the coefficients."""


@pytest.fixture(scope="module")
def weights():
    return read_weights(locate("spectral"), 1)


def samples(n, k=40):
    """General, symmetric and definite matrices, ones of uneven spectra, and near the identity."""
    A = stack(n, k, seed=3)
    rng = np.random.default_rng(n)
    kind = np.arange(k) % 5
    A[kind == 1] += A[kind == 1].swapaxes(1, 2)
    A[kind == 2] = A[kind == 2] @ A[kind == 2].swapaxes(1, 2) + 0.1 * np.eye(n)
    A[kind == 3] = with_condition(rng, n, np.full(np.count_nonzero(kind == 3), 20.0))
    A[kind == 4] = np.eye(n) + 0.1 * A[kind == 4] / n
    return unit(A)


def agree(weights, S, share=1.0, **limits):
    """The same products, guesses and predictions, for at least such a share of the matrices.

    Where a step takes all of few directions, rounding decides whether the last one counts.
    """
    share = min(share, 0.9) if S.shape[-1] <= 12 else share
    by_numpy = spectral_guess(weights, S, **limits)
    by_kernel = compiled.guess(weights, S, **limits)
    scale = np.abs(by_numpy.X).max(axis=(1, 2))
    close = np.abs(by_numpy.X - by_kernel.X).max(axis=(1, 2)) <= ROUNDING * scale
    close &= np.abs(by_numpy.residual - by_kernel.residual) <= ROUNDING
    close &= by_numpy.products == by_kernel.products
    assert close.mean() >= share
    assert by_kernel.products.max() <= limits["max_products"]


@pytest.mark.parametrize("n", [1, 2, 5, 8, 9, 10, 15, 16, 17, 24, 31, 32, 40, 64, 100])
def test_the_kernel_does_what_the_text_says(instruction_set, weights, n):
    """Up to order 9 the last of the n directions may be one of rounding, or not."""
    agree(weights, samples(n), max_products=60)


@pytest.mark.parametrize("way", range(WAYS))
@pytest.mark.parametrize("n", [8, 11, 13, 16, 21, 25, 28, 29])
def test_every_way_is_that_of_the_text(instruction_set, weights, way, n):
    agree(decided(weights, way), samples(n), share=0.9, max_products=60)


@pytest.mark.parametrize("n", [3, 4, 6, 7])
@pytest.mark.parametrize("budget", [2, 4, 6, 9])
def test_small_orders_within_a_budget(weights, n, budget):
    agree(weights, samples(n), share=0.8, max_products=budget, tol=0.0)


@pytest.mark.parametrize("n", [10, 16, 33])
@pytest.mark.parametrize("budget", [0, 1, 2, 3, 5, 7, 8, 13, 20, 45])
def test_the_same_within_a_budget(weights, n, budget):
    """At rounding level a comparison with what is enough may fall out either way."""
    agree(weights, samples(n), share=0.8, max_products=budget, tol=0.0)


@pytest.mark.parametrize("opens", [-1.0, 1.0])
def test_the_network_decides_when_the_last_step_begins(weights, opens):
    """At once when it always wants to, else after as many blocks."""
    agree(always(weights, opens), samples(24), max_products=60)


@pytest.mark.parametrize("n", [2, 9, 16, 33])
def test_singular_matrices_end_where_the_text_ends(weights, n):
    S = stack(n, 20)
    S[:, 0] = 0.0
    S[0, 1:] = 0.0
    S[1:] = unit(S[1:])
    by_numpy = spectral_guess(weights, S, max_products=60)
    found = compiled.guess(weights, S, max_products=60)
    # Singular values that are zero leave a residual of one each.
    assert (np.abs(found.residual - by_numpy.residual) <= ROUNDING * n).all()
    np.testing.assert_array_equal(found.X[0], 0.0)


def test_any_number_of_units():
    state = untrained().state_dict()
    agree({k: v.numpy() for k, v in state.items()}, samples(16), max_products=60)


def test_what_the_kernel_does_not_take_is_for_numpy(weights):
    n = LARGEST_GUESS
    S = unit(stack(n + 1, 1))
    expected = spectral_guess(weights, S, max_products=3)
    assert bits(compiled.guess(weights, S, max_products=3)) == bits(expected)
    agree(weights, unit(stack(n, 1)), max_products=8)


def test_too_many_units_are_for_numpy(weights):
    units = MOST_UNITS + 1
    wide = {k: np.resize(v, [units if m == 32 else m for m in v.shape]) for k, v in weights.items()}
    wide |= {f"gate.{i}.weight": np.zeros((2 * units, units + (15, 19)[i])) for i in range(2)}
    wide |= {f"gate.{i}.bias": np.zeros(2 * units) for i in range(2)}
    S = samples(12, 6)
    expected = spectral_guess(wide, S, max_products=20)
    assert bits(compiled.guess(wide, S, max_products=20)) == bits(expected)


@pytest.mark.parametrize("n", [5, 16, 33])
def test_every_matrix_has_its_own_bits(instruction_set, weights, n):
    S = samples(n, 30)
    whole = compiled.guess(weights, S, max_products=60)
    backwards = compiled.guess(weights, S[::-1], max_products=60)
    assert bits([f[::-1] for f in backwards]) == bits(whole)
    for k in (0, 17, 29):
        alone = compiled.guess(weights, S[k : k + 1], max_products=60)
        assert bits(alone) == bits([f[k : k + 1] for f in whole])
    with kernel.threads(3):
        assert bits(compiled.guess(weights, S, max_products=60)) == bits(whole)


@pytest.mark.parametrize("n", [3, 16])
def test_what_is_not_finite_harms_no_neighbour(weights, n):
    S = samples(n, 12)
    expected = compiled.guess(weights, S, max_products=60)
    spoiled = S.copy()
    spoiled[3, 0, 0], spoiled[7, -1, 0], spoiled[9] = np.nan, np.inf, 0.0
    with np.errstate(all="ignore"):
        found = compiled.guess(weights, spoiled, max_products=60)
    others = np.ones(12, dtype=bool)
    others[[3, 7, 9]] = False
    assert bits([f[others] for f in found]) == bits([f[others] for f in expected])
    np.testing.assert_array_equal(found.X[9], 0.0)


def test_predictions_are_at_least_what_is_measured(weights):
    for n in (SMALL_ORDER, 16, 48):
        S = unit(stack(n, 100))
        found = compiled.guess(weights, S, max_products=60)
        assert (found.residual <= EARLY_EXIT).all()
        assert (residuals(S, found.X) <= found.residual + 1e-6).all()


@pytest.mark.parametrize("n", [24, 48, 64])
def test_predictions_hold_where_definite_matrices_open(monkeypatch, weights, n):
    """Directions of covariances nearly cancel: what is left of them does not commute with R."""
    monkeypatch.setattr(compiled, "way", lambda _, seen, __: np.full(seen.square.shape[1], OPEN))
    rng = np.random.default_rng(n)
    t = np.sort(rng.uniform(size=(40, n)))
    length = np.exp(rng.uniform(np.log(0.05), np.log(1.0), size=(40, 1, 1)))
    S = unit(np.exp(-np.abs(t[:, :, None] - t[:, None]) / length) + 0.01 * np.eye(n))
    found = compiled.guess(weights, S, max_products=60)
    assert (residuals(S, found.X) <= found.residual + 1e-6).all()
