"""One mathematics: NumPy, torch and ONNX give the same inverses and solutions.

Of every distribution and every matrix of the menagerie; pseudo-inverses and networks have files of
their own.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepmatrixinversion import Inverter, inv, inv_ex, solve
from deepmatrixinversion.torch import inv as torch_inv
from deepmatrixinversion.torch import solve as torch_solve
from interfaces import (
    ORDER,
    REACH,
    assert_near,
    matrices,
    of_order,
    rounding_kappa,
    solving,
)

dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def right_hand_sides(A):
    """The first columns of the identity, three where there are so many rows."""
    return np.broadcast_to(np.eye(A.shape[1], 3, dtype=A.dtype), (*A.shape[:2], 3)).copy()


def as_tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


@dtypes
@pytest.mark.parametrize("method", ["elimination", "iterative"])
def test_inverses_and_solutions_agree(method, dtype):
    """All at one order, the smaller ones padded, so that one graph takes them."""
    A, kappa = matrices(dtype)
    # As far as rounding leaves anything of an inverse, or iterations reach.
    within = kappa < (rounding_kappa(dtype) if method == "elimination" else REACH[dtype])
    A, kappa = A[within], kappa[within]
    assert len(A) > 100
    B = right_hand_sides(A)
    answers = [solving(ORDER, dtype, method)(A, B)]
    if method == "iterative":
        S, T = as_tensors(A, B)
        answers.append([torch_inv(S).numpy(), torch_solve(S, T).numpy()])
    for X, Y in answers:
        assert_near(X, inv(A), kappa, dtype)
        assert_near(Y, solve(A, B), kappa, dtype)


@dtypes
@pytest.mark.parametrize("n", [2, 5])
def test_the_method_that_exports_choose_agrees(n, dtype):
    """Cofactors at order 2, elimination above, of matrices at any scale."""
    A, kappa = of_order(n, dtype)
    within = kappa < rounding_kappa(dtype, n)
    A, kappa = A[within], kappa[within]
    B = right_hand_sides(A)
    X, Y = solving(n, dtype, "auto")(A, B)
    assert_near(X, inv(A), kappa, dtype)
    assert_near(Y, solve(A, B), kappa, dtype)


@dtypes
@pytest.mark.parametrize("n", [*range(1, 13), 16, 20, 33])
def test_torch_agrees_at_every_order(n, dtype):
    """Small orders have a layout of their own in torch, and networks of their own in NumPy."""
    A, kappa = of_order(n, dtype)
    within = kappa < REACH[dtype]
    A, kappa = A[within], kappa[within]
    B = right_hand_sides(A)
    S, T = as_tensors(A, B)
    assert_near(torch_inv(S).numpy(), inv(A), kappa, dtype)
    assert_near(torch_solve(S, T).numpy(), solve(A, B), kappa, dtype)


@dtypes
@pytest.mark.parametrize("n", [*range(1, 13), 16, 20, 33])
def test_one_matrix_a_stack_and_numpy_alone_agree(n, dtype):
    """The same matrices certified, and inverses as close as their bounds say."""
    A, _ = of_order(n, dtype)
    stack = inv_ex(A)
    certified = stack.certificate.certified
    careful = Inverter.for_order(n)
    careful.leaf.compiled = None
    alone, each = careful.inv_ex(A), [inv_ex(M) for M in A]
    others = [
        (alone.inverse, alone.certificate.certified, alone.certificate.error_bound),
        (
            np.stack([result.inverse for result in each]),
            np.array([result.certificate.certified for result in each]),
            np.array([result.certificate.error_bound for result in each]),
        ),
    ]
    for X, proven, bound in others:
        np.testing.assert_array_equal(proven, certified)
        gap = np.abs(stack.inverse.astype(float) - X).sum(axis=2).max(axis=1)
        assert (gap <= stack.certificate.error_bound + bound)[certified].all()
