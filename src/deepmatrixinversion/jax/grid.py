"""One matrix spread over a grid of devices: products, transposes and sums within ``shard_map``.

On a grid of p x q devices, rows over p and columns over q, every axis of length n consists of L
*groups* of n / L, L the least common multiple of p and q, so that each device holds whole groups of
rows and of columns. The first h of each group make a block of order L h that lies on all devices
evenly: matrices are halved without moving anything. No device ever gathers more than its panels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import Mesh, PartitionSpec

from deepmatrixinversion.jax.certificate import Sums
from deepmatrixinversion.jax.iterations import floor_power
from deepmatrixinversion.linalg.balance import Powers

T = TypeVar("T")


class Grid(NamedTuple):
    """The axes of a mesh that rows and columns are spread over."""

    mesh: Mesh
    rows: str
    columns: str

    @property
    def shape(self) -> tuple[int, int]:
        """p and q."""
        return self.mesh.shape[self.rows], self.mesh.shape[self.columns]

    @property
    def groups(self) -> int:
        """L."""
        return math.lcm(*self.shape)

    @property
    def spec(self) -> Any:
        """How a matrix lies."""
        return PartitionSpec(self.rows, self.columns)

    def everywhere(
        self, function: Callable[..., T], takes: str, gives: str, **options: int
    ) -> Callable[..., T]:
        """``function`` of a grid and pieces as one of whole arrays, compiled once.

        Of matrices, "M", it sees the device's own piece; the rest, vectors and numbers, "v", every
        device has whole.
        """
        return _compiled(self, function, takes, gives, tuple(options.items()))

    # Of what follows, arguments and results are the pieces of one device.

    def _grouped(self, M: Array) -> Array:
        """(L/p, group, L/q, group) of a piece."""
        (p, q), L = self.shape, self.groups
        return M.reshape(L // p, M.shape[0] * p // L, L // q, M.shape[1] * q // L)

    def product(self, M: Array, N: Array) -> Array:
        """M N: in turn, as many columns of M and rows of N as a device holds are gathered.

        Each device receives its panels once: (q - 1)/q m k/p + (p - 1)/p k n/q entries for
        (m, k) times (k, n).
        """
        L = self.groups
        left, right = self._grouped(M), self._grouped(N)
        steps = math.gcd(left.shape[3], L) if left.shape[3] else 1
        width = left.shape[3] // steps

        def add(t: Any, C: Array) -> Array:
            a = lax.dynamic_slice_in_dim(left, t * width, width, 3)
            b = lax.dynamic_slice_in_dim(right, t * width, width, 1)
            a = lax.all_gather(a.reshape(*M.shape[:1], -1), self.columns, axis=1, tiled=True)
            b = lax.all_gather(b.reshape(-1, *N.shape[1:]), self.rows, axis=0, tiled=True)
            return C + jnp.matmul(a, b, precision=lax.Precision.HIGHEST)

        start = jnp.zeros((M.shape[0], N.shape[1]), M.dtype)
        return lax.fori_loop(0, steps, add, start)

    def identity(self, M: Array) -> Array:
        """The piece of the identity that lies as M's."""
        i = lax.axis_index(self.rows) * M.shape[0] + jnp.arange(M.shape[0])
        j = lax.axis_index(self.columns) * M.shape[1] + jnp.arange(M.shape[1])
        return (i[:, None] == j).astype(M.dtype)

    def transpose(self, M: Array) -> Array:
        """M^T of a square matrix, a group of rows at a time."""
        (p, q), L = self.shape, self.groups
        rows = self._grouped(M)
        b = rows.shape[1]

        def put(g: Any, T: Array) -> Array:
            held, at = g // (L // p), g % (L // p)
            mine = lax.dynamic_index_in_dim(rows, at, 0, keepdims=False).reshape(b, -1)
            mine = jnp.where(lax.axis_index(self.rows) == held, mine, 0)
            group = lax.all_gather(lax.psum(mine, self.rows), self.columns, axis=1, tiled=True)
            first = lax.axis_index(self.rows) * T.shape[0]
            part = lax.dynamic_slice_in_dim(group, first, T.shape[0], 1).T
            column = (g % (L // q)) * b
            old = lax.dynamic_slice_in_dim(T, column, b, 1)
            new = jnp.where(lax.axis_index(self.columns) == g // (L // q), part, old)
            return lax.dynamic_update_slice_in_dim(T, new, column, 1)

        return lax.fori_loop(0, L, put, jnp.zeros_like(M))

    def split(self, M: Array, h: int) -> tuple[Array, Array, Array, Array]:
        """The four blocks of M, of which the first has the first h of each group."""
        G = self._grouped(M)
        halves = (slice(None, h), slice(h, None))
        upper, lower = ([self._flat(G[:, r, :, c]) for c in halves] for r in halves)
        return upper[0], upper[1], lower[0], lower[1]

    def join(self, A: Array, B: Array, C: Array, D: Array) -> Array:
        """The matrix of four blocks."""
        upper, lower = ([self._grouped(M) for M in pair] for pair in ((A, B), (C, D)))
        rows = [jnp.concatenate(pair, axis=3) for pair in (upper, lower)]
        return self._flat(jnp.concatenate(rows, axis=1))

    def _flat(self, G: Array) -> Array:
        return G.reshape(G.shape[0] * G.shape[1], -1)

    def gathered(self, M: Array) -> Array:
        """The whole of a small matrix, on every device."""
        M = lax.all_gather(M, self.rows, axis=0, tiled=True)
        return lax.all_gather(M, self.columns, axis=1, tiled=True)

    def whole(self, v: Array, axis: str) -> Array:
        """A column or row of which each device has its part, as a vector, on every device."""
        return lax.all_gather(v.reshape(-1), axis, tiled=True)

    def part(self, v: Array, axis: str, length: int) -> Array:
        """This device's part of such a vector."""
        return lax.dynamic_slice_in_dim(v, lax.axis_index(axis) * length, length)

    def piece(self, whole: Array, like: Array) -> Array:
        """This device's piece of what every device has."""
        i = lax.axis_index(self.rows) * like.shape[0]
        j = lax.axis_index(self.columns) * like.shape[1]
        return lax.dynamic_slice(whole, (i, j), like.shape)

    def powers(self) -> Powers:
        """What scaling needs."""

        def largest(x: Array, axis: int) -> Array:
            along = self.columns if axis == -1 else self.rows
            return lax.pmax(x.max(axis=axis, keepdims=True), along)

        return Powers(floor_power, largest)

    def sums(self, one: Array) -> Sums:
        """What a certificate needs."""

        def weighted(X: Array, a: Array) -> Array:
            # The row sums of A lie with rows; X needs them with its columns.
            own = self.part(self.whole(a, self.rows), self.columns, X.shape[1])[:, None]
            product = jnp.matmul(abs(X), own, precision=lax.Precision.HIGHEST)
            return lax.psum(product, self.columns)

        return Sums(
            self.product,
            lambda A: lax.psum(abs(A).sum(axis=1, keepdims=True), self.columns),
            weighted,
            lambda x: lax.pmax(x.max(axis=0, keepdims=True), self.rows),
            lambda x: lax.psum(x.sum(axis=0, keepdims=True), self.rows),
            one,
        )


class GridSpace(NamedTuple):
    """`linalg.polynomial.Space` for pieces: inner products are summed over all devices."""

    grid: Grid

    def product(self, a: Array, b: Array) -> Array:
        """The product of the whole matrices."""
        return self.grid.product(a, b)

    def inner(self, a: Array, b: Array) -> Array:
        """<a, b>."""
        return lax.psum((a * b).sum(keepdims=True), (self.grid.rows, self.grid.columns))

    def norm(self, a: Array) -> Array:
        """‖a‖F, at least 1e-18."""
        return self.inner(a, a).clip(1e-36) ** 0.5


@functools.lru_cache(maxsize=256)
def _compiled(
    grid: Grid, function: Callable[..., T], takes: str, gives: str, options: tuple[Any, ...]
) -> Callable[..., T]:
    specs = {"M": grid.spec, "v": PartitionSpec()}
    ins, outs = ([specs[kind] for kind in kinds] for kinds in (takes, gives))
    mapped = jax.shard_map(
        functools.partial(function, grid, **dict(options)),
        mesh=grid.mesh,
        in_specs=tuple(ins),
        out_specs=tuple(outs) if len(outs) > 1 else outs[0],
        check_vma=False,
    )
    compiled = jax.jit(mapped)

    @functools.wraps(function)
    def in_turn(*arrays: Any) -> T:
        return jax.block_until_ready(compiled(*arrays))

    # Of several programs at once, those of one processor's devices wait for one another for ever.
    return in_turn if grid.mesh.devices.flat[0].platform == "cpu" else compiled
