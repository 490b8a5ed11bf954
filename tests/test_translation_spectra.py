"""Eigenvalues and singular values in exported models: as exact as PyTorch's, whatever the spectrum.

Errors are taken against float64, or by reconstruction and orthogonality; vectors themselves are
unique up to signs, and to rotations where values are multiple.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import linalg

from test_translation import Call, export, run

slow = pytest.mark.slow


@functools.cache
def graph(function, rows, columns, dtype, dynamic=True, opset=18):
    A = torch.eye(rows, columns, dtype=dtype).repeat(2, 1, 1)
    return export(Call(function), (A,), dynamic=dynamic, opset=opset)


def results(function, A, **options):
    return tuple(
        map(torch.from_numpy, run(graph(function, *A.shape[-2:], A.dtype, **options), (A,)))
    )


def spectra(n):
    """Singular values: even, over many decades, multiple, clustered, of low rank, none."""
    index = np.arange(n)
    yield np.linspace(1, 2, n)
    yield 10.0 ** -np.linspace(0, 6, n)
    yield 10.0 ** -np.linspace(0, 30, n)
    yield 2.0**-index
    yield np.where(index < n // 2, 1.0, 0.5)
    yield 10.0 ** -(2 * (index // 3))
    yield 1 + 1e-5 * index
    yield (index < 2) * (1.0 + index)
    yield np.zeros(n)


def stack(rows, columns, dtype, *, symmetric=False):
    """Two matrices with each of the spectra, and some without randomness."""
    rng, n, made = np.random.default_rng([rows, columns]), min(rows, columns), []
    for sigma in spectra(n):
        for signs in (np.ones(n), (-1.0) ** np.arange(n)):
            U, V = (np.linalg.qr(rng.normal(size=(k, k)))[0][:, :n] for k in (rows, columns))
            made.append((U * (sigma * signs)) @ (U if symmetric else V).T)
    index = np.arange(max(rows, columns))
    made += [np.ones((rows, columns)), np.eye(rows, columns), np.eye(rows, columns)[::-1]]
    made.append(1 / (1.0 + index[:rows, None] + index[:columns]))
    made.append(np.diag(index + 1.0)[:rows, :columns] + np.eye(rows, columns, k=1))
    if symmetric:
        made = [(M + M.T) / 2 for M in made]
    return torch.from_numpy(np.stack(made)).to(dtype)


def sizes(M):
    """The Frobenius norm of each matrix, 1 for 0."""
    norm = M.flatten(1).norm(dim=1)
    return torch.where(norm > 0, norm, 1)


def nonorthogonality(M):
    """‖MᵀM - I‖F."""
    return (M.mT @ M - torch.eye(M.shape[-1], dtype=M.dtype)).flatten(1).norm(dim=1)


def eigen_errors(A, values, vectors):
    """Of values, of reconstruction, both relative to ‖A‖F, and of orthogonality."""
    A, values, vectors = A.double(), values.double(), vectors.double()
    rebuilt = (vectors * values[:, None]) @ vectors.mT
    off = (values - linalg.eigvalsh(A)).abs().amax(-1) / sizes(A)
    return off, (A - rebuilt).flatten(1).norm(dim=1) / sizes(A), nonorthogonality(vectors)


def singular_errors(A, U, values, VT):
    A, U, values, VT = A.double(), U.double(), values.double(), VT.double()
    k = values.shape[-1]
    rebuilt = (U[..., :k] * values[:, None]) @ VT[..., :k, :]
    off = (values - linalg.svdvals(A)).abs().amax(-1) / sizes(A)
    reconstruction = (A - rebuilt).flatten(1).norm(dim=1) / sizes(A)
    return off, reconstruction, nonorthogonality(U), nonorthogonality(VT.mT)


def assert_as_good(ours, theirs, dtype):
    """Every error is at most 4 times PyTorch's largest on these matrices, plus 16 u."""
    for own, other in zip(ours, theirs, strict=True):
        assert own.max() <= 4 * other.max() + 8 * torch.finfo(dtype).eps


EIGEN = [(1, "32"), (2, "64"), (3, "32"), (3, "64"), (9, "32")]
EIGEN += [
    pytest.param(n, p, marks=slow) for n, p in ((9, "64"), (16, "32"), (16, "64"), (24, "32"))
]
DTYPES = {"32": torch.float32, "64": torch.float64}


