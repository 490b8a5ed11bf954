"""JAX on many devices: stacks, and one matrix that none of them ever holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest

import deepmatrixinversion as dmx

# Where little of a processor is to be had, eight devices wait for one another longer than 40 s.
DEVICES = (
    "--xla_force_host_platform_device_count=8 "
    "--xla_cpu_collective_call_terminate_timeout_seconds=300"
)
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {DEVICES}"  # before JAX looks for any

jax = pytest.importorskip("jax")
pytestmark = pytest.mark.jax

import jax.numpy as jnp  # noqa: E402
from jax.sharding import AxisType, NamedSharding, PartitionSpec  # noqa: E402

from deepmatrixinversion.jax import inv_ex, sharded  # noqa: E402
from deepmatrixinversion.jax.grid import Grid  # noqa: E402
from scale_program import Program  # noqa: E402
from truth import residuals  # noqa: E402

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def test_importing_starts_no_devices():
    """Flags may still be set."""
    text = (
        "import os, jax, deepmatrixinversion.jax.sharded\n"
        f"os.environ['XLA_FLAGS'] = '{DEVICES}'\n"
        "assert len(jax.devices()) == 8"
    )
    without = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    subprocess.run([sys.executable, "-c", text], env=without, check=True)


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
    assert (residuals(M, result.inverse) < 1e-6).all()
    assert result.certified.mean() > 0.9


GRIDS = [(2, 2), (4, 2), (2, 4), (8, 1)]


@pytest.mark.parametrize("p, q", GRIDS)
def test_pieces_multiply_transpose_and_halve(p, q):
    grid = Grid(mesh_of(p, q), "x", "y")
    n = 6 * grid.groups
    M, N = RNG.normal(size=(2, n, n))
    S, T = spread_out(M, grid.mesh), spread_out(N, grid.mesh)
    product = grid.everywhere(Grid.product, "MM", "M")(S, T)
    np.testing.assert_allclose(product, M @ N, atol=n * 8 * 2.0**-52 * 10)
    np.testing.assert_array_equal(grid.everywhere(Grid.transpose, "M", "M")(S), M.T)
    first = np.concatenate([g * 6 + np.arange(2) for g in range(grid.groups)])
    blocks = grid.everywhere(Grid.split, "M", "MMMM", h=2)(S)
    np.testing.assert_array_equal(blocks[0], M[np.ix_(first, first)])
    assert blocks[1].shape == (2 * grid.groups, 4 * grid.groups)
    np.testing.assert_array_equal(grid.everywhere(Grid.join, "MMMM", "M")(*blocks), M)


@pytest.mark.parametrize(
    "p, q, kind, n",
    [(2, 2, AxisType.Auto, 72), (4, 2, AxisType.Auto, 64), (2, 2, AxisType.Explicit, 64)],
)
def test_one_matrix_over_devices_is_inverted_and_certified(monkeypatch, p, q, kind, n):
    monkeypatch.setattr(sharded, "LEAF", 16)
    scales = np.geomspace(1, 2.0**20, n)  # rows and columns of many
    rows = RNG.permutation(scales)
    M = rows[:, None] * RNG.normal(size=(n, n)) * scales
    S = spread_out(M, mesh_of(p, q, kind))
    result = sharded.inv_ex(S)
    assert result.certified
    assert result.inverse.sharding.is_equivalent_to(S.sharding, 2)
    exact = dmx.inv_ex(M)
    error = np.abs(np.asarray(result.inverse) - exact.inverse).sum(-1).max()
    assert error <= result.error_bound + exact.certificate.error_bound
    with jax.enable_x64(False):
        single = sharded.inv_ex(spread_out(M.astype(np.float32), mesh_of(p, q, kind)))
        assert not single.certified
        assert np.isinf(single.error_bound)
        assert "jax_enable_x64" in str(single.reason)
        assert residuals(M / rows[:, None], single.inverse * rows) < 0.1


def test_a_singular_leading_block_is_no_obstacle(monkeypatch):
    monkeypatch.setattr(sharded, "LEAF", 8)
    M = np.roll(np.eye(32), 8, axis=0) * RNG.uniform(1, 2, 32)
    S = spread_out(M, mesh_of(2, 2))  # first is the block of 8 rows from each half, which is zero
    grid = sharded.grid_of(S)
    halves = sharded._by_halves(grid, S, 0, 8)
    assert not residuals(S, halves) < 1
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
    products = re.findall(r" dot\(.*", compiled.as_text())
    assert len(products) > 20
    assert all("operand_precision={highest,highest}" in line for line in products)


PIECES = 30
"""What a device needs, in matrices over devices, the start from A^T included."""


def test_what_a_program_does_is_counted_from_its_text():
    """A product in as many panels as make one, each received once."""
    n, p, q = 64, 4, 2
    over = spread_out(np.ones((n, n)), mesh_of(p, q))
    product = Grid(over.sharding.mesh, "x", "y").everywhere(Grid.product, "MM", "M")
    work = Program(jax.jit(product).lower(over, over).compile().as_text()).work()
    assert work.flops == 2 * n**3 / (p * q)
    assert work.received == 8 * n * n * ((q - 1) / q / p + (p - 1) / p / q)


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
