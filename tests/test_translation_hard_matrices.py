"""Every call of the table on matrices that are hard: of no inverse, any scale, ill-conditioned.

Errors are taken against exact arithmetic, or by reconstruction and orthogonality, and compared with
PyTorch's largest on the same family in the same dtype: at most four times that and 16 u.
"""

from __future__ import annotations

import functools

import flint
import numpy as np
import pytest
import torch
from torch import linalg

import oracle
from deepmatrixinversion.export import check
from deepmatrixinversion.torch import lstsq
from test_translation import Call, export

N = 4
FUNCTIONS = {
    "inv": linalg.inv,
    "inv_ex": linalg.inv_ex,
    "solve": lambda A: linalg.solve(A, torch.ones_like(A[..., :1])),
    "solve_ex": lambda A: linalg.solve_ex(A, torch.ones_like(A[..., :1])),
    "lu_solve": lambda A: torch.linalg.lu_solve(*linalg.lu_factor(A), torch.ones_like(A[..., :1])),
    "lstsq": lambda A: lstsq(A, torch.ones_like(A[..., :1])).solution,
    "pinv": linalg.pinv,
    "det": linalg.det,
    "slogdet": linalg.slogdet,
    "qr": linalg.qr,
    "lu": linalg.lu,
    "eigh": lambda A: linalg.eigh(A + A.mT),
    "svd": linalg.svd,
    "cond": linalg.cond,
    "matrix_rank": linalg.matrix_rank,
    "svdvals": linalg.svdvals,
    "cholesky": lambda A: linalg.cholesky(A @ A.mT),
    "cholesky_ex": lambda A: linalg.cholesky_ex(A @ A.mT),
}
DTYPES = {"32": torch.float32, "64": torch.float64}
PRECISIONS = ["32", pytest.param("64", marks=pytest.mark.slow)]


def flat(result):
    return list(result) if isinstance(result, tuple | list) else [result]


@functools.cache
def session(dtype):
    A = torch.eye(N, dtype=dtype).repeat(2, 1, 1)
    proto = export(Call(lambda A: [y for f in FUNCTIONS.values() for y in flat(f(A))]), (A,))
    return check.session(proto.SerializeToString())


def results(A):
    """The results of each function."""
    run = session(A.dtype)
    found = iter(run.run(None, {run.get_inputs()[0].name: A.numpy()}))
    eye = torch.eye(N, dtype=A.dtype)[None]
    return {name: [np.asarray(next(found)) for _ in flat(f(eye))] for name, f in FUNCTIONS.items()}


def regular():
    """Families of invertible matrices, with the order of their condition number."""
    rng, i = np.random.default_rng(5), np.arange(N)
    normal = rng.normal(size=(8, N, N))
    hilbert = 1 / (1 + i[:, None] + i) * (1 + 1e-3 * rng.normal(size=(8, N, N)))
    units = 10.0 ** rng.choice([-15, 0, 15], (2, 8, N))
    yield "normal, kappa 10 to 100", normal
    yield "Hilbert-like, kappa 1e4", hilbert
    yield "Vandermonde, kappa 1e3", np.vander(np.linspace(0.2, 1, N)) * (1 + 1e-2 * normal)
    yield "rows of many units", normal * units[0][:, :, None]
    yield "columns of many units", normal * units[1][:, None]


def exactly(A, function):
    """A function of each matrix in rational numbers, rounded once."""
    found = []
    for a in A.numpy():
        M, e = oracle.integers(a)
        found.append(
            [[int(x.p) / int(x.q) for x in r] for r in function(M, oracle.power(e)).table()]
        )
    return np.array(found)


def inverse(M, scale):
    return flint.fmpq_mat(M).inv() * (1 / scale)