@pytest.mark.parametrize("order, precision", EIGEN)
def test_eigenvalues_and_eigenvectors(order, precision):
    A = stack(order, order, DTYPES[precision], symmetric=True)
    values, vectors = results(linalg.eigh, A)
    assert (values.diff(dim=-1) >= 0).all()
    assert values.shape == A.shape[:-1]
    assert vectors.shape == A.shape
    errors, theirs = eigen_errors(A, values, vectors), eigen_errors(A, *linalg.eigh(A))
    assert_as_good(errors, theirs, A.dtype)


def thin(A):
    return linalg.svd(A, full_matrices=False)


SVD = [(3, 3, "32", True), (1, 4, "32", True), (5, 2, "64", True), (2, 5, "32", False)]
SVD += [(9, 4, "32", False), (4, 6, "64", True)]
SVD += [
    pytest.param(*case, marks=slow)
    for case in ((9, 9, "32", True), (9, 9, "64", True), (16, 16, "32", False), (40, 9, "32", True))
]


@pytest.mark.parametrize("rows, columns, precision, full", SVD)
def test_singular_values_and_vectors(rows, columns, precision, full):
    function = linalg.svd if full else thin
    A = stack(rows, columns, DTYPES[precision])
    found, expected = results(function, A), function(A)
    for x, y in zip(found, expected, strict=True):
        assert x.shape == y.shape
    assert (found[1].diff(dim=-1) <= 0).all()
    assert (found[1] >= 0).all()
    assert_as_good(singular_errors(A, *found), singular_errors(A, *expected), A.dtype)


def everything(A):
    values, vectors = linalg.eigh(A)
    return values, vectors, *linalg.svd(A), linalg.pinv(A)


def test_any_scale_and_what_is_not_finite():
    given = stack(3, 3, torch.float32, symmetric=True)
    for scale in (2.0**-100, 2.0**120):
        A = scale * given / scale  # without what the scale takes below the range
        values, vectors, U, sigma, VT, X = results(everything, scale * A)
        assert_as_good(
            eigen_errors(A, values / scale, vectors), eigen_errors(A, *linalg.eigh(A)), A.dtype
        )
        assert_as_good(
            singular_errors(A, U, sigma / scale, VT), singular_errors(A, *linalg.svd(A)), A.dtype
        )
        # The same bits, but for what of the answer lies below the range.
        lost = 2 * 2.0**-149 * scale
        np.testing.assert_allclose(X * scale, results(everything, A)[-1], rtol=0, atol=lost)
    largest = torch.full((1, 3, 3), torch.finfo(torch.float32).max / 4)
    np.testing.assert_allclose(
        results(everything, largest)[0][0, -1], 3 * largest[0, 0, 0], rtol=1e-6
    )
    for value in (torch.nan, torch.inf, -torch.inf):
        spoiled = given[:3].clone()
        spoiled[1, 2, 0] = spoiled[1, 0, 2] = value
        for result in results(everything, spoiled):
            assert torch.isnan(result[1]).all()
            assert torch.isfinite(result[[0, 2]]).all()


def test_each_triangle_is_read_alone():
    full = stack(3, 3, torch.float64, symmetric=True)
    for function, triangle in (
        (lambda A: linalg.eigh(A, UPLO="L")[0], torch.tril),
        (lambda A: linalg.eigh(A, UPLO="U")[0], torch.triu),
        (lambda A: linalg.pinv(A, rtol=1e-9, hermitian=True), torch.tril),
    ):
        A = triangle(full)
        (found,) = results(function, A)
        expected = function(A)
        assert (found - expected).abs().max() <= 1e-12 * max(1.0, float(expected.abs().max()) ** 2)


