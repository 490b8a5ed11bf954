"""Every function of torch.linalg exports with a dynamic batch, or is named as one that does not."""

from __future__ import annotations

import inspect
import math
from pathlib import Path

import pytest
import torch
from torch import linalg

from deepmatrixinversion.export import exportable_program
from deepmatrixinversion.export.stand_ins import StandIns
from test_translation import Call, export, run, spectrum

ORDER, KAPPA = 4, 50.0
# Each takes A, symmetric positive definite, and G, of no structure. Names
# begin with that of a function of torch.linalg, unless they have a dot.
CALLS = {
    "cholesky": lambda A, G: linalg.cholesky(A),
    "cholesky_ex": lambda A, G: linalg.cholesky_ex(A).L,
    "cond": lambda A, G: linalg.cond(G),
    "cond 1": lambda A, G: linalg.cond(G, 1),
    "cond -1": lambda A, G: linalg.cond(G, -1),
    "cond inf": lambda A, G: linalg.cond(G, math.inf),
    "cond fro": lambda A, G: linalg.cond(G, "fro"),
    "cond nuc": lambda A, G: linalg.cond(G, "nuc"),
    "cond -2": lambda A, G: linalg.cond(G, -2),
    "cross": lambda A, G: linalg.cross(A[..., :3], G[..., :3]),
    "det": lambda A, G: linalg.det(G),
    "diagonal": lambda A, G: linalg.diagonal(G),
    "eigh": lambda A, G: linalg.eigh(A).eigenvalues,
    "eigvalsh": lambda A, G: linalg.eigvalsh(A, UPLO="U"),
    "householder_product": lambda A, G: linalg.householder_product(G, A[..., 0]),
    "inv": lambda A, G: linalg.inv(G),
    "inv_ex": lambda A, G: linalg.inv_ex(G).info,
    "lu": lambda A, G: linalg.lu(G).U,
    "lu_factor": lambda A, G: linalg.lu_factor(G).LU,
    "lu_factor_ex": lambda A, G: linalg.lu_factor_ex(G).info,
    "lu_solve": lambda A, G: linalg.lu_solve(*linalg.lu_factor(G), A),
    "matmul": lambda A, G: linalg.matmul(A, G),
    "matrix_exp": lambda A, G: linalg.matrix_exp(G),
    "matrix_norm": lambda A, G: linalg.matrix_norm(G),
    "matrix_norm 1": lambda A, G: linalg.matrix_norm(G[..., :3], 1),
    "matrix_norm -1": lambda A, G: linalg.matrix_norm(G, -1, keepdim=True),
    "matrix_norm inf": lambda A, G: linalg.matrix_norm(G[..., :3], math.inf),
    "matrix_norm 2": lambda A, G: linalg.matrix_norm(G, 2),
    "matrix_norm -2": lambda A, G: linalg.matrix_norm(G[..., :3], -2, keepdim=True),
    "matrix_norm nuc": lambda A, G: linalg.matrix_norm(G, "nuc"),
    "matrix_power": lambda A, G: linalg.matrix_power(G, 3),
    "matrix_power -2": lambda A, G: linalg.matrix_power(G, -2),
    "matrix_power 0": lambda A, G: linalg.matrix_power(G, 0),
    "matrix_rank": lambda A, G: linalg.matrix_rank(G[..., :2] @ A[..., :2, :]),
    "matrix_rank, tolerance": lambda A, G: linalg.matrix_rank(A, tol=0.1, hermitian=True),
    "multi_dot": lambda A, G: linalg.multi_dot([G[0], A[0], G[0]]),
    "norm": lambda A, G: linalg.norm(G),
    "norm 2": lambda A, G: linalg.norm(G, 2, dim=(-2, -1)),
    "norm inf": lambda A, G: linalg.norm(G[0], math.inf),
    "norm, vectors": lambda A, G: linalg.norm(G, 3, dim=-1),
    "pinv": lambda A, G: linalg.pinv(G),
    "qr": lambda A, G: linalg.qr(G).Q,
    "qr r": lambda A, G: linalg.qr(G, mode="r").R,
    "slogdet": lambda A, G: linalg.slogdet(G).logabsdet,
    "solve": lambda A, G: linalg.solve(G, A),
    "solve_ex": lambda A, G: linalg.solve_ex(G, A).result,
    "solve_triangular": lambda A, G: linalg.solve_triangular(A, G, upper=True),
    "svd": lambda A, G: linalg.svd(G).S,
    "svdvals": lambda A, G: linalg.svdvals(G),
    "tensorinv": lambda A, G: linalg.tensorinv(G[0], ind=1),
    "tensorsolve": lambda A, G: linalg.tensorsolve(G[0], A[0, 0]),
    "vander": lambda A, G: linalg.vander(G[..., 0]),
    "vander N": lambda A, G: linalg.vander(G[..., 0], N=6),
    "vecdot": lambda A, G: linalg.vecdot(A, G),
    "vector_norm": lambda A, G: linalg.vector_norm(G, 1, dim=-1),
    "torch.inverse": lambda A, G: torch.inverse(G),
    "torch.pinverse": lambda A, G: torch.pinverse(G),
    "torch.cholesky": lambda A, G: torch.cholesky(A, upper=True),
    "torch.cholesky_inverse": lambda A, G: torch.cholesky_inverse(A.tril()),
    "torch.cholesky_solve": lambda A, G: torch.cholesky_solve(G, A.tril()),
    "torch.triangular_solve": lambda A, G: torch.triangular_solve(G, A, transpose=True).solution,
    "torch.det": lambda A, G: torch.det(G),
    "torch.logdet": lambda A, G: torch.logdet(A),
    "torch.slogdet": lambda A, G: torch.slogdet(G).sign,
    "torch.matrix_exp": lambda A, G: torch.matrix_exp(G),
    "torch.matrix_power": lambda A, G: torch.matrix_power(G, 0),
    "Tensor.matrix_power": lambda A, G: G.matrix_power(0),
    "torch.lu": lambda A, G: torch.lu(G)[0],
    "torch.lu_solve": lambda A, G: torch.lu_solve(A, *linalg.lu_factor(G)),
    "torch.lu_unpack, P": lambda A, G: torch.lu_unpack(*linalg.lu_factor(G)).P,
    "torch.lu_unpack, L": lambda A, G: torch.lu_unpack(*linalg.lu_factor(G)).L,
    "torch.lu_unpack, U": lambda A, G: torch.lu_unpack(*linalg.lu_factor(G)).U,
    "torch.qr": lambda A, G: torch.qr(G).R,
    "torch.orgqr": lambda A, G: torch.orgqr(G, A[..., 0]),
    "torch.svd": lambda A, G: torch.svd(G).S,
    "torch.svd, values": lambda A, G: torch.svd(G, compute_uv=False).S,
    "torch.svd, zeros": lambda A, G: G.svd(compute_uv=False).U,
    "torch.norm nuc": lambda A, G: torch.norm(G, "nuc", dim=(-2, -1)),
    "torch.chain_matmul": lambda A, G: torch.chain_matmul(G[0], A[0], G[0]),
    "torch.trace": lambda A, G: torch.trace(G[0]),
}
for gone in {"cholesky", "qr"} - set(dir(torch)):  # with PyTorch 2.14
    del CALLS[f"torch.{gone}"]
pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated in favor:UserWarning")
# PyTorch's export of lstsq fails: deepmatrixinversion.torch.lstsq stands for it.
NOT_EXPORTED = {"eig", "eigvals", "ldl_factor", "ldl_factor_ex", "ldl_solve", "lstsq"}
# Each of a few nodes, in one file.
QUICK = [
    *("cond 1", "cond inf", "cond fro", "matrix_norm 1", "matrix_norm -1", "matrix_norm inf"),
    *("matrix_power 0", "Tensor.matrix_power", "norm inf", "norm, vectors", "vander", "vander N"),
    *("qr r", "torch.lu_unpack, P", "torch.lu_unpack, L", "torch.lu_unpack, U", "multi_dot"),
]


def compare(names, dtype):
    """Files' results with PyTorch's, in the same precision and in float64."""
    functions = [CALLS[name] for name in names]
    batch = torch.export.Dim("batch", min=1)
    shapes = {"inputs": ({0: batch}, {0: batch})}
    inputs = spectrum(3, ORDER, KAPPA, dtype)
    program = exportable_program(Call(*functions), inputs, dynamic_shapes=shapes)
    inputs = spectrum(7, ORDER, KAPPA, dtype, seed=1)
    results = run(export(program, None, dynamic=False), inputs)
    for name, function, found in zip(names, functions, results, strict=True):
        theirs, exact = function(*inputs), function(*(t.double() for t in inputs)).double()
        ours = torch.from_numpy(found)
        assert ours.dtype == theirs.dtype, name
        assert ours.shape == theirs.shape, name
        error, usual = ((x.double() - exact).norm() for x in (ours, theirs))
        assert error <= 4 * usual + 8 * torch.finfo(torch.float32).eps * exact.norm(), name


def test_short_ones_are_as_exact_as_pytorch():
    compare(QUICK, torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_are_as_exact_as_pytorch(name):
    compare([name], torch.float32)


def test_nothing_is_left_out():
    functions = {name for name, f in vars(linalg).items() if callable(f) and name[0].islower()}
    functions -= {name for name, f in vars(linalg).items() if inspect.isclass(f)}
    named = {name.partition(" ")[0].rstrip(",") for name in CALLS if "." not in name}
    assert functions - {"common_notes"} == named | NOT_EXPORTED
    text = (Path(__file__).parents[1] / "docs" / "onnx.md").read_text()
    assert all(f"`{name}`" in text for name in NOT_EXPORTED)


@pytest.mark.parametrize("name", CALLS)
def test_stand_ins_agree(name):
    """Without an export, in float64, for a stack and for what is not finite or singular."""
    stacks = spectrum(3, ORDER, KAPPA, torch.float64)
    expected = CALLS[name](*stacks)
    with StandIns():
        found = CALLS[name](*stacks)
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("p", [1, -1, math.inf, -math.inf, "fro", "nuc", 2])
def test_condition_of_a_singular_matrix(p):
    with StandIns():
        found = linalg.cond(torch.ones(2, 3, 3), p)
    assert (found > 1e6).all()
