"""Singular to working precision: NaN and ``info``, and never for a matrix that has an inverse."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import linalg

from test_translation import Call, export, run

COUNT = 12
slow = pytest.mark.slow
ORDERS = [2, 3, 8, 40, *(pytest.param(n, marks=slow) for n in (4, 9, 20, 64))]
DTYPES = [np.float32, np.float64]
DTYPES = [pytest.param(dtype, id=dtype.__name__) for dtype in DTYPES]


def singular(n, rng):
    """Exactly singular, or up to the rounding of a product."""
    normal, whole = rng.standard_normal((COUNT, n, n)), rng.integers(-9, 10, (COUNT, n, n))
    found = {}
    for rank in sorted({1, n // 2, n - 1}):
        factors = rng.integers(-3, 4, (2, COUNT, n, rank))
        found[f"integers of rank {rank}"] = factors[0] @ factors[1].swapaxes(1, 2)
    found["equal rows"] = np.where(np.arange(n)[:, None] == n - 1, normal[:, :1], normal)
    found["a row the sum of others"] = whole - (np.arange(n)[:, None] == 0) * whole.sum(
        1, keepdims=True
    )
    found["a column the sum of others"] = found["a row the sum of others"].swapaxes(1, 2)
    found["outer products"] = normal[:, :, :1] * normal[:, :1]
    found["covariances"] = normal[:, :, 1:] @ normal[:, :, 1:].swapaxes(1, 2)
    weights = np.triu(np.abs(whole), 1) + np.triu(np.abs(whole), 1).swapaxes(1, 2)
    found["Laplacians"] = np.eye(n) * weights.sum(1, keepdims=True) - weights
    if n > 2:
        found["counting"] = np.arange(n * n).reshape(n, n) + rng.integers(1, 9, (COUNT, 1, 1))
    return np.concatenate([np.asarray(A, float) for A in found.values()])


def regular(n, rng, u):
    """Condition numbers up to 1/(16 n u), and structures that look singular and are not."""
    kappa = (1 / (16 * n * u)) ** rng.uniform(0.5, 0.98, (COUNT, 1))
    Q, R = linalg.qr(torch.from_numpy(rng.standard_normal((2, COUNT, n, n))))[0].numpy()
    index = np.arange(n)
    permuted = np.eye(n)[np.argsort(rng.random((2, COUNT, n)))]
    growing = np.eye(n) - np.tri(n, k=-1)
    growing[:, -1] = 1
    spectra = [
        1 / kappa ** (index / (n - 1)),
        1 / kappa ** (index == n - 1),
        1 / kappa ** (index > 0),
    ]
    spread = np.abs(index[:, None] - index)
    return np.concatenate(
        [
            *(Q * sigma[:, None] @ R for sigma in spectra),
            permuted[0] @ (np.triu(np.ones((n, n)) - 2 * np.eye(n))) @ permuted[1],
            1 / (1 + index[:, None] + index + rng.uniform(0, 2, (COUNT, 1, 1))),  # like Hilbert's
            rng.standard_normal((COUNT, n, n)) * 10.0 ** (-2 * spread),
            np.exp(-((spread / rng.uniform(0.3, 3, (COUNT, 1, 1))) ** 2)),
            growing + 0.01 * rng.standard_normal((COUNT, n, n)),
            permuted[0] * rng.uniform(0.1, 10, (COUNT, n, 1)),
        ]
    )


def condition(A):
    """With rows and columns scaled alike."""
    for axis in (2, 1, 2, 1):
        A = A / np.sqrt((A * A).sum(axis, keepdims=True))
    return np.linalg.cond(A)


def scales(rng, count, n):
    """By name, of all of a matrix, of its rows, of its columns; powers of 2 and any numbers."""
    return {
        "as they are": np.ones((count, 1, 1)),
        "powers of 2": 2.0 ** rng.integers(-30, 31, (count, 1, 1)),
        "rows and columns": np.exp2(rng.uniform(-20, 20, (count, n, 1)))
        * np.exp2(rng.uniform(-20, 20, (count, 1, n))),
    }


@functools.cache
def exported(n, dtype, method="auto"):
    eye = torch.eye(n, dtype=torch.from_numpy(np.zeros(0, dtype)).dtype).repeat(2, 1, 1)
    functions = [linalg.inv, lambda A: linalg.solve(A, A[..., :1]), lambda A: linalg.inv_ex(A)[1]]
    proto = export(Call(*functions), (eye,), method=method)
    return lambda A: run(proto, (torch.from_numpy(A.astype(dtype)),))


def told_singular(n, dtype, method):
    A, rng = singular(n, np.random.default_rng(n)), np.random.default_rng(0)
    for name, scale in scales(rng, len(A), n).items():
        X, Y, info = exported(n, dtype, method)(A * scale)
        assert np.isnan(X).all(), name
        assert np.isnan(Y).all(), name
        assert (info == n).all(), name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", ORDERS)
def test_singular_matrices_have_no_inverse(n, dtype):
    told_singular(n, dtype, "auto")


@pytest.mark.parametrize("n", [3, pytest.param(9, marks=slow)])
def test_singular_matrices_have_no_inverse_by_iteration(n):
    told_singular(n, np.float32, "iterative")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", ORDERS)
def test_what_has_an_inverse_is_never_told_singular(n, dtype):
    u, rng = np.finfo(dtype).eps / 2, np.random.default_rng(n)
    A = regular(n, rng, u)
    A = A[condition(A) < 1 / (16 * n * u)]
    assert len(A) > 5 * COUNT
    for name, scale in scales(rng, len(A), n).items():
        X, Y, info = exported(n, dtype)(A * scale)
        assert np.isfinite(X).all(), name
        assert np.isfinite(Y).all(), name
        # It also asks for a residual below 1, which pivots chosen by badly scaled rows may miss.
        assert name == "rows and columns" or (info == 0).all(), name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [2, 8, 20])
def test_near_the_ends_of_the_range(n, dtype):
    """As long as neither A, its inverse, nor what elimination makes of them leaves it."""
    info = np.finfo(dtype)
    A = np.random.default_rng(n).standard_normal((COUNT, n, n)) + 4 * np.eye(n)
    for scale in (info.max / 512, 512 * info.tiny):
        X = exported(n, dtype)(A * scale)[0]
        assert np.isfinite(X).all()
        A[0, 1] = A[0, 0]
        assert np.isnan(exported(n, dtype)(A * scale)[0][0]).all()
        A[0, 1, 1] += 4
