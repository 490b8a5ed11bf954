"""What the inverse of one matrix spread over devices costs: products, bytes moved, memory.

    python benchmarks/scale.py --largest 8192 --markdown docs/scale.md

Programs are compiled for virtual devices of this machine, which tells what each device multiplies,
receives and holds; some are run. That for 64 devices and the order 100,000 is compiled, not run.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from deepmatrixinversion.jax import sharded
from page import arguments, table, write_page
from scale_program import Program

FLAGS = (
    "--xla_force_host_platform_device_count=64",
    # Many devices of few processors wait for one another.
    "--xla_cpu_collective_call_warn_stuck_timeout_seconds=600",
    "--xla_cpu_collective_call_terminate_timeout_seconds=3600",
)

HUGE, RATE, LINK = 100_000, 30e12, 50e9
"""The order that is compiled for 64 devices; float64 operations and bytes a second, assumed."""

GRIDS = [(2, 2), (4, 2), (8, 8)]


def spread_over(p: int, q: int) -> NamedSharding:
    """Rows over p and columns over q devices."""
    mesh = jax.make_mesh(
        (p, q), ("x", "y"), axis_types=(AxisType.Auto,) * 2, devices=jax.devices()[: p * q]
    )
    return NamedSharding(mesh, PartitionSpec("x", "y"))


class Cost(NamedTuple):
    """Of one device: products of whole matrices over devices, pieces received, pieces held."""

    products: float
    received: float
    held: float
    anew: float


def held(compiled: Any) -> int:
    """Bytes that a device needs at most."""
    m = compiled.memory_analysis()
    return m.temp_size_in_bytes + m.argument_size_in_bytes + m.output_size_in_bytes


def compiled_for(function: Callable[[Any], Any], n: int, over: NamedSharding) -> Any:
    """The program for matrices of order n, none of which need exist."""
    A = jax.ShapeDtypeStruct((n, n), jnp.float64, sharding=over)
    return jax.jit(function).lower(A).compile()


def cost(n: int, over: NamedSharding) -> Cost:
    """Of `sharded.inv_ex`."""
    compiled = compiled_for(lambda A: sharded.inv_ex(A, mesh=over.mesh, axes=("x", "y")), n, over)
    program, devices = Program(compiled.as_text()), over.mesh.size
    work, piece = program.work(), 8 * n * n / devices
    product = 2 * n**3 / devices
    anew = max(branch.flops for branch in program.branches())
    return Cost(work.flops / product, work.received / piece, held(compiled) / piece, anew / product)


def costs() -> str:
    """The table of costs, beside JAX's own inverse."""
    rows = []
    for p, q in GRIDS:
        over = spread_over(p, q)
        for n in (1024, 2048):
            c = cost(n, over)
            own = held(compiled_for(jnp.linalg.inv, n, over)) / (8 * n * n / (p * q))
            figures = (c.products, c.received, c.held, c.anew, own)
            rows.append([f"{p} x {q}", n, *(f"{x:.1f}" for x in figures)])
    heads = ["devices", "n", "products", "received", "held", "products anew", "held by JAX's own"]
    return table(heads, rows)


def runs(largest: int) -> str:
    """Normal matrices inverted over eight devices, up to this order."""
    over = spread_over(4, 2)
    rows = []
    for n in [n for n in (1024, 2048, 4096, 8192) if n <= largest]:
        A = jax.device_put(np.random.default_rng(n).normal(size=(n, n)), over)
        begun = time.perf_counter()
        result = jax.block_until_ready(sharded.inv_ex(A))
        seconds = time.perf_counter() - begun
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        bounds = (f"{float(x):.1e}" for x in (result.residual_bound, result.relative_error_bound))
        answer = "yes" if result.certified else "no"
        rows.append([n, answer, *bounds, f"{seconds:.0f} s", f"{used:.1f} GiB"])
        print(rows[-1], flush=True)
    heads = ["n", "certified", "‖I - AX‖ at most", "relative error at most", "time", "process"]
    return table(heads, rows)


def huge() -> str:
    """One device of 64, for the order 100,000."""
    c, devices = cost(HUGE, spread_over(8, 8)), 64
    piece, product = 8 * HUGE**2 / devices, 2 * HUGE**3 / devices
    flops, received = c.products * product, c.received * piece
    rows = [
        ["products", f"{c.products:.1f}", f"{flops:.2e} operations", f"{flops / RATE:.0f} s"],
        ["received", f"{c.received:.1f}", f"{received / 1e9:.0f} GB", f"{received / LINK:.0f} s"],
        ["held", f"{c.held:.1f}", f"{c.held * piece / 1e9:.1f} GB", ""],
    ]
    return table(["one device of 64", "in matrices over devices", "that is", "time, assumed"], rows)


def main() -> None:
    """Measure, and write the page."""
    args = arguments(__doc__, largest=4096).parse_args()
    os.environ["XLA_FLAGS"] = " ".join(FLAGS)  # before JAX looks for devices
    jax.config.update("jax_enable_x64", True)
    parts = {"costs": costs(), "huge": huge(), "runs": runs(args.largest)}
    said = {"order": HUGE, "rate": RATE / 1e12, "link": LINK / 1e9}
    write_page(args.markdown, "scale", **parts, **said)


if __name__ == "__main__":
    main()
