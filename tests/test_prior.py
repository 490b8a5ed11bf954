"""What is learned of a stack of matrices: keys, starts, guards, the choice between them."""

# torch's modules answer to names that annotations do not know.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import numpy as np
import pytest

from deepmatrixinversion.linalg.greedy import EARLY_EXIT, norm
from deepmatrixinversion.prior.candidates import most_overhead
from deepmatrixinversion.prior.components import orthonormal, principal_components
from deepmatrixinversion.prior.costs import charged
from deepmatrixinversion.prior.driver import from_nothing, prior_guess
from deepmatrixinversion.prior.fit import WORTH, fit_prior
from deepmatrixinversion.prior.proposal import nearest, probed, propose
from deepmatrixinversion.prior.store import from_tensors, tensor_shapes, tensors
from prior_families import EPS, N, around_one_mean, data, fitted, smooth, without_origin


@pytest.fixture(scope="module")
def local():
    return fitted(smooth)


# --- components ----------------------------------------------------------------------------------


def test_principal_components_are_those_of_lapack():
    rng = np.random.default_rng(0)
    F = rng.standard_normal((300, 20)) * 2.0 ** -np.arange(20)
    directions, deviations = principal_components(F, 4, rng)
    _, sigma, rows = np.linalg.svd(F, full_matrices=False)
    np.testing.assert_allclose(deviations, sigma[:4] / np.sqrt(300), rtol=1e-9)
    # Gaps of two and sixty sweeps: the subspaces have converged to rounding.
    np.testing.assert_allclose(np.abs(directions @ rows[:4].T), np.eye(4), atol=1e-9)


def test_components_that_are_not_there_are_left_out():
    F = np.outer(np.arange(10.0), [3.0, 0, 4.0, 0])
    directions, deviations = principal_components(F, 4, np.random.default_rng(0))
    assert (directions.shape, deviations.shape) == ((1, 4), (1,))
    assert principal_components(0 * F, 4, np.random.default_rng(0))[0].shape == (0, 4)


def test_dependent_columns_become_zero():
    Q = orthonormal(np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]))
    np.testing.assert_array_equal(Q[:, 1], 0.0)
    np.testing.assert_allclose(Q[:, [0, 2]].T @ Q[:, [0, 2]], np.eye(2), atol=4 * EPS)


# --- the start -----------------------------------------------------------------------------------


def test_a_start_is_the_best_combination_on_the_sketch(local):
    prior, S = local.prior, data(smooth(9, seed=3)).S
    X, left, _, _ = propose(prior, S)
    seen = prior.sketch - prior.sketch @ S @ X
    np.testing.assert_allclose(left, np.linalg.norm(seen, axis=(1, 2)), atol=64 * N * EPS)
    # Stationary: no stored inverse that was used can lower it, so the scale of X can't either.
    slope = np.einsum("kij,kij->k", seen, prior.sketch @ S @ X)
    assert np.abs(slope).max() <= 1e-8 * N


def test_a_probe_estimates_the_residual(local):
    prior, S = local.prior, data(smooth(400, seed=4)).S
    found = propose(prior, S)
    measured = norm(np.eye(N) - S @ found.X)
    # Squares are right on average over all probes; this is one of them, of two rows.
    assert 0.5 <= np.sqrt(np.mean((found.seen / measured) ** 2)) <= 1.5
    assert np.mean(found.seen < 0.1 * measured) <= 0.01
    every = np.random.default_rng(0).choice([-1.0, 1.0], (4000, N))
    rows = [probed(row[None], S[:1], found.X[:1])[0] for row in every]
    assert np.sqrt(np.mean(np.square(rows))) == pytest.approx(measured[0], rel=0.1)


def test_the_nearest_come_first_and_are_those_of_the_whole_store_nearly_always(local):
    prior, S = local.prior, data(smooth(100, seed=19)).S
    Y = prior.sketch @ S
    z = (Y.reshape(len(S), -1) - prior.centre) @ prior.keys.T
    far = ((prior.places - z[:, None]) ** 2).sum(axis=2)
    found = nearest(prior, Y)
    gaps = np.take_along_axis(far, found, axis=1)
    assert (np.diff(gaps, axis=1) >= 0).all()
    assert np.mean(gaps[:, 0] <= far.min(axis=1) * (1 + 1e-9)) >= 0.95
    np.testing.assert_array_equal(propose(prior, S).distance <= prior.farthest, True)


