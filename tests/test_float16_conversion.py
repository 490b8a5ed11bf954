"""What each function exports to goes through float16 converters and stays right to float16."""

from __future__ import annotations

import pytest
import torch
from torch import linalg

from deepmatrixinversion.export import strip
from deepmatrixinversion.torch import lstsq
from test_translation import Call, export, run, spectrum

KAPPA = 4.0
# Each takes A, symmetric positive definite, and G, of no structure; options of the table and order.
KINDS = {
    "inv": (lambda A, G: linalg.inv(G), {}),
    "inv, adjugate": (lambda A, G: linalg.inv(G), {"method": "adjugate"}),
    "inv, iterative": (lambda A, G: linalg.inv(G), {"method": "iterative"}),
    "inv, early exit": (lambda A, G: linalg.inv(G), {"method": "iterative", "early_exit": True}),
    "inv_ex": (lambda A, G: linalg.inv_ex(G).info, {}),
    "solve": (lambda A, G: linalg.solve(G, A), {}),
    "pinv": (lambda A, G: linalg.pinv(G), {}),
    "pinv, iterated": (lambda A, G: linalg.pinv(G), {"order": 17}),
    "pinv, iterated in float32": (lambda A, G: linalg.pinv(G), {"order": 17, "double_pinv": False}),
    "cholesky": (lambda A, G: linalg.cholesky(A), {}),
    "cholesky_ex": (lambda A, G: linalg.cholesky_ex(A).info, {}),
    "cholesky_inverse": (lambda A, G: torch.cholesky_inverse(A.tril()), {}),
    "cholesky_solve": (lambda A, G: torch.cholesky_solve(G, A.tril()), {}),
    "solve_triangular": (lambda A, G: linalg.solve_triangular(A, G, upper=False), {}),
    "triangular_solve": (lambda A, G: torch.triangular_solve(G, A).solution, {}),
    "lu": (lambda A, G: linalg.lu(G).U, {}),
    "lu_factor": (lambda A, G: linalg.lu_factor(G).LU, {}),
    "lu_factor_ex": (lambda A, G: linalg.lu_factor_ex(G).info.float(), {}),
    "lu_solve": (lambda A, G: linalg.lu_solve(*linalg.lu_factor(G), A), {}),
    "qr": (lambda A, G: linalg.qr(G).R.abs(), {}),
    "householder_product": (lambda A, G: linalg.householder_product(G, A[..., 0]), {}),
    "lstsq": (lambda A, G: lstsq(G, A).solution, {}),
    "matrix_exp": (lambda A, G: linalg.matrix_exp(G), {}),
    "det": (lambda A, G: linalg.det(G), {}),
    "slogdet": (lambda A, G: linalg.slogdet(G).logabsdet, {}),
    "slogdet, sign": (lambda A, G: linalg.slogdet(G).sign, {}),
    "logdet": (lambda A, G: torch.logdet(A), {}),
    "eigh": (lambda A, G: linalg.eigh(A).eigenvalues, {}),
    "svd": (lambda A, G: linalg.svd(G).S, {}),
    "matrix_rank": (lambda A, G: linalg.matrix_rank(G, tol=0.01), {}),
    "cond": (lambda A, G: linalg.cond(G), {}),
    "clamped by a shared 1": (lambda A, G: torch.maximum(G, torch.ones(())) + G.clip(1) + 1, {}),
}
QUICK = "inv, early exit", "lu_solve", "slogdet, sign", "clamped by a shared 1", "pinv, iterated"


@pytest.mark.filterwarnings("ignore:the float32 number")
@pytest.mark.parametrize(
    "name", [pytest.param(k, marks=() if k in QUICK else pytest.mark.slow) for k in KINDS]
)
def test_converted_files_are_right_to_float16(name):
    converter = pytest.importorskip("onnxconverter_common.float16")
    function, options = KINDS[name]
    options = dict(options)
    order = options.pop("order", 4)
    inputs = spectrum(3, order, KAPPA, torch.float32)
    model = strip(export(Call(function), inputs, **options))
    inputs = spectrum(7, order, KAPPA, torch.float32, seed=1)
    expected = torch.from_numpy(run(model, inputs)[0]).double()
    halved = converter.convert_float_to_float16(model, keep_io_types=True)
    found = torch.from_numpy(run(halved, inputs)[0]).double()
    assert (found - expected).norm() <= 16 * order * 2.0**-11 * KAPPA * expected.norm()
