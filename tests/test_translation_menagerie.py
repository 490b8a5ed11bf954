"""Singular, badly scaled and non-finite matrices in exported files: never silently wrong."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import pytest
import torch
from torch import linalg

from test_translation import Call, export, run


class Found(NamedTuple):
    inv: Any
    info: Any
    solution: Any
    product: Any  # of LU factors
    pivot: Any  # which is 0
    det: Any
    sign: Any


FUNCTIONS = Found(
    inv=linalg.inv,
    info=lambda A: linalg.inv_ex(A).info,
    solution=lambda A: linalg.solve(A, torch.ones_like(A[..., :2])),
    product=lambda A: (lambda P, L, U: P @ (L @ U))(*linalg.lu(A)),
    pivot=lambda A: linalg.lu_factor_ex(A).info,
    det=linalg.det,
    sign=lambda A: linalg.slogdet(A).sign,
)


def menagerie(n):
    """Matrices of order n by name; elimination finds the pivot 0 in the singular ones exactly."""
    generator = torch.Generator().manual_seed(0)
    r = torch.randn(n, n, generator=generator)
    r[0] *= 3 / r[0].abs().max()  # so that the first row is used early
    found = {name: r.clone() for name in ("zero row", "zero column", "regular", "nan", "inf")}
    found["zero row"][n - 2] = 0
    found["zero column"][:, n - 1] = 0
    found["nan"][0, n - 1] = torch.nan
    found["inf"][1, 1] = torch.inf
    found["zero"] = torch.zeros(n, n)
    found["ones"] = torch.ones(n, n)
    found["nilpotent"] = torch.diag(torch.ones(n - 1), 1)
    found["of many units"] = torch.logspace(-12, 12, n)[:, None] * r
    return found


SINGULAR = "zero row", "zero column", "zero", "ones", "nilpotent"


@functools.cache
def results(n):
    matrices = menagerie(n)
    A = torch.stack(list(matrices.values()))
    found = [torch.from_numpy(y) for y in run(export(Call(*FUNCTIONS), (A[:2],)), (A,))]
    return {name: (A[k], Found(*(y[k] for y in found))) for k, name in enumerate(matrices)}


ORDERS = [5, 9, pytest.param(3, marks=pytest.mark.slow), pytest.param(19, marks=pytest.mark.slow)]


@pytest.mark.parametrize("n", ORDERS)
@pytest.mark.parametrize("name", SINGULAR)
def test_singular(name, n):
    A, found = results(n)[name]
    assert found.inv.isnan().any()
    assert found.solution.isnan().any()
    assert found.info != 0
    assert found.pivot == linalg.lu_factor_ex(A).info != 0
    torch.testing.assert_close(found.product, A, rtol=0, atol=4e-7 * n * float(A.abs().max()))
    assert found.det == found.sign == 0


@pytest.mark.parametrize("n", ORDERS)
@pytest.mark.parametrize("name", ["nan", "inf"])
def test_not_finite(name, n):
    _, found = results(n)[name]
    assert found.inv.isnan().all()
    assert found.solution.isnan().all()
    assert found.info != 0
    assert found.det.isnan()
    assert found.sign.isnan()


@pytest.mark.parametrize("n", ORDERS)
@pytest.mark.parametrize("name", ["regular", "of many units"])
def test_regular(name, n):
    A, found = results(n)[name]
    exact = linalg.inv(A.double())
    assert found.info == found.pivot == 0
    usual = (linalg.inv(A) - exact).norm()
    assert (found.inv - exact).norm() <= 4 * usual + 1e-6 * exact.norm()
    assert found.sign == linalg.slogdet(A.double()).sign
