"""One mathematics: NumPy, torch and ONNX give the same inverses, of the same matrices."""

from __future__ import annotations

import functools

import numpy as np
import onnxruntime
import pytest
import torch

from deepmatrixinversion import Inverter, inv, pinv, solve
from deepmatrixinversion.export.graph import onnx_bytes
from deepmatrixinversion.linalg.purification import default_rtol
from deepmatrixinversion.matrices.distributions import DISTRIBUTIONS, NumpySource, sample
from deepmatrixinversion.matrices.spectra import (
    even_spectrum,
    with_eigenvalues,
    with_singular_values,
)
from deepmatrixinversion.models.zoo import bundled_names
from deepmatrixinversion.nets import spectral
from deepmatrixinversion.nets.spectral import Spectral
from deepmatrixinversion.nets.weights import load_ensemble
from deepmatrixinversion.torch import inv as torch_inv
from deepmatrixinversion.torch import pinv as torch_pinv
from deepmatrixinversion.torch import solve as torch_solve
from menagerie import SINGULAR, SMALL
from test_translation import Call, export, run

EPS32 = float(np.finfo(np.float32).eps)


def residual(A, X):
    """‖I - A X‖F of each pair, in float64."""
    A, X = np.asarray(A, dtype=float), np.asarray(X, dtype=float)
    return np.linalg.norm(np.eye(A.shape[-1]) - A @ X, axis=(-2, -1))


def definite(n, kappa, count=50, seed=0):
    """Symmetric positive definite matrices, eigenvalues even in their logarithms, in float32."""
    eigenvalues = even_spectrum(n, np.full(count, kappa))
    return with_eigenvalues(np.random.default_rng([seed, n]), eigenvalues).astype(np.float32)


def onnx_inverse(net, A):
    """The graph of a network, run in onnxruntime."""
    session = onnxruntime.InferenceSession(onnx_bytes(net, 0), providers=["CPUExecutionProvider"])
    return session.run(["X"], {"A": A})[0]


def written(function, A, **options):
    """A function of torch.linalg, written by the translation table and run in onnxruntime."""
    inputs = (torch.from_numpy(A),)
    return run(export(Call(function), inputs, **options), inputs)[0]


# --- which singular values count ------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 5), (9, 5), (5, 9)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pseudo_inverses_count_the_same_singular_values(shape, dtype):
    """Above rtol times the largest, rtol = max(m, n) eps of the input's dtype or what float64 can.

    The graph finds singular values of these sizes by rotations, to which no such limit applies.

    A trace of A X is the rank; a singular value that is kept with an error e of A counts as 1
    within e over it.
    """
    eps = float(np.finfo(dtype).eps)
    rtol = default_rtol(max(shape), min(shape), eps, float(np.finfo(float).eps))
    cases = [1e-3, 4 * rtol, 2 * rtol, rtol / 3, 0.0]
    sigma = np.array([[1, 1, 1, 1, least] for least in cases])
    A = with_singular_values(np.random.default_rng(shape), sigma, *shape).astype(dtype)
    answers = {
        "NumPy": pinv(A, rtol=rtol),
        "torch": torch_pinv(torch.from_numpy(A)).numpy(),
        "ONNX": written(torch.linalg.pinv, A),
    }
    limits = {"NumPy": rtol, "torch": rtol, "ONNX": max(shape) * eps}
    for name, X in answers.items():
        traces = np.trace(A.astype(float) @ X, axis1=1, axis2=2)
        for trace, least in zip(traces, cases, strict=True):
            rank = 4 + (least > limits[name])
            # Rounding of A to its dtype moves the least singular value by up to 2 eps.
            noise = 4 * eps / least if rank == 5 else 0.0
            assert abs(trace - rank) <= noise + 64 * eps, (name, least)


# --- inverses agree -------------------------------------------------------------------------------


ORDER = 20
REACH = {np.float32: 1e3, np.float64: 1e6}
"""Condition numbers that iterations reach whatever the spectrum."""


def padded(A):
    """[[A, 0], [0, s I]] of order ORDER, s as large as A: one graph for matrices of all orders."""
    n = len(A)
    P = np.abs(A).max() * np.eye(ORDER)
    P[:n, :n] = A
    return P


@functools.cache
def matrices(dtype):
    """Every distribution and every matrix of the menagerie, each with largest entry near 1."""
    rng = np.random.default_rng(1)
    stacks = [sample(NumpySource(rng), name, 6, ORDER, -1, 1) for name in DISTRIBUTIONS]
    A = np.concatenate([*stacks, np.stack([padded(M) for M in SMALL.values()])])
    A = np.ldexp(A, -np.frexp(np.abs(A).max(axis=(1, 2), keepdims=True))[1])
    A = A.astype(dtype)
    return A, np.linalg.cond(A.astype(float))


