"""solve and solve_ex: exact errors within their bounds, every shape and dtype."""

from __future__ import annotations

import numpy as np
import pytest

import oracle
from deepmatrixinversion import (
    inv,
    solve,
    solve_ex,
)
from deepmatrixinversion.inference.arrays import embed
from truth import DTYPES, EPS, norm, sample

flint = pytest.importorskip("flint")


def real_system(A, B, Y):
    """A, B and Y as real matrices, complex ones embedded or stacked."""
    if not any(M.dtype.kind == "c" for M in (A, B, Y)):
        return A, B, Y
    columns = (np.concatenate([np.real(M), np.imag(M)], axis=-2) for M in (B, Y))
    return embed(A + 0j), *columns


def exact_errors(A, B, Y):
    """The largest |A⁻¹B - Y|² of each column, exactly."""
    n, is_complex = len(A), Y.dtype.kind == "c"
    a, b, y = real_system(A, B, Y)
    (M, e), (C, f), (Z, g) = map(oracle.integers, (a, b, y))
    D = M.inv() * flint.fmpq_mat(C) * oracle.power(f - e) - flint.fmpq_mat(Z) * oracle.power(g)
    squares = [[D[i, j] ** 2 for i in range(len(a))] for j in range(D.ncols())]
    if is_complex:
        squares = [[s[i] + s[i + n] for i in range(n)] for s in squares]
    return [max(s) for s in squares]


@pytest.mark.parametrize("left", DTYPES)
@pytest.mark.parametrize("right", DTYPES)
def test_solutions_lie_within_their_bounds(left, right):
    rng = np.random.default_rng(7)
    for n, p in ((1, 1), (2, 3), (3, 2), (5, 2), (8, 1)):
        A, B = sample(left, (3, n, n), rng), sample(right, (3, n, p), rng)
        if n > 1:
            A[1, -1] = A[1, 0] * (1 + 1e-4 * rng.uniform(size=n))
        B[2] *= 1e10
        result = solve_ex(A, B)
        Y = result.solution
        assert Y.dtype == np.result_type(left, right)
        assert result.error_bound.shape == (3, p)
        certified = result.inversion.certificate.certified
        assert (np.isfinite(result.error_bound) == certified[:, None]).all()
        assert certified[[0, 2]].all()
        for a, b, y, bounds in zip(A, B, Y, result.error_bound, strict=True):
            for square, bound in zip(exact_errors(a, b, y), bounds, strict=True):
                assert bound == np.inf or square <= oracle.rational(bound) ** 2
        if certified.all():
            np.testing.assert_array_equal(solve(A, B), Y)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_bounds_of_solutions_are_of_use(dtype):
    """A few n eps kappa of the solution, not merely true."""
    rng = np.random.default_rng(5)
    for n in (3, 10, 40):
        A, b = sample(dtype, (5, n, n), rng), sample(dtype, (n, 1), rng)
        result = solve_ex(A, b)
        k = norm(A) * norm(inv(A))
        size = np.abs(result.solution).max(axis=(-2, -1))
        # (6) of the certificate: gamma_{n+1} |X| (|r| + |b| + |A||y|) twice over, and sqrt(2) and
        # the embedding's doubled order and norm where complex.
        factor = 8 if dtype == np.float64 else 8 * 2 * 2 * 2
        assert (result.error_bound[:, 0] <= factor * (n + 1) * EPS * k * size).all()


@pytest.mark.parametrize("spread", [5, 30, 100])
def test_solutions_where_only_the_other_residual_is_below_one(spread):
    """Columns of very different scale: certified by ‖I - AX‖, with finite bounds all the same."""
    rng = np.random.default_rng(spread)
    A = rng.standard_normal((40, 5, 5)) * np.exp2(rng.integers(-spread, spread, (40, 1, 5)))
    B = rng.standard_normal((5, 2))
    result = solve_ex(A, B)
    certified = result.inversion.certificate.certified
    assert certified.all()
    assert np.isfinite(result.error_bound).all()
    for a, y, bounds in zip(A, result.solution, result.error_bound, strict=True):
        for square, bound in zip(exact_errors(a, B, y), bounds, strict=True):
            assert square <= oracle.rational(bound) ** 2


SHAPES = [
    ((3, 3), (3,), (3,), ()),
    ((3, 3), (3, 2), (3, 2), (2,)),
    ((3, 3), (3, 0), (3, 0), (0,)),
    ((4, 3, 3), (3,), (4, 3), (4,)),
    ((4, 3, 3), (3, 2), (4, 3, 2), (4, 2)),
    ((3, 3), (4, 3, 2), (4, 3, 2), (4, 2)),
    ((2, 1, 3, 3), (4, 3, 2), (2, 4, 3, 2), (2, 4, 2)),
    ((0, 3, 3), (3, 2), (0, 3, 2), (0, 2)),
]


@pytest.mark.parametrize("a, b, y, bound", SHAPES)
@pytest.mark.parametrize("mix", ["real", "complex A", "complex B", "complex"])
def test_shapes_of_solutions(a, b, y, bound, mix):
    rng = np.random.default_rng(3)
    A = sample(complex if mix in ("complex A", "complex") else float, a, rng)
    B = sample(complex if mix in ("complex B", "complex") else float, b, rng)
    result = solve_ex(A, B)
    assert result.solution.shape == y
    assert result.error_bound.shape == bound
    columns = B[:, None] if B.ndim == 1 else B
    whole = np.linalg.inv(A)
    expected = whole @ columns
    expected = expected[..., 0] if B.ndim == 1 else expected
    if expected.size:
        k = np.max(norm(A)) * np.max(norm(whole))
        tolerance = 32 * 3 * EPS * k * np.abs(expected).max()  # LAPACK's, and ours
        assert np.abs(result.solution - expected).max() <= tolerance


@pytest.mark.parametrize(
    "a, b",
    [((3, 3), (4,)), ((3, 3), (4, 3)), ((2, 3, 3), (3, 3, 1)), ((3, 3), (1, 4, 2)), ((0, 0), (1,))],
)
def test_shapes_that_do_not_fit(a, b):
    A = np.broadcast_to(np.eye(a[-1]), a)
    for call in (solve, solve_ex):
        with pytest.raises(ValueError) as caught:
            call(A, np.ones(b))
        assert all(name in str(caught.value) for name in (f"A of shape {a}", f"B of shape {b}"))
    with pytest.raises(ValueError, match=r"^B "):
        solve(np.eye(3), 1.0)
    with pytest.raises(ValueError, match=r"^B .*float16"):
        solve(np.eye(3), np.ones(3, np.float16))