COMPOSED = {
    "eigvalsh": linalg.eigvalsh,
    "svdvals": linalg.svdvals,
    "torch.svd": lambda A: torch.svd(A)[1],
    "nuclear norm": lambda A: linalg.matrix_norm(A, "nuc"),
    "norm, nuclear": lambda A: linalg.norm(A, "nuc", dim=(-2, -1)),
    "spectral norm": lambda A: linalg.svdvals(A).amax(-1),
    "cond": linalg.cond,
    "cond -2": lambda A: linalg.cond(A, -2),
    "matrix_rank": linalg.matrix_rank,
    "matrix_rank, rtol": lambda A: linalg.matrix_rank(A, rtol=0.3),
    "matrix_rank, atol": lambda A: linalg.matrix_rank(A, atol=0.3),
    "matrix_rank, hermitian": lambda A: linalg.matrix_rank(A @ A.mT, hermitian=True),
    "pinv, atol": lambda A: linalg.pinv(A, atol=0.3),
}
STATIC = {
    "matrix_norm 2": lambda A: linalg.matrix_norm(A, 2),
    "matrix_norm -2": lambda A: linalg.matrix_norm(A, -2, keepdim=True),
    "norm 2": lambda A: linalg.norm(A, 2, dim=(-2, -1)),
    "cond, nuclear": lambda A: linalg.cond(A, "nuc"),
    "cond 1": lambda A: linalg.cond(A, 1),
}


@pytest.mark.parametrize("names", [COMPOSED, STATIC], ids=["dynamic", "static"])
@pytest.mark.parametrize("precision", ["32", pytest.param("64", marks=slow)])
def test_what_is_composed_of_them(names, precision):
    dtype = DTYPES[precision]
    given = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 3, 3))).to(dtype)
    given[1, 2] = given[1, 0] + given[1, 1]  # of rank 2, with room for rounding in the ranks
    regular = given[[0, 2, 3]].contiguous()
    for name, function in names.items():
        A = regular if "cond" in name else given
        example = A[:2] if names is COMPOSED else A
        found = torch.from_numpy(
            run(export(Call(function), (example,), dynamic=names is COMPOSED), (A,))[0]
        )
        expected = function(A)
        assert found.dtype == expected.dtype, name
        assert found.shape == expected.shape, name
        kappa = float(linalg.cond(A[0])) if len(A) == 3 else 100.0
        limit = 16 * 3 * torch.finfo(dtype).eps * kappa * float(expected.double().norm())
        assert (found - expected).double().norm() <= limit, name


def test_ranks_are_those_of_numpy():
    (found,) = results(linalg.matrix_rank, stack(3, 3, torch.float32))
    A = stack(3, 3, torch.float32).numpy()
    sigma = np.linalg.svd(A.astype(np.float64), compute_uv=False)
    ratio = sigma / np.where(sigma[:, :1] > 0, sigma[:, :1], 1)
    limit = 3 * np.finfo(np.float32).eps
    # Near the tolerance rounding decides.
    clear = ((ratio < limit / 4) | (ratio > 4 * limit)).all(-1)
    assert clear.sum() >= 15
    np.testing.assert_array_equal(found.numpy()[clear], (ratio > limit).sum(-1)[clear])


@pytest.mark.parametrize("opset", [17, 25])
def test_other_opsets_and_static_axes(opset):
    A = stack(3, 3, torch.float32, symmetric=True)[:2]
    values, vectors = results(linalg.eigh, A, dynamic=False, opset=opset)
    assert_as_good(eigen_errors(A, values, vectors), eigen_errors(A, *linalg.eigh(A)), A.dtype)


@pytest.mark.parametrize("shape", [(3, 3), (2, 2, 3, 3)])
def test_any_number_of_leading_axes(shape):
    A = torch.from_numpy(np.random.default_rng(0).normal(size=shape))
    functions = (linalg.eigvalsh, linalg.svdvals, linalg.pinv)
    found = run(export(Call(*functions), (A,), dynamic=False), (A,))
    for result, function in zip(found, functions, strict=True):
        np.testing.assert_allclose(
            result, function(A), rtol=0, atol=1e-12 * float(linalg.pinv(A).norm())
        )


def test_what_does_not_converge_is_nan(monkeypatch):
    monkeypatch.setattr("deepmatrixinversion.export.symmetric_eigen.sweeps", lambda n, dtype: 1)
    monkeypatch.setattr("deepmatrixinversion.export.singular_values.sweeps", lambda n, dtype: 0)
    A = stack(4, 4, torch.float64, symmetric=True)[:1]
    for result in run(export(Call(everything), (A,)), (A,)):
        assert np.isnan(result).all()
