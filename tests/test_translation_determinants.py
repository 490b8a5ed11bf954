"""Determinants in exported models: signs, logarithms, singular matrices, and what is not finite."""

from __future__ import annotations

import functools
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import linalg

from test_translation import KINDS, Call, export, run, spectrum

NAMES = (
    linalg.det,
    torch.det,
    lambda A: A.det(),
    lambda A: torch.ops.aten._linalg_det(A)[0],
    linalg.slogdet,
    torch.slogdet,
    lambda A: torch.ops.aten._linalg_slogdet(A)[:2],
    torch.logdet,
)


@functools.cache
def graph(order, dtype, dynamic=True, opset=18):
    A = torch.eye(order, dtype=dtype).repeat(2, 1, 1)
    functions = (linalg.det, linalg.slogdet, torch.logdet)
    return export(Call(*functions), (A,), dynamic=dynamic, opset=opset)


def results(A, **options):
    return run(graph(A.shape[-1], A.dtype, **options), (A,))


def test_every_name():
    A = spectrum(3, 3, 10.0, torch.float32)[1]
    *dets, sign, log, sign2, log2, sign3, log3, logdet = run(export(Call(*NAMES), (A,)), (A,))
    for det in dets:
        np.testing.assert_array_equal(det, results(A)[0])
    for found in ((sign, log), (sign2, log2), (sign3, log3)):
        np.testing.assert_array_equal(found, results(A)[1:3])
    np.testing.assert_array_equal(logdet, results(A)[3])


def exact(A):
    """The determinant, in rational numbers."""
    rows = [[Fraction(float(x)) for x in row] for row in A]
    value = Fraction(1)
    for j in range(len(rows)):
        at = next((i for i in range(j, len(rows)) if rows[i][j]), None)
        if at is None:
            return Fraction(0)
        if at != j:
            rows[j], rows[at], value = rows[at], rows[j], -value
        value *= rows[j][j]
        for i in range(j + 1, len(rows)):
            factor = rows[i][j] / rows[j][j]
            rows[i] = [x - factor * y for x, y in zip(rows[i], rows[j], strict=True)]
    return value


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_against_rational_arithmetic(order, dtype):
    normal = np.random.default_rng(order).normal(size=(10, order, order))
    A = torch.cat([*spectrum(10, order, 100.0, dtype), torch.from_numpy(normal).to(dtype)])
    det, sign, log, logdet = results(A)
    true = [exact(a) for a in A.numpy()]
    eps = torch.finfo(dtype).eps
    for k, value in enumerate(true):
        # Elimination is exact for a matrix within n eps ‖A‖ or so, and d det = det tr(A⁻¹ dA).
        kappa = float(linalg.cond(A[k].double()))
        limit = 4 * order * eps * kappa
        assert abs(float(Fraction(float(det[k])) / value - 1)) <= limit
        assert sign[k] == (1 if value > 0 else -1)
        size = float(np.log(abs(float(value))))
        assert abs(log[k] - size) <= limit + 4 * eps * abs(size)
        assert np.isnan(logdet[k]) if value < 0 else logdet[k] == log[k]
    ours, theirs = (
        max(abs(float(Fraction(float(x)) / v - 1)) for x, v in zip(found, true, strict=True))
        for found in (det, linalg.det(A))
    )
    assert ours <= 4 * theirs + 8 * eps


@pytest.mark.parametrize("order, dtype", [(32, torch.float32), (64, torch.float64)])
def test_logarithms_where_determinants_underflow(order, dtype):
    """A covariance whose determinant is 0 in float32, as its logarithm is not."""
    A = torch.from_numpy(np.diag(np.full(order, 1e-4))).to(dtype) + 1e-3 / order
    B = spectrum(1, order, 100.0, dtype)[1][0]
    A = torch.stack([A, B, B.flip(0)])
    sign, log = run(export(Call(linalg.slogdet), (A,)), (A,))
    expected = linalg.slogdet(A.double())
    np.testing.assert_array_equal(sign, expected[0].numpy())
    limit = 8 * order * torch.finfo(dtype).eps * 100
    assert np.abs(log - expected[1].numpy()).max() <= limit
    assert log[0] < np.log(torch.finfo(torch.float32).tiny)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("order", [1, 2, 4, 20])
