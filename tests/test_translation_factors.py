"""Exported triangular factors and systems are as exact as PyTorch's, and their graphs small."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import linalg

from test_translation import Call, export, run, spectrum

ORDER = 70  # two whole blocks and a part of one
COLUMNS = 3


def lower_solution(upper, left, unit):
    def solve(A, G):
        T = G if unit else G + 8 * torch.eye(ORDER, dtype=G.dtype)
        B = A[..., :COLUMNS] if left else A[..., :COLUMNS, :]
        return linalg.solve_triangular(T, B, upper=upper, left=left, unitriangular=unit)

    return solve


FUNCTIONS = {
    f"solve_triangular, {upper=}, {left=}, {unit=}": lower_solution(upper, left, unit)
    for upper in (False, True)
    for left in (False, True)
    for unit in (False, True)
} | {
    "solve_triangular, one triangle": lambda A, G: linalg.solve_triangular(
        A[0], G[..., :COLUMNS], upper=True
    ),
    "solve_triangular, one right-hand side": lambda A, G: linalg.solve_triangular(
        A, G[0, :, :COLUMNS], upper=False
    ),
    "triangular_solve": lambda A, G: torch.triangular_solve(G[..., :COLUMNS], A)[0],
    "triangular_solve, transposed": lambda A, G: torch.triangular_solve(
        G[..., :COLUMNS], A, upper=False, transpose=True
    )[0],
    "cholesky": lambda A, G: linalg.cholesky(A),
    "cholesky, upper": lambda A, G: linalg.cholesky(A, upper=True),
    "cholesky_solve, upper": lambda A, G: torch.cholesky_solve(G[..., :COLUMNS], A, upper=True),
    "cholesky_inverse": lambda A, G: torch.cholesky_inverse(A),
}


def matrices(count, dtype, seed):
    """A symmetric positive definite stack, condition 1e3, and triangles that are no worse."""
    A, G = spectrum(count, ORDER, 1e3, dtype, seed)
    return A, G / 4


pytestmark = pytest.mark.filterwarnings("ignore:torch.(triangular_solve|cholesky) is deprecated")


@functools.cache
def outputs(dtype):
    given = matrices(2, dtype, 0)
    proto = export(Call(*FUNCTIONS.values()), given)
    inputs = matrices(3, dtype, 1)
    return inputs, dict(zip(FUNCTIONS, run(proto, inputs), strict=True))


def errors(X, exact):
    difference = (X.double() - exact).norm(dim=(-2, -1))
    return difference / exact.norm(dim=(-2, -1))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_exact_as_pytorch(name):
    inputs, results = outputs(torch.float32)
    exact = FUNCTIONS[name](*(x.double() for x in inputs))
    here = errors(torch.from_numpy(results[name]), exact)
    theirs = errors(FUNCTIONS[name](*inputs), exact)
    assert (here <= 4 * theirs + 16 * 2.0**-24).all()


@functools.cache
def factoring():
    function = lambda A: (linalg.cholesky(A), *linalg.cholesky_ex(A))  # noqa: E731
    (A, _) = matrices(2, torch.float64, 0)
    return export(lambda_call(function), (A,))


def lambda_call(function):
    class Several(torch.nn.Module):
        def forward(self, *inputs):
            return function(*inputs)

    return Several()


def test_no_factor_is_nan_and_told():
    """NaN where PyTorch raises, and LAPACK's info, whichever the leading minor."""
    A = matrices(7, torch.float64, 2)[0]
    A[1, 0, 0] = -1  # the first minor
    A[2, 40, 40] = -1  # within the second block
    A[3, -1, -1] = 0  # the last
    A[4] = 0
    A[5, 50, 3] = torch.nan
    A[6, 3, 50] = torch.nan  # above the diagonal, which is not read
    L, L_ex, info = run(factoring(), (A,))
    expected = linalg.cholesky_ex(A)
    assert info.tolist() == expected.info.tolist()
    assert np.isnan(L[1:6]).all()
    np.testing.assert_array_equal(L, L_ex)
    for k in (0, 6):
        np.testing.assert_allclose(L[k], expected.L[k], rtol=0, atol=1e-12)


def test_a_few_hundred_nodes():
    """Order 196: seven nodes a row for the factor, less than two for a system."""
    A = torch.eye(196).expand(2, 196, 196).contiguous()
    proto = export(Call(linalg.cholesky), (A,))
    assert len(proto.graph.node) < 7 * 196
    proto = export(Call(lambda A: linalg.solve_triangular(A, A, upper=False)), (A,))
    assert len(proto.graph.node) < 350
    T = spectrum(2, 196, 10.0, torch.float32)[0].tril()
    (Y,) = run(proto, (T,))
    assert (errors(torch.from_numpy(Y), torch.eye(196).double()) < 16 * 196 * 2.0**-24).all()


@pytest.mark.parametrize(
    "function, shape, sentence",
    [
        (lambda A: linalg.lu(A, pivot=False), (2, 4, 4), "lu: pivot=False, which PyTorch has on"),
        (lambda A: linalg.lu_factor(A, pivot=False), (2, 4, 4), "lu_factor: pivot=False"),
        (linalg.lu, (2, 4, 3), "lu: square matrices only, not 4 x 3"),
    ],
)
def test_what_no_lu_is_written_for_is_refused_in_one_true_sentence(function, shape, sentence):
    with pytest.raises(torch.onnx.OnnxExporterError, match=sentence):
        export(Call(function), (torch.ones(shape),))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pivots_in_loops_give_the_same_factors_in_fewer_nodes(dtype):
    functions = [
        linalg.cholesky,
        lambda A: linalg.cholesky(A[..., :33, :33], upper=True),
        lambda A: linalg.cholesky(A[..., :1, :1]),
        lambda A: linalg.cholesky_ex(A)[1],
    ]
    A = spectrum(3, ORDER, 100.0, dtype)[0]
    unrolled, looped = (export(Call(*functions), (A[:2],), loops=loops) for loops in (False, True))
    assert sum(node.op_type == "Loop" for node in looped.graph.node) == 3 + 1 + 3
    bodies = [a.g.node for node in looped.graph.node for a in node.attribute if a.name == "body"]
    count = len(looped.graph.node) + sum(len(body) for body in bodies)
    assert count < len(unrolled.graph.node) / 3
    A[1, 40, 40] = -1  # so that the leading minor of order 41 is not positive
    for ours, expected in zip(run(looped, (A,)), run(unrolled, (A,)), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=4 * torch.finfo(dtype).eps)
    assert run(looped, (A,))[3].tolist() == [0, 41, 0]
