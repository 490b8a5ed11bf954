"""Least squares and tensor equations export; singular matrices give NaN where PyTorch raises."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import linalg

from deepmatrixinversion.torch import lstsq
from test_translation import Call, export, run, spectrum

EPS = 2.0**-24
KAPPA = 1e3


def error(X, exact):
    return float((X.double() - exact).norm() / exact.norm())


@pytest.mark.parametrize("rows, columns", [(9, 4), (4, 9), (6, 6)])
def test_least_squares(rows, columns):
    """As exact as LAPACK's, which torch.export does not take; the condition is not squared."""
    A = spectrum(3, 9, KAPPA, torch.float32)[1][:, :rows, :columns].contiguous()
    B = spectrum(3, 9, 10.0, torch.float32, seed=1)[1][:, :rows, :2].contiguous()
    X, residuals = run(
        export(Call(lambda A, B: lstsq(A, B)[0], lambda A, B: lstsq(A, B)[1]), (A, B)), (A, B)
    )
    exact = linalg.lstsq(A.double(), B.double()).solution
    theirs = error(linalg.lstsq(A, B).solution, exact)
    assert error(torch.from_numpy(X), exact) <= 4 * theirs + 16 * EPS
    assert error(lstsq(A, B).solution, exact) <= 4 * theirs + 16 * EPS
    squares = (B.double() - A.double() @ exact).square().sum(-2)
    limit = (64 * EPS * KAPPA) ** 2 * B.double().square().sum(-2)
    assert (
        (torch.from_numpy(residuals).double() - squares).abs() <= 64 * EPS * squares + limit
    ).all()


def test_least_squares_of_shapes_that_do_not_match():
    with pytest.raises(ValueError, match="as many rows"):
        lstsq(torch.ones(3, 2), torch.ones(2, 1))


def test_tensor_equations():
    A = spectrum(1, 6, 10.0, torch.float32)[1]
    functions = (
        lambda A: linalg.tensorinv(A.reshape(2, 3, 6)),
        lambda A: linalg.tensorsolve(A.reshape(2, 3, 6), A[0, 0].reshape(2, 3)),
    )
    for X, f in zip(
        run(export(Call(*functions), (A,), dynamic=False), (A,)), functions, strict=True
    ):
        assert torch.from_numpy(X).shape == f(A).shape
        assert error(torch.from_numpy(X), f(A.double())) <= 16 * 6 * EPS * 10


def singular(n):
    """Matrices on which LAPACK meets a pivot that is exactly 0."""
    twice = spectrum(2, n, 10.0, torch.float32)[1]
    twice[0, 1] = twice[0, 0]
    twice[1, :, 1] = twice[1, :, 0]
    counts = torch.arange(float(n))
    whole = [torch.zeros(n, n), torch.ones(n, n), torch.diag(counts), counts[:, None] * counts]
    return torch.stack([*whole, *twice])


@functools.cache
def inverting(n, method):
    A = torch.eye(n).expand(2, n, n).contiguous()
    functions = (linalg.inv, lambda A: linalg.solve(A, A[..., 0]), lambda A: linalg.inv_ex(A)[0])
    return export(Call(*functions, lambda A: linalg.inv_ex(A)[1]), (A,), method=method)


@pytest.mark.parametrize("n, method", [(2, "auto"), (20, "auto"), (5, "iterative")])
def test_nan_where_pytorch_raises(n, method):
    A = torch.cat([singular(n), spectrum(2, n, 10.0, torch.float32)[1]])
    A[-2, 0, 1] = torch.nan
    raised = linalg.inv_ex(A[:-2]).info > 0
    assert raised[:3].all()
    X, Y, finite, info = run(inverting(n, method), (A,))
    bad = [*raised.nonzero().flatten().tolist(), -2]
    assert np.isnan(X[bad]).all()
    assert np.isnan(Y[bad]).all()
    assert (info[bad] > 0).all()
    assert np.isfinite(finite[:-2]).all()
    assert info[-1] == 0
    assert np.isfinite(X[-1]).all()
