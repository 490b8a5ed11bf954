"""A prior as an inverter, a model directory, a module and a graph."""

# torch's modules answer to names that annotations do not know.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from deepmatrixinversion import Inverter, ModelError, inv_ex
from deepmatrixinversion.linalg.greedy import EARLY_EXIT, norm
from deepmatrixinversion.models.config import NetConfig
from deepmatrixinversion.nets import build
from deepmatrixinversion.prior.proposal import propose
from deepmatrixinversion.prior.store import tensors
from deepmatrixinversion.training import fit
from prior_families import EPS, N, around_one_mean, data, smooth, without_origin


@pytest.fixture(scope="module")
def inverter():
    return fit(smooth(600))


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


def test_an_exported_prior_inverts_its_own_matrices(tmp_path):
    from deepmatrixinversion.export import export_onnx
    from deepmatrixinversion.export.check import session

    inverter = fit(smooth(600), nlayers=4)  # an exporter's time goes with the square of it
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
