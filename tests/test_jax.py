"""JAX: the same inverses under jit, vmap, grad and sharding, with certificates that hold."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest

import deepmatrixinversion as dmx

DEVICES = "--xla_force_host_platform_device_count=8"
os.environ.setdefault("XLA_FLAGS", DEVICES)  # before JAX first looks for devices

jax = pytest.importorskip("jax")
pytestmark = pytest.mark.jax

import jax.numpy as jnp  # noqa: E402
from jax.sharding import AxisType, NamedSharding, PartitionSpec  # noqa: E402
from jax.test_util import check_grads  # noqa: E402

from deepmatrixinversion.jax import inv, inv_ex, pinv, sharded, solve  # noqa: E402
from deepmatrixinversion.jax.grid import Grid  # noqa: E402

RNG = np.random.default_rng(0)
A = RNG.normal(size=(20, 6, 6))
EPS = {np.float32: 2.0**-23, np.float64: 2.0**-52}


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def residual(M, X):
    """‖I - A X‖F of each, in float64."""
    M, X = np.asarray(M), np.asarray(X)
    return np.linalg.norm(np.eye(M.shape[-1]) - M @ X, axis=(-2, -1))


# --- functions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("shape", [(0, 3, 3), (2, 0, 0), (7, 1, 1), (2, 5, 4, 4), (20, 20)])
def test_inverses(dtype, shape):
    M = RNG.normal(size=shape) + 1j * RNG.normal(size=shape) * np.iscomplexobj(dtype())
    M = M.astype(dtype)
    X = inv(M)
    assert (X.shape, X.dtype) == (M.shape, M.dtype)
    if M.size:
        bound = 16 * shape[-1] * np.finfo(dtype).eps * np.linalg.cond(M.astype(complex))
        assert (residual(M, X) <= bound).all()
        assert np.abs(inv(M * 2.0**20) * 2.0**20 - X).max() == 0  # exact in powers of two


def test_solutions_and_pseudo_inverses():
    B = RNG.normal(size=(20, 6, 2))
    assert np.abs(solve(A, B) - np.linalg.solve(A, B)).max() < 1e-10
    assert np.abs(solve(A, B[0, :, 0]) - np.linalg.solve(A, B[0, :, 0])).max() < 1e-10
    assert solve(A[0].astype(np.float32), B[0].astype(np.float32)).dtype == jnp.float32
    for M in (A[:, :4], A[:, :, :4], A[:, :, :1] @ A[:, :1]):
        assert np.abs(pinv(M) - np.linalg.pinv(M, rtol=1e-7)).max() < 1e-9
    assert pinv(A[:, :4]).shape == (20, 6, 4)
    assert pinv(np.zeros((2, 0, 3))).shape == (2, 3, 0)


def test_transformations():
    M = jnp.asarray(A)
    close = {"rtol": 1e-9, "atol": 1e-12}
    np.testing.assert_allclose(jax.jit(inv)(M), inv(M), **close)
    np.testing.assert_allclose(jax.vmap(inv)(M), inv(M), **close)
    X = inv(M[0])
    G = jax.grad(lambda A: (inv(A) ** 2).sum())(M[0])
    np.testing.assert_allclose(G, -X.T @ (2 * X) @ X.T, rtol=1e-9)
    N = M[0] + 3 * jnp.eye(6)
    check_grads(inv, (N,), order=2)
    check_grads(solve, (N, M[1]), order=2)
    check_grads(pinv, (N[:4],), order=1)
    hessian = jax.vmap(jax.hessian(lambda A: inv(A).sum()))(M[:2])
    assert hessian.shape == (2, 6, 6, 6, 6)


def test_every_product_is_in_full_precision():
    """As compiled for any device: TF32 and bfloat16 are for those who ask for them."""
    for function in (inv, inv_ex, pinv, lambda A: solve(A, A), jax.grad(lambda A: inv(A).sum())):
        text = jax.jit(function).lower(jnp.asarray(A[0], jnp.float32)).as_text()
        products = re.findall(r"stablehlo\.dot_general.*", text)
        assert len(products) > 5
        assert all("precision = [HIGHEST, HIGHEST]" in line for line in products)


def test_what_cannot_be_is_refused():
    for M, message in (
        (np.ones((2, 3)), "square"),
        (np.ones(3), "square"),
        (np.ones((2, 2), int), "astype"),
        (jnp.ones((2, 2), jnp.bfloat16), "astype"),
    ):
        with pytest.raises(ValueError, match=message):
            inv(M)
    with pytest.raises(ValueError, match="fit"):
        solve(A, np.ones(5))
    with pytest.raises(ValueError, match="rtol"):
        pinv(A, rtol=1e-12)
    with pytest.raises(ValueError, match="real"):
        inv_ex(A + 1j)


# --- certificates ---------------------------------------------------------------------------------


def spread(kappa, n=8, count=30):
    """Matrices of this condition number."""
    U, V = (np.linalg.qr(RNG.normal(size=(count, n, n)))[0] for _ in "UV")
    return (U * np.geomspace(1, 1 / kappa, n)) @ V


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bounds_hold(dtype):
    """Against inverses that are proven right to the last bit, of matrices up to singular ones."""
    M = np.concatenate([spread(10.0**k) for k in range(14)])
    M = (M * np.geomspace(1, 2.0**30, 8)).astype(dtype)  # columns of many scales
    result, exact = jax.jit(inv_ex)(M), dmx.inv_ex(M.astype(float))
    X, bound = np.asarray(result.inverse, float), np.asarray(result.error_bound)
    rows, known = np.abs(X - exact.inverse).sum(-1), exact.certificate.certified
    error, beside = rows.max(-1), exact.certificate.error_bound
    assert known.sum() > 300
    assert (error <= bound + beside)[known].all()
    relative = np.asarray(result.relative_error_bound)
    allowed = relative[:, None] * np.abs(X).sum(-1) * (1 + 1e-9) + beside[:, None]
    assert (rows <= allowed)[known].all()
    wide = X.astype(np.longdouble)
    left = np.abs(np.eye(8) - wide @ M.astype(np.longdouble)).sum(-1).max(-1)
    assert (left <= np.asarray(result.residual_bound)).all()
    certified = np.asarray(result.certified)
    size = np.abs(X).sum(-1).max(-1)
    rtol = {np.float32: 1e-3, np.float64: 1e-6}[dtype]
    assert (error[certified] <= 1.01 * rtol * size[certified]).all()
    assert certified[:60].all()
    assert not certified[-30:].any()
    assert (np.isinf(bound) == np.isinf(relative)).all()
    assert 0 < np.isinf(bound).sum() < len(bound)


def test_what_is_never_certified():
    tiny = np.diag([1.0, 5e-324])
    bad = [
        np.ones((2, 2)),
        np.full((2, 2), np.nan),
        tiny,
        np.diag([1e308, 1e-308]),
        np.zeros((2, 2)),
    ]
    result = inv_ex(np.stack(bad))
    assert not result.certified.any()
    assert result.reason is None
    assert not inv_ex(np.diag([1.0, 1e-40]).astype(np.float32)).certified
    # An inverse that is wrong by 1e-3: proven to be no better.
    M = A[0] + 6 * np.eye(6)
    from deepmatrixinversion.jax.certificate import certified

    wrong = certified(jnp.asarray(M), jnp.asarray(np.linalg.inv(M) * 1.001), None)
    assert not wrong.certified
    assert 1e-3 <= wrong.residual_bound < 1.1e-3


def test_without_float64_nothing_is_certified_and_it_says_why():
    with jax.enable_x64(False):
        result = jax.jit(inv_ex)(A.astype(np.float32))
        assert not result.certified.any()
        assert "jax_enable_x64" in result.reason
        assert np.isinf(result.error_bound).all()
        assert pinv(A.astype(np.float32)).dtype == jnp.float32


# --- many devices ---------------------------------------------------------------------------------


def mesh_of(p, q, kind=AxisType.Auto):
    """p x q of the virtual devices."""
    return jax.make_mesh(
        (p, q), ("x", "y"), axis_types=(kind, kind), devices=jax.devices()[: p * q]
    )


def spread_out(M, mesh):
    """M, its rows over x and its columns over y."""
    return jax.device_put(M, NamedSharding(mesh, PartitionSpec("x", "y")))


def test_a_stack_over_devices_moves_nothing():
    assert len(jax.devices()) == 8
    mesh = jax.make_mesh((8,), ("d",), axis_types=(AxisType.Auto,))
    over = NamedSharding(mesh, PartitionSpec("d"))
    M = jax.device_put(RNG.normal(size=(64, 5, 5)), over)
    compiled = jax.jit(inv_ex, in_shardings=over).lower(M).compile()
    assert not re.search(r"all-|collective|reduce-scatter", compiled.as_text())
    result = compiled(M)
    assert result.inverse.sharding.is_equivalent_to(over, 3)
    assert (residual(M, result.inverse) < 1e-6).all()
    assert result.certified.mean() > 0.9


GRIDS = [(2, 2), (4, 2), (2, 4), (8, 1)]


@pytest.mark.parametrize("p, q", GRIDS)
def test_pieces_multiply_transpose_and_halve(p, q):
    grid = Grid(mesh_of(p, q), "x", "y")
    n = 6 * grid.groups
    M, N = RNG.normal(size=(2, n, n))
    S, T = spread_out(M, grid.mesh), spread_out(N, grid.mesh)
    product = grid.everywhere(Grid.product, "MM", "M")(S, T)
    np.testing.assert_allclose(product, M @ N, atol=n * 8 * EPS[np.float64] * 10)
    np.testing.assert_array_equal(grid.everywhere(Grid.transpose, "M", "M")(S), M.T)
    first = np.concatenate([g * 6 + np.arange(2) for g in range(grid.groups)])
    blocks = grid.everywhere(Grid.split, "M", "MMMM", h=2)(S)
    np.testing.assert_array_equal(blocks[0], M[np.ix_(first, first)])
    assert blocks[1].shape == (2 * grid.groups, 4 * grid.groups)
    np.testing.assert_array_equal(grid.everywhere(Grid.join, "MMMM", "M")(*blocks), M)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("p, q", [(2, 2), (4, 2)])
def test_one_matrix_over_devices_is_inverted_and_certified(monkeypatch, p, q, kind):
    monkeypatch.setattr(sharded, "LEAF", 16)
    n = 72
    M = RNG.normal(size=(n, n)) * np.geomspace(1, 2.0**30, n)  # columns of many scales
    S = spread_out(M, mesh_of(p, q, kind))
    result = sharded.inv_ex(S)
    assert result.certified
    assert result.inverse.sharding.spec == S.sharding.spec
    exact = dmx.inv_ex(M)
    error = np.abs(np.asarray(result.inverse) - exact.inverse).sum(-1).max()
    assert error <= result.error_bound + exact.certificate.error_bound
    with jax.enable_x64(False):
        single = sharded.inv_ex(spread_out(M.astype(np.float32), mesh_of(p, q, kind)))
        assert not single.certified
        assert "jax_enable_x64" in single.reason
        assert residual(M, single.inverse) < 0.1


def test_a_singular_leading_block_is_no_obstacle(monkeypatch):
    monkeypatch.setattr(sharded, "LEAF", 8)
    M = np.roll(np.eye(32), 8, axis=0) * RNG.uniform(1, 2, 32)
    S = spread_out(M, mesh_of(2, 2))  # first is the block of 8 rows from each half, which is zero
    grid = sharded.grid_of(S)
    halves = sharded._by_halves(grid, S, 0, 8)
    assert not residual(S, halves) < 1
    assert sharded.inv_ex(S).certified
    assert not sharded.inv_ex(S * 0).certified


def largest_array(text):
    """Entries of the largest array that the text of a compiled program names."""
    shapes = re.findall(r"[fsu]\d+\[([\d,]+)\]", text)
    return max(int(np.prod([int(k) for k in shape.split(",")])) for shape in shapes)


@pytest.mark.parametrize("p, q", [(2, 2), (4, 2)])
def test_no_device_ever_holds_the_whole_matrix(p, q):
    """Where JAX's own inverse gathers it on each."""
    n, devices = 512, p * q
    mesh = mesh_of(p, q)
    S = spread_out(RNG.normal(size=(n, n)).astype(np.float32), mesh)
    options = {"in_shardings": S.sharding, "out_shardings": S.sharding}

    def own(A):
        return sharded.inv(A, mesh=mesh, axes=("x", "y"))

    compiled = jax.jit(own, **options).lower(S).compile()
    assert largest_array(compiled.as_text()) <= n * n // 2
    m = compiled.memory_analysis()
    held = m.temp_size_in_bytes + m.argument_size_in_bytes + m.output_size_in_bytes
    assert held <= PIECES * n * n * 4 / devices
    its = jax.jit(jnp.linalg.inv, **options).lower(S).compile()
    assert largest_array(its.as_text()) >= n * n
    assert "HIGHEST" in jax.jit(own).lower(S).as_text()


PIECES = 30
"""What a device needs, in matrices over devices, the start from A^T included."""


def test_other_shardings_are_refused():
    mesh = mesh_of(4, 2)
    for M, message in (
        (jnp.eye(8), "must lie on a mesh"),
        (jax.device_put(np.eye(8), NamedSharding(mesh, PartitionSpec("x"))), "two axes"),
        (jax.device_put(np.ones((8, 16)), NamedSharding(mesh, PartitionSpec("x", "y"))), "square"),
        (
            jax.device_put(np.eye(8, dtype=int), NamedSharding(mesh, PartitionSpec("x", "y"))),
            "float",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            sharded.inv(M)
    with pytest.raises(ValueError, match="no multiple of 4"):
        sharded.inv(jnp.eye(6), mesh=mesh, axes=("x", "y"))
