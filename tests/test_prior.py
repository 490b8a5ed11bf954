"""What is learned of a stack of matrices: keys, starts, guards, the choice between them."""

# torch's modules answer to names that annotations do not know.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from deepmatrixinversion import Inverter, ModelError, inv_ex
from deepmatrixinversion.linalg.greedy import EARLY_EXIT, GREEDY, improved, norm
from deepmatrixinversion.models.config import NetConfig
from deepmatrixinversion.nets import build
from deepmatrixinversion.prior.components import orthonormal, principal_components
from deepmatrixinversion.prior.costs import unit_data
from deepmatrixinversion.prior.driver import generic_start, prior_guess
from deepmatrixinversion.prior.fit import MOST_OVERHEAD, WORTH, fit_prior
from deepmatrixinversion.prior.store import from_tensors, propose, tensor_shapes, tensors
from deepmatrixinversion.training import fit

EPS = float(np.finfo(float).eps)
N = 12


def smooth(k, n=N, seed=0):
    """Kernel matrices of two hidden parameters."""
    rng = np.random.default_rng([seed, n])
    x = np.linspace(0, 1, n)
    scale = np.exp(rng.uniform(np.log(0.1), np.log(0.5), (k, 1, 1)))
    noise = np.exp(rng.uniform(np.log(1e-2), np.log(1e-1), (k, 1, 1)))
    return np.exp(-np.abs(x[:, None] - x) / scale) + noise * np.eye(n)


def around_one_mean(k, n=N, seed=0):
    """Small independent changes of every entry of one matrix."""
    rng = np.random.default_rng([seed, n])
    fixed = np.random.default_rng(7).standard_normal((n, n)) + 2 * np.eye(n)
    return fixed + 0.02 * rng.standard_normal((k, n, n))


def without_origin(k, n=N, seed=0):
    return np.random.default_rng([seed, n]).standard_normal((k, n, n))


def data(A):
    return unit_data(A, np.linalg.inv(A))


def fitted(family):
    return fit_prior(data(family(400)), data(family(60, seed=1)), data(family(60, seed=2)))


@pytest.fixture(scope="module")
def local():
    return fitted(smooth)


@pytest.fixture(scope="module")
def inverter():
    return fit(smooth(600))


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
    X, left, _ = propose(prior, S)
    seen = prior.sketch - prior.sketch @ S @ X
    np.testing.assert_allclose(left, np.linalg.norm(seen, axis=(1, 2)), atol=64 * N * EPS)
    # Stationary: no stored inverse that was used can lower it, so the scale of X can't either.
    slope = np.einsum("kij,kij->k", seen, prior.sketch @ S @ X)
    assert np.abs(slope).max() <= 1e-8 * N


def test_a_sketch_estimates_the_residual(local):
    prior, S = local.prior, data(smooth(200, seed=4)).S
    X, left, _ = propose(prior, S)
    measured = norm(np.eye(N) - S @ X)
    assert 0.5 <= np.median(left / measured) <= 1.2


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
    assert found.prior.overhead() <= MOST_OVERHEAD
    if kind == "local":
        assert found.own.mean * WORTH < found.simplest.mean


def test_guesses_reach_what_they_predict_and_cost_what_they_say(local):
    S = data(smooth(100, seed=8)).S
    guess = prior_guess(local.prior, S)
    measured = norm(np.eye(N) - S @ guess.X)
    assert (measured <= EARLY_EXIT + 1e-6).all()
    generic = improved(S, generic_start(S)[0], degrees=GREEDY)
    assert guess.products.mean() + local.prior.overhead() < 0.6 * generic.products.mean()


@pytest.mark.parametrize("family", [without_origin, around_one_mean])
@pytest.mark.parametrize("home", [smooth, around_one_mean])
def test_foreign_matrices_lose_at_most_the_overhead(home, family):
    if family is home:
        return
    prior, S = fitted(home).prior, data(family(80, seed=9)).S
    guess = prior_guess(prior, S)
    X, _ = generic_start(S)
    generic = improved(S, X, degrees=GREEDY)
    # The generic start is symmetrised here, and scaled by one more rounding there.
    assert (guess.products <= generic.products + 1).all()
    assert abs(guess.products.mean() - generic.products.mean()) < 0.1
    assert (guess.residual <= EARLY_EXIT).all()


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


# --- as an inverter ------------------------------------------------------------------------------


def test_inverses_are_certified_whatever_the_origin(inverter):
    for A in (smooth(50, seed=12), without_origin(50), 1e30 * smooth(5, seed=13)):
        result = inverter.inv_ex(A)
        assert result.certificate.certified.all()
        np.testing.assert_allclose(
            result.inverse @ A, np.broadcast_to(np.eye(N), A.shape), atol=1e-8
        )


