"""One mathematics: NumPy, torch and ONNX give the same inverses, of the same matrices."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from deepmatrixinversion import Inverter
from deepmatrixinversion.export.graph import onnx_bytes
from deepmatrixinversion.nets import spectral
from deepmatrixinversion.nets.spectral import Spectral
from deepmatrixinversion.nets.weights import load_ensemble

EPS32 = float(np.finfo(np.float32).eps)


def residual(A, X):
    """‖I - A X‖F of each pair, in float64."""
    A, X = np.asarray(A, dtype=float), np.asarray(X, dtype=float)
    return np.linalg.norm(np.eye(A.shape[-1]) - A @ X, axis=(-2, -1))


def definite(n, kappa, count=50, seed=0):
    """Symmetric positive definite matrices, eigenvalues even in their logarithms, in float32."""
    Q, _ = np.linalg.qr(np.random.default_rng([seed, n]).standard_normal((count, n, n)))
    A = (Q * np.geomspace(1, 1 / kappa, n)) @ Q.swapaxes(1, 2)
    return (0.5 * (A + A.swapaxes(1, 2))).astype(np.float32)


def onnx_inverse(net, A):
    """The graph of a network, run in onnxruntime."""
    session = onnxruntime.InferenceSession(onnx_bytes(net, 0), providers=["CPUExecutionProvider"])
    return session.run(["X"], {"A": A})[0]


# --- spectral starts from the identity where that is better ---------------------------------------


@pytest.fixture(scope="module")
def bundled():
    return Inverter.from_pretrained("spectral")


@pytest.mark.parametrize("n", [2, 8, 16, 32])
@pytest.mark.parametrize("kappa", [1e2, 1e4])
def test_spectral_inverts_positive_definite_matrices_in_every_interface(bundled, n, kappa):
    """From Aᵀ it fails at n = 16, kappa 1e4, on every matrix."""
    A = definite(n, kappa)
    by_numpy = residual(A, bundled.guess(A, max_products=25))
    with torch.no_grad():
        by_torch = residual(A, load_ensemble(bundled.model)(torch.from_numpy(A)))
    assert (by_numpy < 1e-2).all()
    # At rounding level: a dozen steps' worth of n eps kappa.
    assert (by_torch < 1e-3 + 16 * n * EPS32 * kappa).all()


def test_the_exported_spectral_starts_as_the_others(monkeypatch):
    """With one block, for the time that writing four takes."""
    monkeypatch.setattr(spectral, "BLOCKS", 1)
    torch.manual_seed(0)
    net = Spectral(bundled_config()).eval()
    A = np.concatenate([definite(16, 100), definite(16, 100)])
    A[50:, 0, 1] *= 1.001  # no longer symmetric
    with torch.no_grad():
        by_torch = residual(A, net(torch.from_numpy(A)))
    by_graph = residual(A, onnx_inverse(net, A))
    np.testing.assert_allclose(by_graph, by_torch, rtol=0.1, atol=16 * 16 * EPS32 * 100)
    assert (by_graph[:50] < 0.1).all()
    assert (by_graph[50:] > 1).all()


@pytest.mark.slow
def test_the_whole_spectral_graph_inverts_positive_definite_matrices(bundled):
    A = definite(16, 1e4)
    X = onnx_inverse(load_ensemble(bundled.model), A)
    assert (residual(A, X) < 1e-3 + 16 * 16 * EPS32 * 1e4).all()


def bundled_config():
    return Inverter.from_pretrained("spectral").model.config.net
