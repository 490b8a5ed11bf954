"""What every interface is asked to invert, and graphs of torch's functions, each written once."""

from __future__ import annotations

import functools

import numpy as np
import onnxruntime
import torch

from deepmatrixinversion.linalg.purification import default_rtol
from deepmatrixinversion.matrices.distributions import DISTRIBUTIONS, NumpySource, sample
from menagerie import INVERTIBLE, SINGULAR, SMALL
from test_translation import Call, export, run

ORDER = 20
REACH = {np.float32: 1e3, np.float64: 1e6}
"""Condition numbers that iterations reach whatever the spectrum."""


def eps_of(dtype) -> float:
    return float(np.finfo(dtype).eps)


def rounding_kappa(dtype, order: int = ORDER) -> float:
    """Beyond this condition number rounding leaves nothing of an inverse."""
    return 1 / (4 * order * eps_of(dtype))


def pinv_rtol(dtype, m: int, n: int) -> float:
    """The tolerance that pseudo-inverses by iteration have by default."""
    return default_rtol(m, n, eps_of(dtype), eps_of(float))


def padded(A):
    """[[A, 0], [0, s I]] of order ORDER, s as large as A: one graph for matrices of all orders."""
    n = len(A)
    P = np.abs(A).max() * np.eye(ORDER)
    P[:n, :n] = A
    return P


def near_one(A):
    """Scaled by powers of two to largest entries in [1/2, 1); zero stays."""
    return np.ldexp(A, -np.frexp(np.abs(A).max(axis=(1, 2), keepdims=True))[1])


def drawn(order: int, count: int, seed: int = 1):
    """So many matrices of every distribution."""
    source = NumpySource(np.random.default_rng([seed, order]))
    return np.concatenate([sample(source, d, count, order, -1, 1) for d in DISTRIBUTIONS])


@functools.cache
def matrices(dtype):
    """Every distribution and every matrix of the menagerie at order ORDER, near 1; their kappa."""
    A = np.concatenate([drawn(ORDER, 6), np.stack([padded(M) for M in SMALL.values()])])
    A = near_one(A).astype(dtype)
    return A, np.linalg.cond(A.astype(float))


@functools.cache
def deficient(dtype):
    """The singular matrices of the menagerie, and some of every rank."""
    rng = np.random.default_rng(2)
    stack = [padded(M) for M in SINGULAR.values() if np.any(M)]
    stack += [
        rng.uniform(-1, 1, (ORDER, r)) @ rng.uniform(-1, 1, (r, ORDER)) for r in (1, 5, 10, 19)
    ]
    return near_one(np.stack(stack)).astype(dtype)


@functools.cache
def of_order(n: int, dtype):
    """Every distribution at order n and the menagerie's matrices of it, at whatever scale."""
    own = [A for A in INVERTIBLE.values() if len(A) == n]
    A = np.concatenate([drawn(n, 6), *(M[None] for M in own)])
    largest = np.abs(A).max(axis=(1, 2))
    info = np.finfo(dtype)
    # Inverses must be within the range of the dtype, too.
    A = A[(largest > info.tiny**0.5) & (largest < info.max**0.5)].astype(dtype)
    return A, np.linalg.cond(A.astype(float))


def assert_near(X, Y, kappa, dtype):
    """Each is within n eps kappa of the exact result, in the relative Frobenius norm."""
    X, Y = np.asarray(X, dtype=float), np.asarray(Y, dtype=float)
    difference = np.linalg.norm(X - Y, axis=(1, 2)) / np.linalg.norm(Y, axis=(1, 2))
    bound = 2 * max(X.shape[1:]) * eps_of(dtype) * kappa
    assert (difference <= bound).all(), (difference / bound).max()


def solving(n: int, dtype, method: str):
    """inv(A) and solve(A, B) of order n as one ONNX graph, to be called with A and B."""
    return functools.partial(_run, _solving(n, dtype, method))


def pseudo_inverting(m: int, n: int, dtype):
    """pinv of (k, m, n) as an ONNX graph, to be called with A."""
    return lambda A: _run(_pseudo_inverting(m, n, dtype), A)[0]


def _run(proto, *arrays):
    return run(proto, [torch.from_numpy(A) for A in arrays])


@functools.cache
def _solving(n, dtype, method):
    A = torch.from_numpy(np.stack([np.eye(n, dtype=dtype)] * 2))
    model = Call(lambda A, B: torch.linalg.inv(A), torch.linalg.solve)
    return export(model, (A, A[..., :1].expand(2, n, 3).contiguous()), method=method)


@functools.cache
def _pseudo_inverting(m, n, dtype):
    A = torch.from_numpy(np.stack([np.eye(m, n, dtype=dtype)] * 2))
    return export(Call(torch.linalg.pinv), (A,))


def graph_of(model):
    """The graph in a model directory, to be called with A."""
    session = onnxruntime.InferenceSession(
        str(model.path / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    return lambda A: session.run(None, {session.get_inputs()[0].name: A})[0]
