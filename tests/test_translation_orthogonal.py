"""Exported LU and QR factors, exponentials and least squares are as exact as PyTorch's."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import linalg

from test_translation import Call, export, run, spectrum

ORDER = 9  # a whole panel and a part of one
EPS = 2.0**-24


def solved(left, adjoint):
    def function(A, G):
        B = A[..., :3] if left else A[..., :3, :]
        return linalg.lu_solve(*linalg.lu_factor(G), B, left=left, adjoint=adjoint)

    return function


FUNCTIONS = {
    "lu, P": lambda A, G: linalg.lu(G)[0],
    "lu, L": lambda A, G: linalg.lu(G)[1],
    "lu, U": lambda A, G: linalg.lu(G)[2],
    "lu_factor": lambda A, G: linalg.lu_factor(G)[0],
    "lu_factor, pivots": lambda A, G: linalg.lu_factor(G)[1],
    "lu_factor_ex, info": lambda A, G: linalg.lu_factor_ex(G)[2],
    "qr, Q": lambda A, G: linalg.qr(G[..., :5])[0],
    "qr, R": lambda A, G: linalg.qr(G[..., :5])[1],
    "qr, complete": lambda A, G: linalg.qr(G[..., :5], mode="complete")[0],
    "qr, wide": lambda A, G: linalg.qr(G[..., :5, :])[1],
    "qr, square": lambda A, G: linalg.qr(G)[0],
    "householder_product": lambda A, G: linalg.householder_product(G[..., :5], A[..., 0, :4]),
    "matrix_exp": lambda A, G: linalg.matrix_exp(G),
    "matrix_exp, large": lambda A, G: linalg.matrix_exp(20 * A),
    "matrix_exp, small": lambda A, G: linalg.matrix_exp(1e-3 * G),
} | {
    f"lu_solve, {left=}, {adjoint=}": solved(left, adjoint)
    for left in (True, False)
    for adjoint in (True, False)
}


@functools.cache
def outputs():
    proto = export(Call(*FUNCTIONS.values()), spectrum(2, ORDER, 100.0, torch.float32))
    inputs = spectrum(4, ORDER, 100.0, torch.float32, seed=1)
    return inputs, dict(zip(FUNCTIONS, run(proto, inputs), strict=True))


def errors(X, exact):
    difference = (X.double() - exact).norm(dim=(-2, -1))
    return difference / exact.norm(dim=(-2, -1))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_exact_as_pytorch(name):
    inputs, results = outputs()
    result, theirs = torch.from_numpy(results[name]), FUNCTIONS[name](*inputs)
    assert result.dtype == theirs.dtype
    assert result.shape == theirs.shape
    if not theirs.is_floating_point():
        assert torch.equal(result, theirs)
        return
    exact = FUNCTIONS[name](*(x.double() for x in inputs))
    if theirs.dim() == 2:
        result, theirs, exact = result[:, None], theirs[:, None], exact[:, None]
    assert errors(result, exact).max() <= 4 * errors(theirs, exact).max() + 16 * EPS


@functools.cache
def factoring():
    A = torch.eye(20).expand(2, 20, 20).contiguous()
    functions = (lambda A: linalg.lu_factor_ex(A)[2], lambda A: linalg.qr(A)[0])
    return export(Call(*functions, lambda A: linalg.qr(A)[1], linalg.matrix_exp), (A,))


def test_singular_and_non_finite():
    """Zero pivots are told; reflections are orthogonal whatever the rank; NaN stays NaN."""
    A = torch.zeros(4, 20, 20)
    A[1] = torch.ones(20, 20)
    A[2] = torch.eye(20)
    A[2, 10, 10] = 0
    A[3] = 1e-30 * spectrum(1, 20, 10.0, torch.float32)[1][0]
    info, Q, R, E = (torch.from_numpy(x) for x in run(factoring(), (A,)))
    assert info.tolist() == linalg.lu_factor_ex(A).info.tolist() == [1, 2, 11, 0]
    assert (errors(Q @ R, A.double())[1:] <= 16 * 20 * EPS).all()
    assert (errors(Q.mT @ Q, torch.eye(20).double()) <= 16 * 20 * EPS).all()
    exact = linalg.matrix_exp(A.double())
    assert errors(E, exact).max() <= 4 * errors(linalg.matrix_exp(A), exact).max() + 16 * EPS
    A[0, 3, 4], A[1, 2, 2], A[2, 0, 0] = torch.nan, torch.inf, 1e6
    E = run(factoring(), (A,))[3]
    assert np.isnan(E[:3]).any(axis=(1, 2)).all()
