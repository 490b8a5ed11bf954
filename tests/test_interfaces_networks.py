"""One mathematics: bundled networks answer the same in NumPy, in torch and as graphs."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from deepmatrixinversion import Inverter
from deepmatrixinversion.export.graph import onnx_bytes
from deepmatrixinversion.matrices.spectra import even_spectrum
from deepmatrixinversion.models.zoo import bundled_names
from deepmatrixinversion.nets import spectral
from deepmatrixinversion.nets.spectral import Spectral
from deepmatrixinversion.nets.weights import load_ensemble
from interfaces import ORDER, assert_near, eps_of, graph_of, matrices, near_one, of_order
from spectra_of_tests import with_eigenvalues
from truth import residuals

EPS32 = eps_of(np.float32)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture(scope="module")
def bundled():
    return Inverter.from_pretrained("spectral")


def in_torch(inverter, A):
    """The network's answer in A's own precision."""
    net = load_ensemble(inverter.model).to(torch.from_numpy(A).dtype)
    with torch.no_grad():
        return net(torch.from_numpy(A)).numpy()


def definite(n, kappa, count=50):
    """Symmetric positive definite matrices, eigenvalues even in their logarithms, in float32."""
    eigenvalues = even_spectrum(n, np.full(count, kappa))
    return with_eigenvalues(np.random.default_rng([0, n]), eigenvalues).astype(np.float32)


@dtypes
@pytest.mark.parametrize("name", [n for n in bundled_names() if n.startswith("feedback")])
def test_feedback_networks_agree(name, dtype):
    """As closely as float32 allows, in which graphs and the inverter compute."""
    inverter = Inverter.from_pretrained(name)
    A, kappa = of_order(inverter.order, dtype)
    within = kappa < 1e5
    A, kappa = near_one(A[within]), kappa[within]
    X = inverter.guess(A)
    assert_near(in_torch(inverter, A), X, kappa, np.float32)
    assert_near(graph_of(inverter.model)(A.astype(np.float32)), X, kappa, np.float32)


@dtypes
def test_spectral_agrees(bundled, dtype):
    """Residuals fall to rounding level in all, on what its products can reach in float32."""
    A, kappa = matrices(dtype)
    definite_too = (A.swapaxes(1, 2) == A).all(axis=(1, 2)) & (kappa < 1e4)
    within = (kappa < 500) | definite_too
    A, kappa = A[within], kappa[within]
    assert len(A) > 95
    by_graph = graph_of(bundled.model)(A.astype(np.float32))
    for X in (bundled.guess(A, max_products=25), in_torch(bundled, A), by_graph):
        assert (residuals(A, X) < 1e-3 + ORDER * EPS32 * kappa).all()


@pytest.mark.parametrize("n", [2, 8, 16, 32])
@pytest.mark.parametrize("kappa", [1e2, 1e4])
def test_spectral_inverts_positive_definite_matrices_in_every_interface(bundled, n, kappa):
    """From Aᵀ it fails at n = 16, kappa 1e4, on every matrix."""
    A = definite(n, kappa)
    assert (residuals(A, bundled.guess(A, max_products=25)) < 1e-2).all()
    # At rounding level: a dozen steps' worth of n eps kappa.
    level = 1e-3 + 16 * n * EPS32 * kappa
    assert (residuals(A, in_torch(bundled, A)) < level).all()
    assert (residuals(A, graph_of(bundled.model)(A)) < level).all()


def onnx_inverse(net, A):
    """A network exported now, and run in onnxruntime."""
    session = onnxruntime.InferenceSession(onnx_bytes(net, 0), providers=["CPUExecutionProvider"])
    return session.run(["X"], {"A": A})[0]


def test_the_exported_spectral_starts_as_the_others(bundled, monkeypatch):
    """With one block, for the time that writing four takes."""
    monkeypatch.setattr(spectral, "BLOCKS", 1)
    torch.manual_seed(0)
    net = Spectral(bundled.model.config.net).eval()
    A = np.concatenate([definite(16, 100), definite(16, 100)])
    A[50:, 0, 1] += 1e-3 * np.linalg.norm(A[50:], axis=(1, 2))  # no longer symmetric
    with torch.no_grad():
        by_torch = residuals(A, net(torch.from_numpy(A)))
    by_graph = residuals(A, onnx_inverse(net, A))
    np.testing.assert_allclose(by_graph, by_torch, rtol=0.1, atol=16 * 16 * EPS32 * 100)
    assert (by_graph[:50] < 0.1).all()
    assert (by_graph[50:] > 1).all()


@pytest.mark.slow
def test_the_bundled_spectral_graph_is_what_is_written_now(bundled):
    """``bash jobs/graph.x spectral`` writes it again."""
    A, _ = matrices(np.float32)
    now = onnx_inverse(load_ensemble(bundled.model), A)
    np.testing.assert_array_equal(graph_of(bundled.model)(A), now)
