"""Programs with complex tensors are the same in planes."""

from __future__ import annotations

import cmath
import functools

import pytest
import torch
from torch import linalg
from torch.nn import functional

from deepmatrixinversion.export import exportable_program
from test_translation import export, run

TWIST = cmath.exp(0.7j)
MIX = torch.tensor([[1 + 2j, 0.5j], [-1j, 0.3]], dtype=torch.complex128)
# Each takes z and w, complex (batch, 4, 4), and x, real (batch, 4, 4).
ENTRIES = {
    "add": lambda z, w, x: z + w,
    "add, alpha": lambda z, w, x: torch.add(z, w, alpha=3),
    "add, complex alpha": lambda z, w, x: torch.add(z, x, alpha=2j),
    "add real": lambda z, w, x: x + z,
    "add to a vector": lambda z, w, x: z[0, 0] + x,
    "add to one": lambda z, w, x: z[:1] + x,
    "add number": lambda z, w, x: 1j + z + 2,
    "subtract": lambda z, w, x: z - w,
    "subtract from real": lambda z, w, x: x - z,
    "subtract from number": lambda z, w, x: 1 - z,
    "rsub": lambda z, w, x: torch.rsub(z, w),
    "multiply": lambda z, w, x: z * w,
    "multiply real": lambda z, w, x: x * z,
    "multiply number": lambda z, w, x: 2.5 * z * TWIST,
    "real by complex number": lambda z, w, x: x * TWIST + x / TWIST,
    "divide": lambda z, w, x: z / w,
    "divide by real": lambda z, w, x: z / x,
    "divide real": lambda z, w, x: x / z,
    "divide by number": lambda z, w, x: z / 3 + z / TWIST,
    "divide number": lambda z, w, x: 3 / z + TWIST / z,
    "negative": lambda z, w, x: -z,
    "power": lambda z, w, x: z**3,
    "square": lambda z, w, x: z.square(),
    "abs": lambda z, w, x: z.abs(),
    "angle": lambda z, w, x: z.angle(),
    "sgn": lambda z, w, x: z.sgn(),
    "exp, log": lambda z, w, x: torch.exp(z) + torch.log(w),
    "polar": lambda z, w, x: torch.polar(x.abs(), x),
    "conj": lambda z, w, x: z.conj() + torch.conj_physical(w) + w.conj().resolve_conj(),
    "adjoint": lambda z, w, x: z.mH + z.adjoint() + z[0].H,
    "transposes": lambda z, w, x: z.mT + z.transpose(0, 2).permute(2, 1, 0) + z[0].t(),
    "where": lambda z, w, x: torch.where(x > 0, z, w) + torch.where(x > 0, z, 0),
    "where, real": lambda z, w, x: torch.where(x > 0, x, z),
    "masked_fill": lambda z, w, x: z.masked_fill(x > 0, 1),
    "isfinite": lambda z, w, x: torch.isfinite(z / (w * 0)) | torch.isnan(z),
    "precision": lambda z, w, x: z.to(torch.complex64) * x.float(),
    "to complex": lambda z, w, x: x.to(torch.complex128) + z.type_as(w),
    "made": lambda z, w, x: torch.eye(4, dtype=z.dtype) + torch.full((4, 4), 1j) + z.new_ones(4),
    "made alike": lambda z, w, x: torch.zeros_like(z) + torch.ones_like(w) - x.new_zeros(4),
    "full_like": lambda z, w, x: torch.full_like(z, 2 + 1j) + torch.full_like(z, 2),
    "constant": lambda z, w, x: z[..., :2, :2] @ MIX,
}
SHAPES = {
    "views": lambda z, w, x: z.reshape(-1, 2, 8).flatten(1).view(-1, 4, 4).unflatten(-1, (2, 2)),
    "expand": lambda z, w, x: z[..., :1].expand(-1, 4, 4) + w[0, 0].broadcast_to(4, 4),
    "diagonal": lambda z, w, x: (
        z.diagonal(dim1=-2, dim2=-1).diag_embed() + linalg.diagonal(w).sum()
    ),
    "index": lambda z, w, x: z[:, [0, 2]] + w[:, 1:3, torch.tensor([3, 1, 0, 2])],
    "ellipsis": lambda z, w, x: z[..., None, :, 0].squeeze(-2),
    "triangles": lambda z, w, x: z.tril() + w.triu(1),
    "cat": lambda z, w, x: torch.cat([z, w, x], -1),
    "stack": lambda z, w, x: torch.stack([z, w], 1),
    "split": lambda z, w, x: (
        z.chunk(2, -1)[0] + w.split(2, -1)[1] + torch.unbind(z, -1)[0][..., None]
    ),
    "roll, flip": lambda z, w, x: z.roll(1, -1) + w.flip(-1),
    "sums": lambda z, w, x: z.sum(-1) + w.mean((-2, -1))[:, None] + z.cumsum(-1)[..., 0],
    "trace": lambda z, w, x: z[0].trace(),
    "matmul": lambda z, w, x: z @ w + z @ w[0],
    "matmul, vectors": lambda z, w, x: z @ w[0, 0] + w[0, 0] @ z + torch.mv(z[0], w[0, 0]),
    "bmm": lambda z, w, x: torch.bmm(z, w) + linalg.matmul(w, z),
    "multi_dot": lambda z, w, x: linalg.multi_dot([z[0], w[0], z[0]]),
    "einsum": lambda z, w, x: torch.einsum("bij,bkj->bik", z, w) + torch.einsum("bij->bji", z),
    "outer": lambda z, w, x: torch.outer(z[0, 0], w[0, 0]) + torch.kron(z[0, :2, :2], w[0, :2, :2]),
    "dots": lambda z, w, x: torch.vdot(z[0, 0], w[0, 0]) + torch.dot(z[0, 0], w[0, 0]),
    "vecdot": lambda z, w, x: linalg.vecdot(z, w),
    "linear": lambda z, w, x: functional.linear(z, w[0], z[0, 0]),
    "vector_norm": lambda z, w, x: linalg.vector_norm(z, dim=-1) + linalg.vector_norm(w, 1),
    "size": lambda z, w, x: z * z.shape[0] + w.numel(),
}
# Of order 3, positive definite p and others.
MATRICES = {
    "inv": lambda z, p: linalg.inv(z),
    "inverse": lambda z, p: z.inverse(),
    "inv_ex": lambda z, p: linalg.inv_ex(z).inverse,
    "inv_ex, info": lambda z, p: linalg.inv_ex(z).info,
    "solve": lambda z, p: linalg.solve(z, p[..., :1]),
    "solve, vectors": lambda z, p: linalg.solve(z, p[..., 0]),
    "solve, a vector": lambda z, p: linalg.solve(z, p[0, 0]),
    "solve, right": lambda z, p: linalg.solve(z, p, left=False),
    "solve_ex": lambda z, p: linalg.solve_ex(z, p).result,
    "pinv, tall": lambda z, p: linalg.pinv(z[..., :2]),
    "pinv, wide": lambda z, p: linalg.pinv(z[..., :2, :]),
    "pinv, rank 1": lambda z, p: linalg.pinv(z[..., :1] @ z[..., :1, :], rtol=1e-5),
    "pinv, hermitian": lambda z, p: linalg.pinv(p, hermitian=True),
    "pinv, atol": lambda z, p: linalg.pinv(p, atol=0.1),
    "pinverse": lambda z, p: torch.pinverse(z),
    "cholesky": lambda z, p: linalg.cholesky(p),
    "cholesky, upper": lambda z, p: linalg.cholesky(p, upper=True),
    "cholesky, triangle": lambda z, p: linalg.cholesky(p.tril() + z.triu(1)),
    "cholesky_ex": lambda z, p: linalg.cholesky_ex(p).L,
    "cholesky_ex, info": lambda z, p: linalg.cholesky_ex(-p).info,
    "cholesky_solve": lambda z, p: torch.cholesky_solve(z, linalg.cholesky(p)),
    "cholesky_inverse": lambda z, p: torch.cholesky_inverse(linalg.cholesky(p)),
    "cholesky_inverse, upper": lambda z, p: torch.cholesky_inverse(
        linalg.cholesky(p, upper=True), upper=True
    ),
    "solve_triangular": lambda z, p: linalg.solve_triangular(p + z.tril(), z, upper=False),
    "solve_triangular, upper": lambda z, p: linalg.solve_triangular(p, z[..., :1], upper=True),
    "solve_triangular, right": lambda z, p: linalg.solve_triangular(p, z, upper=True, left=False),
    "solve_triangular, unit": lambda z, p: linalg.solve_triangular(
        z, p, upper=False, unitriangular=True
    ),
    "det": lambda z, p: linalg.det(z),
    "slogdet, sign": lambda z, p: linalg.slogdet(z).sign,
    "slogdet": lambda z, p: linalg.slogdet(z).logabsdet,
    "logdet": lambda z, p: torch.logdet(z),
    "svdvals": lambda z, p: linalg.svdvals(z[..., :2]),
    "eigvalsh": lambda z, p: linalg.eigvalsh(p),
    "matrix_rank": lambda z, p: linalg.matrix_rank(z[..., :1] @ z[..., :1, :]),
    "matrix_rank, tolerance": lambda z, p: linalg.matrix_rank(z, tol=0.5),
    "matrix_exp": lambda z, p: linalg.matrix_exp(z),
    "matrix_power": lambda z, p: linalg.matrix_power(z, 3),
}