@pytest.mark.parametrize("n", [1, 5, 30])
def test_other_orders_go_by_padding_and_recursion(inverter, n):
    A = without_origin(4, n)
    assert inverter.inv_ex(A).certificate.certified.all()


def test_singular_matrices_are_found_out(inverter):
    A = np.concatenate([smooth(2, seed=14), np.ones((1, N, N)), np.zeros((1, N, N))])
    assert inverter.inv_ex(A).certificate.certified.tolist() == [True, True, False, False]


def test_the_module_gives_what_numpy_does(inverter):
    prior = inverter.leaf.prior
    net = build(NetConfig("prior", N, len(prior.inverses), prior.nearest))
    net.load_state_dict({k: torch.from_numpy(v) for k, v in tensors(prior).items()})
    assert net.store.nearest == prior.nearest > 0
    S = data(smooth(40, seed=15)).S
    S = S[propose(prior, S).familiar(prior)]
    X = net.double()(torch.from_numpy(S)).numpy()
    assert len(S) > 35
    assert np.quantile(norm(np.eye(N) - S @ X), 0.95) <= EARLY_EXIT
    algebra_start = net._proposal(_algebra(), torch.from_numpy(S))[0].numpy()
    np.testing.assert_allclose(algebra_start, propose(prior, S).X, rtol=1e-6, atol=1e-6)


def _algebra():
    from deepmatrixinversion.linalg.algebra import Algebra

    return Algebra(N, EPS, torch.eye(N, dtype=torch.float64), torch.where)


def test_no_lapack_from_data_to_answers(monkeypatch, tmp_path):
    def forbidden(*words, **options):
        raise AssertionError("a LAPACK routine was called")

    A = smooth(120, seed=16)
    inner = sys.modules.get("numpy.linalg._linalg", sys.modules[np.linalg.inv.__module__])
    monkeypatch.setattr(inner, "_umath_linalg", None)
    with pytest.raises(AttributeError):
        np.linalg.inv(np.eye(2))  # the trap does work
    for name in np.linalg.__all__:
        if name not in ("LinAlgError", "norm", "vector_norm", "matrix_norm", "matmul", "outer"):
            monkeypatch.setattr(np.linalg, name, forbidden)
    found = fit(A, mout=tmp_path / "m")
    assert found.inv_ex(A).certificate.certified.all()


def test_the_directory_is_a_model(inverter, tmp_path):
    found = fit(smooth(200), mout=tmp_path / "deep" / "m")
    names = {p.name for p in found.model.path.iterdir()}
    assert names == {"README.md", "config.json", "member_1.safetensors", "training.json"}
    card = (found.model.path / "README.md").read_text()
    assert "| local (this model) |" in card
    assert "times fewer products" in card
    again = Inverter.from_pretrained(str(found.model.path))
    A = smooth(5, seed=17)
    np.testing.assert_array_equal(again.guess(A), found.guess(A))
    assert again.guess(A, max_products=2).shape == A.shape


def test_the_card_says_where_the_mean_would_do(tmp_path):
    found = fit(around_one_mean(300), mout=tmp_path / "m")
    assert "mean inverse alone would do" in (found.model.path / "README.md").read_text()
    found = fit(without_origin(300), mout=tmp_path / "g")
    assert "nothing to gain" in (found.model.path / "README.md").read_text()


def test_a_prior_without_data_is_refused():
    from deepmatrixinversion.training.recipe import Recipe

    with pytest.raises(ModelError, match="matrices of your own"):
        Recipe.from_options({"net": "prior", "msize": 3})


def test_given_targets_are_taken_for_the_inverses(tmp_path):
    A = smooth(120)
    X = inv_ex(A).inverse
    one, other = fit(A), fit(A, targets=X)
    np.testing.assert_array_equal(one.guess(A[:3]), other.guess(A[:3]))


def test_an_exported_prior_inverts_its_own_matrices(inverter, tmp_path):
    from deepmatrixinversion.export import export_onnx
    from deepmatrixinversion.export.check import session

    done = export_onnx(N, tmp_path / "own.onnx", model=str(inverter.model.path))
    assert done.options.method == "prior"
    A = data(smooth(60, seed=18)).S
    A = A[propose(inverter.leaf.prior, A).familiar(inverter.leaf.prior)].astype(np.float32)
    X, residual, converged = session(done.path.read_bytes()).run(None, {"A": A})
    assert converged.mean() >= 0.95
    measured = norm(np.eye(N) - A.astype(float) @ X)
    np.testing.assert_allclose(residual, measured, atol=1e-3)
    card = done.card.read_text()
    assert "foreign to it" in card
    assert "for the start" in card