@functools.cache
def deficient(dtype):
    """The singular matrices of the menagerie, and some of every rank."""
    rng = np.random.default_rng(2)
    stack = [padded(M) for M in SINGULAR.values() if np.any(M)]
    stack += [*sample(NumpySource(rng), "orthogonal", 4, ORDER, -1, 1)]
    stack += [
        rng.uniform(-1, 1, (ORDER, r)) @ rng.uniform(-1, 1, (r, ORDER)) for r in (1, 5, 10, 19)
    ]
    A = np.stack(stack)
    return np.ldexp(A, -np.frexp(np.abs(A).max(axis=(1, 2), keepdims=True))[1]).astype(dtype)


@functools.cache
def graph(method, dtype):
    """inv(A) and solve(A, B) as one ONNX graph."""
    A = torch.from_numpy(matrices(dtype)[0][:2])
    model = Call(lambda A, B: torch.linalg.inv(A), torch.linalg.solve)
    return export(model, (A, A[..., :3].contiguous()), method=method)


def assert_near(X, Y, kappa, dtype):
    """Each is within a few n eps kappa of the exact result, in the relative Frobenius norm."""
    X, Y = np.asarray(X, dtype=float), np.asarray(Y, dtype=float)
    difference = np.linalg.norm(X - Y, axis=(1, 2)) / np.linalg.norm(Y, axis=(1, 2))
    assert (difference <= 4 * ORDER * float(np.finfo(dtype).eps) * kappa).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", ["elimination", "iterative"])
def test_inverses_and_solutions_agree(method, dtype):
    """NumPy, torch and ONNX on every distribution and every matrix of the menagerie."""
    A, kappa = matrices(dtype)
    # As far as rounding leaves anything of an inverse, or iterations reach.
    most = 1 / (4 * ORDER * np.finfo(dtype).eps) if method == "elimination" else REACH[dtype]
    A, kappa = A[kappa < most], kappa[kappa < most]
    assert len(A) > 80
    B = np.broadcast_to(np.eye(ORDER, 3, dtype=dtype), (len(A), ORDER, 3)).copy()
    S, T = torch.from_numpy(A), torch.from_numpy(B)
    by_graph = run(graph(method, dtype), (S, T))
    by_numpy = inv(A), solve(A, B)
    by_torch = (torch_inv(S), torch_solve(S, T)) if method == "iterative" else ()
    for answers in (by_graph, by_torch):
        for X, Y in zip(answers, by_numpy, strict=False):
            assert_near(X, Y, kappa, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pseudo_inverses_agree(dtype):
    A = deficient(dtype)
    eps = float(np.finfo(dtype).eps)
    rtol = default_rtol(ORDER, ORDER, eps, float(np.finfo(float).eps))
    sigma = np.linalg.svd(A.astype(float), compute_uv=False)
    # Without a gap around rtol every rank is as good as another.
    level = sigma / sigma[:, :1]
    gap = ~((level > rtol / 8) & (level < 8 * rtol)).any(axis=1)
    assert gap.sum() > 12
    A, kappa = A[gap], 1 / np.where(level > rtol, level, 1).min(axis=1)[gap]
    X = pinv(A, rtol=rtol)
    # kappa² of rounding in A where it fills up the rank.
    assert_near(torch_pinv(torch.from_numpy(A)).numpy(), X, 4 * kappa**2, dtype)
    assert_near(written(torch.linalg.pinv, A), X, 4 * kappa**2, dtype)


@pytest.mark.parametrize("name", [n for n in bundled_names() if n.startswith("feedback")])
def test_networks_give_the_same_in_torch_and_in_their_graphs(name):
    """Guesses of every distribution, where the network reaches rounding level."""
    inverter = Inverter.from_pretrained(name)
    n = inverter.model.config.net.msize
    rng = np.random.default_rng(3)
    A = np.concatenate([sample(NumpySource(rng), d, 20, n, -1, 1) for d in DISTRIBUTIONS])
    kappa = np.linalg.cond(A)
    A, kappa = A[kappa < 1e3].astype(np.float32), kappa[kappa < 1e3]
    with torch.no_grad():
        X = load_ensemble(inverter.model)(torch.from_numpy(A)).numpy()
    assert_near(X, inverter.guess(A), kappa, np.float32)


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
    A[50:, 0, 1] += 1e-3 * np.linalg.norm(A[50:], axis=(1, 2))  # no longer symmetric
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