def test_rows_and_columns_of_any_units(order, dtype):
    """Products of pivots leave the range, which the determinant does not."""
    rng, count = np.random.default_rng(order), 8
    G = torch.from_numpy(rng.normal(size=(count, order, order))).to(dtype)
    reach = {torch.float32: 50, torch.float64: 500}[dtype]
    powers = np.sort(rng.integers(-reach, reach + 1, (2, order)))
    powers[1] = -powers[0]  # so that the determinant stays, and is exact
    rows, columns = (torch.from_numpy(2.0**p).to(dtype) for p in powers)
    A = G * rows[:, None] * columns[rng.permutation(order)]
    eps, exact = torch.finfo(dtype).eps, linalg.det(G.double()).numpy()
    det, sign, log, _ = results(A)
    theirs = np.abs(linalg.det(G).double().numpy() / exact - 1)
    ours = np.abs(det / exact - 1)
    kappa = linalg.cond(G.double()).numpy()
    assert (ours <= 4 * order * eps * kappa).all()
    assert ours.max() <= 4 * theirs.max() + 8 * eps or dtype == torch.float64
    np.testing.assert_array_equal(sign, np.sign(exact))
    assert (np.abs(log - np.log(np.abs(exact))) <= 4 * order * eps * kappa).all()


def test_determinants_beyond_the_range():
    """Infinite or 0 as the exact value rounds to, and within what is left of precision between."""
    A = torch.diag(torch.tensor([2.0**100, 2.0**60, -1.0, 1.5]))
    stack = torch.stack([A, A / 2.0**33, A / 2.0**10, A / 2.0**75, A / 2.0**80, 0 * A])
    stack[5, 0, 0] = 2.0**120  # 0 times much
    det, sign, log, _ = results(stack)
    np.testing.assert_array_equal(det, linalg.det(stack.double()).float())
    np.testing.assert_array_equal(sign[:5], -1)
    np.testing.assert_allclose(log[:5], linalg.slogdet(stack.double())[1][:5], rtol=2.0**-23)
    assert log[5] == -np.inf


@pytest.mark.parametrize("order", [1, 3, 6])
def test_singular_permuted_and_not_finite(order):
    eye = torch.eye(order)
    cycle = eye.roll(1, 0)
    bad = [eye.clone() for _ in range(3)]
    for matrix, value in zip(bad, (torch.nan, torch.inf, -torch.inf), strict=True):
        matrix[0, -1] = value
    ones = torch.ones(order, order) * (order > 1)
    rank2 = eye * (torch.arange(order) > 0)
    A = torch.stack([torch.zeros_like(eye), ones, rank2, cycle, eye.flip(0), *bad])
    det, sign, log, logdet = results(A)
    assert (det[:3] == 0).all()
    assert (sign[:3] == 0).all()
    assert (log[:3] == -np.inf).all()
    assert (logdet[:3] == -np.inf).all()
    np.testing.assert_array_equal(det[3:5], linalg.det(A[3:5]).numpy())
    np.testing.assert_array_equal(sign[3:5], det[3:5])
    np.testing.assert_array_equal(log[3:5], 0)
    for result in (det, sign, log, logdet):
        assert np.isnan(result[5:]).all()


@pytest.mark.parametrize("opset", [17, 25])
def test_other_opsets(opset):
    A = spectrum(2, 3, 10.0, torch.float32)[1]
    np.testing.assert_allclose(results(A, opset=opset)[0], linalg.det(A), rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 3), (2, 2, 3, 3)])
def test_any_number_of_leading_axes(shape):
    A = torch.from_numpy(np.random.default_rng(0).normal(size=shape))
    functions = (linalg.det, linalg.slogdet)
    found = run(export(Call(*functions), (A,), dynamic=False), (A,))
    for result, expected in zip(found, (linalg.det(A), *linalg.slogdet(A)), strict=True):
        assert result.shape == expected.shape
        np.testing.assert_allclose(result, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype, dynamic", KINDS)
def test_float32_and_float64_static_and_dynamic(dtype, dynamic):
    A = spectrum(2, 4, 10.0, dtype)[1]
    eps = torch.finfo(dtype).eps
    np.testing.assert_allclose(
        results(A, dynamic=dynamic)[0], linalg.det(A.double()), rtol=4 * 4 * 10 * eps
    )