class Planar(torch.nn.Module):
    """Functions of two complex and one real tensor, with real planes at the edges."""

    def __init__(self, *functions):
        super().__init__()
        self.functions = functions

    def forward(self, *inputs):
        z, w = torch.complex(*inputs[:2]), torch.complex(*inputs[2:4])
        found = [f(z, w, *inputs[4:]) for f in self.functions]
        return tuple(torch.view_as_real(y.resolve_conj()) if y.is_complex() else y for y in found)


def stack(seed, batch):
    """Planes of z and w, and x, of no structure."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(5, batch, 4, 4, generator=generator, dtype=torch.float64))


def matrices(seed, batch, dtype=torch.float64):
    """Planes of z, of no structure, and p, positive definite; condition numbers below 100."""
    re, im = (t[..., :3, :3] for t in stack(seed, batch)[:2])
    U, s, V = torch.linalg.svd(torch.complex(re, im))
    z = (U * (1 + s / s[..., :1] * 20)[..., None, :]) @ V
    p = z @ z.mH / 20
    return tuple(t.to(dtype).contiguous() for t in (z.real, z.imag, p.real, p.imag))


KAPPA = 100


def in_planes(functions, inputs, dynamic):
    batch = torch.export.Dim("batch", min=1)
    shapes = {"inputs": tuple({0: batch} for _ in inputs)} if dynamic else None
    return exportable_program(Planar(*functions), inputs, dynamic_shapes=shapes)


@functools.cache
def results(kind, dynamic):
    """What programs in planes give, and PyTorch, for each function."""
    table, make = KINDS[kind]
    program = in_planes(table.values(), make(0, 2), dynamic).module()
    inputs = make(1, 3 if dynamic else 2)
    found = zip(program(*inputs), Planar(*table.values())(*inputs), strict=True)
    return dict(zip(table, found, strict=True))


KINDS = {"entries": (ENTRIES, stack), "shapes": (SHAPES, stack), "matrices": (MATRICES, matrices)}
CASES = [(kind, name) for kind, (table, _) in KINDS.items() for name in table]


@pytest.mark.parametrize("dynamic", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind, name", CASES)
def test_same_in_planes(kind, name, dynamic):
    ours, theirs = results(kind, dynamic)[name]
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    # float64, order 4, condition numbers of a few hundred where anything is divided.
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12 * theirs.double().norm())


# In one file: for larger ones the exporter's time grows with the square of their nodes.
QUICK = "inv", "inv_ex, info", "solve, vectors", "cholesky", "cholesky_ex, info", "solve_triangular"
FILES = [
    *(pytest.param(torch.float32, QUICK, name) for name in QUICK),
    pytest.param(torch.float32, ("pinv, tall",), "pinv, tall"),
    *(pytest.param(torch.float32, (name,), name, marks=pytest.mark.slow) for name in MATRICES),
    *(pytest.param(torch.float64, (name,), name, marks=pytest.mark.slow) for name in MATRICES),
]


@functools.cache
def exported(dtype, names):
    """What a file gives, PyTorch in the same precision and in float64, for each function."""
    functions = [MATRICES[name] for name in names]
    program = in_planes(functions, matrices(0, 2, dtype), True)
    inputs = matrices(1, 5, dtype)
    found = run(export(program, None, dynamic=False), inputs)
    model = Planar(*functions)
    exact = model(*(t.double() for t in inputs))
    return dict(zip(names, zip(found, model(*inputs), exact, strict=True), strict=True))


@pytest.mark.parametrize("dtype, names, name", FILES)
def test_files_are_as_exact_as_pytorch(dtype, names, name):
    ours, theirs, exact = exported(dtype, names)[name]
    ours = torch.from_numpy(ours)
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    error, usual = ((x.double() - exact).norm() for x in (ours, theirs))
    if dtype == torch.float64:  # the exact one is PyTorch's own
        usual = 64 * torch.finfo(dtype).eps * KAPPA * exact.double().norm()
    assert error <= 4 * usual + 8 * torch.finfo(dtype).eps * exact.double().norm()


def test_where_pytorch_raises():
    """NaN for matrices without an inverse or a factor, and for them alone; info in _ex."""
    functions = [
        MATRICES[name] for name in ("inv", "inv_ex, info", "cholesky", "cholesky_ex, info")
    ]
    functions.append(lambda z, p: linalg.cholesky_ex(p).info)
    program = in_planes(functions, matrices(0, 2, torch.float32), True)
    good, bad = (list(matrices(1, 5, torch.float32)) for _ in range(2))
    bad[0][1], bad[1][1] = torch.ones(3, 3), torch.ones(3, 3)
    bad[2][2], bad[3][2] = -torch.eye(3), 0
    bad[2][3, 2, 2] = -1
    bad[0][4, 0, 0] = bad[3][4, 1, 0] = torch.nan
    proto = export(program, None, dynamic=False)
    inv, info, L, _, minor = (torch.from_numpy(y) for y in run(proto, bad))
    usual = [torch.from_numpy(y) for y in run(proto, good)]
    assert inv[[1, 4]].isnan().all()
    assert (inv[[0, 2, 3]] == usual[0][[0, 2, 3]]).all()
    assert info.tolist() == [0, 3, 0, 0, 3]
    assert L[[2, 3, 4]].tril().isnan().any(-1).any(-1).all()
    assert (L[[0, 1]] == usual[2][[0, 1]]).all()
    assert minor.tolist()[:4] == [0, 0, 1, 3]


def test_parameters_and_buffers_may_be_complex():
    class Steered(torch.nn.Module):
        steering: torch.Tensor

        def __init__(self):
            super().__init__()
            self.register_buffer("steering", MIX)
            self.inner = torch.nn.ParameterDict({"weight": MIX.mH.contiguous()})

        def forward(self, re, *, im):
            z = torch.complex(re, im) @ self.steering + self.inner["weight"]
            return {"re": z.real, "im": z.imag}

    re, im = torch.randn(2, 3, 2, 2, dtype=torch.float64)
    model = Steered()
    batch = torch.export.Dim("batch", min=1)
    shapes = {"re": {0: batch}, "im": {0: batch}}
    program = exportable_program(model, (re,), {"im": im}, dynamic_shapes=shapes)
    assert program.graph_signature.user_inputs == ("re", "im")
    assert not any(t.is_complex() for t in program.state_dict.values())
    found, expected = program.module()(re[:1], im=im[:1]), model(re[:1], im=im[:1])
    assert all(torch.allclose(found[k], expected[k]) for k in ("re", "im"))
