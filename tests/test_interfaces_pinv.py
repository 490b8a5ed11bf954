"""One mathematics: NumPy, torch and ONNX give the same pseudo-inverses, of the same ranks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepmatrixinversion import pinv, pinv_ex
from deepmatrixinversion.matrices.spectra import with_singular_values
from deepmatrixinversion.torch import pinv as torch_pinv
from interfaces import (
    ORDER,
    assert_near,
    deficient,
    eps_of,
    matrices,
    near_one,
    of_order,
    pinv_rtol,
    pseudo_inverting,
)

dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@dtypes
@pytest.mark.parametrize("shape", [(5, 5), (9, 5), (5, 9)])
def test_the_same_singular_values_count(shape, dtype):
    """Above rtol times the largest, rtol = max(m, n) eps of the input's dtype or what float64 can.

    The graph finds singular values of these sizes by rotations, to which no such limit applies.

    A trace of A X is the rank; a singular value that is kept with an error e of A counts as 1
    within e over it.
    """
    eps = eps_of(dtype)
    m, n = shape
    rtol = pinv_rtol(dtype, m, n)
    cases = [1e-3, 4 * rtol, 2 * rtol, rtol / 3, 0.0]
    sigma = np.array([[1, 1, 1, 1, least] for least in cases])
    A = with_singular_values(np.random.default_rng(shape), sigma, *shape).astype(dtype)
    answers = {
        "NumPy": pinv(A, rtol=rtol),
        "torch": torch_pinv(torch.from_numpy(A)).numpy(),
        "ONNX": pseudo_inverting(m, n, dtype)(A),
    }
    limits = {"NumPy": rtol, "torch": rtol, "ONNX": max(shape) * eps}
    for name, X in answers.items():
        traces = np.trace(A.astype(float) @ X, axis1=1, axis2=2)
        for trace, least in zip(traces, cases, strict=True):
            rank = 4 + (least > limits[name])
            # Rounding of A to its dtype moves the least singular value by up to 2 eps.
            noise = 4 * eps / least if rank == 5 else 0.0
            assert abs(trace - rank) <= noise + 64 * eps, (name, least)


def decided(A, rtol):
    """Those with a gap around rtol, without which every rank is as good; their ranks and kappa."""
    sigma = np.linalg.svd(A.astype(float), compute_uv=False)
    level = sigma / sigma[:, :1]
    gap = ~((level > rtol / 8) & (level < 8 * rtol)).any(axis=1)
    level = level[gap]
    return A[gap], (level > rtol).sum(axis=1), 1 / np.where(level > rtol, level, 1).min(axis=1)


@dtypes
def test_iterations_agree(dtype):
    """On every distribution, the menagerie, singular ones and some of every rank."""
    rtol = pinv_rtol(dtype, ORDER, ORDER)
    A, rank, kappa = decided(np.concatenate([matrices(dtype)[0], deficient(dtype)]), rtol)
    assert len(A) > 130
    assert (rank < ORDER).sum() > 24
    X = pinv_ex(A, rtol=rtol)
    np.testing.assert_array_equal(X.rank, rank)
    assert_near(torch_pinv(torch.from_numpy(A)).numpy(), X.pseudoinverse, kappa, dtype)
    assert_near(pseudo_inverting(ORDER, ORDER, dtype)(A), X.pseudoinverse, kappa, dtype)


@dtypes
def test_rotations_agree(dtype):
    """What the graph takes up to order 16, with the rtol that it has."""
    rtol = 5 * eps_of(dtype)
    A, rank, kappa = decided(near_one(of_order(5, dtype)[0]), rtol)
    X = pinv_ex(A, rtol=rtol)
    np.testing.assert_array_equal(X.rank, rank)
    assert_near(pseudo_inverting(5, 5, dtype)(A), X.pseudoinverse, kappa, dtype)