def test_what_is_taken_to_be_there_is(local):
    prior, S = local.prior, data(smooth(300, seed=20)).S
    guess = prior_guess(prior, S)
    there = guess.products == 0
    assert 0 < prior.enough <= EARLY_EXIT
    assert there.mean() > 0.3
    measured = norm(np.eye(N) - S[there] @ guess.X[there])
    assert np.mean(measured > EARLY_EXIT) <= 0.05
    assert (prior_guess(prior, S[there], tol=1e-4).products > 0).any()


def test_what_a_file_holds_comes_back(local):
    prior = local.prior
    found = tensors(prior)
    assert {k: v.shape for k, v in found.items()} == tensor_shapes(N, len(prior.inverses))
    assert all(v.dtype == np.float32 for v in found.values())
    again = from_tensors(found, prior.nearest)
    for name, value in prior._asdict().items():
        np.testing.assert_array_equal(getattr(again, name), value, err_msg=name)


def test_the_bits_of_a_matrix_do_not_depend_on_its_neighbours(local):
    S = data(np.concatenate([smooth(7, seed=5), without_origin(3)])).S
    whole = prior_guess(local.prior, S)
    for k in range(len(S)):
        alone = prior_guess(local.prior, S[k : k + 1])
        np.testing.assert_array_equal(alone.X[0], whole.X[k])


def test_scale_is_nothing(local):
    S = data(smooth(5, seed=6)).S
    X = prior_guess(local.prior, S).X
    np.testing.assert_array_equal(prior_guess(local.prior, 0.5 * S).X, 2.0 * X)


# --- the choice, and the guard -------------------------------------------------------------------


@pytest.mark.parametrize(
    "family, kind", [(smooth, "local"), (around_one_mean, "mean"), (without_origin, "generic")]
)
def test_each_kind_of_start_is_chosen_where_it_is_best(family, kind):
    found = fitted(family)
    assert found.chosen == kind
    assert found.prior.overhead() <= most_overhead(N)
    if kind == "local":
        assert found.own.mean * WORTH < found.simplest.mean


def test_guesses_reach_what_they_predict_and_cost_what_they_say(local):
    S = data(smooth(100, seed=8)).S
    guess = prior_guess(local.prior, S)
    measured = norm(np.eye(N) - S @ guess.X)
    assert (measured[guess.products > 0] <= EARLY_EXIT + 1e-6).all()
    cost = charged(S, guess) + guess.overhead
    assert cost.mean() < 0.5 * from_nothing(S).products.mean()
    # What was seen too small is mended at a price.
    assert ((cost > guess.products + guess.overhead) == (measured > 1.001 * EARLY_EXIT)).all()


@pytest.mark.parametrize("family", [without_origin, around_one_mean])
@pytest.mark.parametrize("home", [smooth, around_one_mean])
def test_foreign_matrices_lose_at_most_the_overhead(home, family):
    if family is home:
        return
    prior, S = fitted(home).prior, data(family(80, seed=9)).S
    guess, generic = prior_guess(prior, S), from_nothing(S)
    np.testing.assert_array_equal(guess.products, generic.products)
    assert (guess.overhead <= prior.overhead()).all()
    assert guess.overhead.mean() <= 1.0
    assert (guess.residual <= EARLY_EXIT).all()


def test_a_start_that_the_probe_took_for_better_is_given_up_after_a_product(local):
    S = data(without_origin(20, seed=21)).S
    blind = local.prior._replace(probe=0.0 * local.prior.probe, farthest=np.inf)
    blind = blind._replace(sketch=0.0 * blind.sketch, guard=0.5, enough=0.0)
    guess, generic = prior_guess(blind, S), from_nothing(S)
    np.testing.assert_array_equal(guess.products, generic.products + 1)
    assert (norm(np.eye(N) - S @ guess.X) <= EARLY_EXIT + 1e-6).all()


def test_a_hostile_store_costs_time_and_nothing_else(local):
    wild = local.prior._replace(inverses=1e6 * local.prior.inverses[::-1] ** 3, guard=np.inf)
    S = data(smooth(20, seed=10)).S
    guess = prior_guess(wild, S)
    assert np.isfinite(guess.X).all()
    assert (guess.residual <= np.sqrt(N)).all()


def test_budgets_are_kept(local):
    S = data(smooth(20, seed=11)).S
    for budget in range(4):
        spent = prior_guess(local.prior, S, max_products=budget, tol=0.0).products
        assert (spent + np.ceil(local.prior.overhead()) * (spent > 0) <= budget).all()


def test_too_few_matrices():
    some = data(smooth(3))
    with pytest.raises(ValueError, match="at least ten"):
        fit_prior(some, some.at(slice(0, 0)), some)