def pseudo_inverse(M, scale):
    """By A = B C, of A's pivot columns and the rows of its reduced echelon form that are not 0."""
    A = flint.fmpq_mat(M)
    R, rank = A.rref()
    if not rank:
        return A
    C = flint.fmpq_mat(R.table()[:rank])
    pivots = [next(j for j, x in enumerate(row) if x) for row in C.table()]
    B = flint.fmpq_mat([[row[j] for j in pivots] for row in A.table()])
    left, right = C.transpose() * (C * C.transpose()).inv(), (B.transpose() * B).inv()
    return left * right * B.transpose() * (1 / scale)


def determinant(M, scale):
    return flint.fmpq_mat(1, 1, [M.det() * scale ** M.nrows()])


def solution(M, scale):
    return inverse(M, scale) * flint.fmpq_mat(N, 1, [1] * N)


TRUTHS = {"inv": inverse, "inv_ex": inverse, "pinv": inverse, "det": determinant}
TRUTHS |= dict.fromkeys(("solve", "solve_ex", "lu_solve", "lstsq"), solution)


def errors(found, exact):
    """Relative, of each matrix, its rows and columns taken to one scale."""
    exact = exact.reshape(len(exact), exact.shape[1], -1)
    found = np.asarray(found, np.float64).reshape(exact.shape)
    rows = np.abs(exact).max(2, keepdims=True)
    columns = np.abs(exact / rows).max(1, keepdims=True)
    return np.linalg.norm((found - exact) / rows / columns, axis=(1, 2))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("family", [name for name, _ in regular()])
def test_as_exact_as_pytorch_on_invertible_matrices(family, precision):
    dtype = DTYPES[precision]
    A = torch.from_numpy(dict(regular())[family]).to(dtype)
    ours, u = results(A), torch.finfo(dtype).eps / 2
    for name, truth in TRUTHS.items():
        if "units" in family and name in ("pinv", "lstsq"):
            continue  # whose condition no scaling of both sides mends
        exact = exactly(A, truth)
        here, theirs = (errors(flat(r)[0], exact) for r in (ours[name], FUNCTIONS[name](A)))
        assert here.max() <= 4 * theirs.max() + 16 * u, name
    assert not ours["inv_ex"][1].any()
    assert not ours["solve_ex"][1].any()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_pseudo_inverses_and_conditions_are_exact_to_a_few_roundings(precision):
    """Not only no worse than PyTorch's largest of a family: each is near the exact value."""
    A = torch.from_numpy(dict(regular())["Hilbert-like, kappa 1e4"]).to(DTYPES[precision])
    ours, u = results(A), torch.finfo(A.dtype).eps / 2
    X = exactly(A, inverse)
    assert (
        np.linalg.norm(ours["pinv"][0] - X, axis=(1, 2)) <= 8 * u * np.linalg.norm(X, axis=(1, 2))
    ).all()
    reference = 1 / np.linalg.svd(X, compute_uv=False)[:, 0]
    largest = np.linalg.svd(A.double().numpy(), compute_uv=False)[:, 0]
    # The reference is float64's own, of the largest singular values of A and of its inverse.
    limit = 16 * u + 16 * torch.finfo(torch.float64).eps
    assert (np.abs(ours["cond"][0] * reference / largest - 1) <= limit).all()
    least = ours["svd"][1][:, -1]
    assert (np.abs(least / reference - 1) <= limit).all()


def singular():
    """Of every rank below N, zero included, small integers and not."""
    rng = np.random.default_rng(2)
    for rank in range(N):
        for _ in range(3):
            yield rng.integers(-2, 3, (N, rank)) @ rng.integers(-2, 3, (rank, N))
    yield np.ones((N, N))
    yield np.diag([1e15, 1.0, 1e-15, 0.0])


def reconstructions(A, found):
    """Largest errors of what is rebuilt from the factors, and of orthogonality."""
    A, eye = A.double(), torch.eye(N).double()
    Q, R, P, L, U, values, V, W, sigma, ZT = (
        torch.as_tensor(np.asarray(x, np.float64))
        for name in ("qr", "lu", "eigh", "svd")
        for x in flat(found[name])
    )
    size = A.flatten(1).norm(dim=1) + torch.finfo(A.dtype).tiny
    rebuilt = {
        "qr": Q @ R - A,
        "lu": P @ L @ U - A,
        "eigh": (V * values[:, None]) @ V.mT - A - A.mT,
        "svd": (W * sigma[:, None]) @ ZT - A,
    }
    yield from ((k, (x.flatten(1).norm(dim=1) / size).max()) for k, x in rebuilt.items())
    for name, X in {"qr": Q, "eigh": V, "svd, U": W, "svd, V": ZT}.items():
        yield name, (X.mT @ X - eye).flatten(1).norm(dim=1).max()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_has_no_inverse(precision):
    dtype = DTYPES[precision]
    A = torch.from_numpy(np.stack([np.asarray(M, np.float64) for M in singular()])).to(dtype)
    ours, u = results(A), torch.finfo(dtype).eps / 2
    # Elimination is within rounding of a matrix that has a determinant: an exact pivot of 0, or one
    # of rounding's size, as PyTorch's.
    hadamard = A.double().norm(dim=2).prod(1).numpy()
    assert (np.abs(ours["det"][0]) <= 16 * N * u * hadamard).all()
    # Where a row or column is 0 or twice there every elimination meets a pivot of 0.
    raised = linalg.inv_ex(A).info.numpy() > 0
    plain = np.array([0, 1, 2, len(A) - 2, len(A) - 1])
    assert raised[plain].all()
    for name in ("inv", "solve"):
        found = ours[name][0].reshape(len(A), -1)
        hopeless = np.asarray(np.isnan(found).all(1))
        assert hopeless[plain].all()
        # So are all others, whatever size of rounding their pivots are.
        assert hopeless.all()
    for name in ("inv_ex", "solve_ex"):
        assert (ours[name][1][raised] > 0).all()
    for name in ("cholesky", "cholesky_ex"):
        assert np.isnan(ours[name][0][~A.numpy().any((1, 2))]).all()
    # On a diagonal what is below the tolerance counts as 0.
    cut = N * 2 * u * A.abs().amax((1, 2), keepdim=True)
    exact = torch.from_numpy(exactly(torch.where(A.abs() > cut, A, 0), pseudo_inverse))
    size = exact.flatten(1).norm(dim=1)
    here, theirs = (
        torch.as_tensor(X).double().sub(exact).flatten(1).norm(dim=1)
        / torch.where(size > 0, size, 1)
        for X in (ours["pinv"][0], linalg.pinv(A))
    )
    assert here.max() <= 4 * theirs.max() + 16 * u
    np.testing.assert_array_equal(ours["matrix_rank"][0], linalg.matrix_rank(A))
    theirs = {name: FUNCTIONS[name](A) for name in ("qr", "lu", "eigh", "svd")}
    for (name, here), (_, there) in zip(
        reconstructions(A, ours), reconstructions(A, theirs), strict=True
    ):
        assert here <= 4 * there + 16 * u, name


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_not_finite_is_told_and_spoils_nothing_else(precision):
    A = torch.from_numpy(np.random.default_rng(0).normal(size=(7, N, N))).to(DTYPES[precision])
    A[1, 0, 0], A[3, 3, 1], A[5, 2, 2] = torch.nan, torch.inf, -torch.inf
    alone = results(A[::2].contiguous())
    for name, found in results(A).items():
        for result, expected in zip(found, alone[name], strict=True):
            bad = result[1::2]
            if result.dtype == np.int64:
                assert (bad == -1).all(), name
            elif result.dtype == np.int32:
                assert (bad != 0).all(), name
            elif name not in ("inv_ex", "solve_ex", "lu", "qr"):
                assert np.isnan(bad).all(axis=tuple(range(1, bad.ndim))).all(), name
            np.testing.assert_allclose(result[::2], expected, rtol=1e-6, err_msg=name)
