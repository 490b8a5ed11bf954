"""The inverse of one matrix that no device holds: products of its pieces, and nothing else.

.. math:: \\begin{pmatrix} A_{11} & B \\\\ C & D \\end{pmatrix}^{-1} = \\begin{pmatrix}
    Y + Y B Z C Y & -Y B Z \\\\ -Z C Y & Z \\end{pmatrix}, \\quad
    Y = A_{11}^{-1},\\; Z = (D - C Y B)^{-1}

as in `linalg.schur`, with blocks that lie on all devices evenly (`grid`). Blocks of order up to
``LEAF`` are inverted by every device for itself; those of order n/16, if that is more, by minimal
residual steps from A^T over all devices, which together cost 5 % of the whole: a finer recursion
would take longer to compile and to exchange. Where it leaves a residual of 1 or more, since a
leading block is singular or nearly so, such steps start anew from the whole A^T.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import NamedSharding

from deepmatrixinversion.jax.certificate import (
    Bounds,
    InverseResult,
    bounds,
    doubled,
    judged,
    uncertified,
    why_not,
)
from deepmatrixinversion.jax.grid import Grid, GridSpace
from deepmatrixinversion.jax.iterations import (
    algebra,
    full_precision,
    minimal_residual_inverse,
)
from deepmatrixinversion.linalg import balance, minimal_residual
from deepmatrixinversion.linalg.algebra import Algebra, candidate

LEAF = 64
"""Order up to which every device inverts for itself."""

LEAVES = 16
"""As many blocks at most, if they are larger than that."""

INNER, FINAL = 1, 2
"""Newton-Schulz steps after each level of the recursion, and at its end."""


def grid_of(A: Any, mesh: Any = None, axes: tuple[str, str] | None = None) -> Grid:
    """The grid that A lies on, or is said to.

    Raises
    ------
    ValueError
        where A's two axes are not spread over one axis of a mesh each, evenly
    """
    if mesh is None or axes is None:
        sharding = getattr(A, "sharding", None)
        spec: tuple[Any, ...] = tuple(getattr(sharding, "spec", ()))
        if not isinstance(sharding, NamedSharding) or not all(isinstance(x, str) for x in spec):
            raise ValueError(
                f"A must lie on a mesh with rows over one axis and columns over another, not as "
                f"{sharding}; put it there with jax.device_put, or name mesh and axes"
            )
        mesh, names = sharding.mesh, spec
    else:
        names = axes
    if A.ndim != 2 or A.shape[0] != A.shape[1] or len(set(names)) != 2:
        raise ValueError(f"one square matrix over two axes of a mesh, not {A.shape} over {names}")
    grid = Grid(mesh, names[0], names[1])
    if not A.shape[0] or A.shape[0] % grid.groups:
        raise ValueError(
            f"the order {A.shape[0]} is no multiple of {grid.groups}, the groups of a grid of "
            f"{grid.shape}: pad A with the identity"
        )
    return grid


def inv(A: Any, *, mesh: Any = None, axes: tuple[str, str] | None = None) -> Array:
    """The inverse of one matrix spread over a mesh, spread in the same way.

    Parameters
    ----------
    A : (n, n) Array
        float32, or float64 where ``jax_enable_x64`` is on; n a multiple of the least common
        multiple of the mesh's two lengths
    mesh : jax.sharding.Mesh, optional
        as A's own, which is not known within ``jit``
    axes : (str, str), optional
        the mesh's axes that rows and columns lie over

    Returns
    -------
    (n, n) Array

    Raises
    ------
    ValueError
        for another dtype, shape or sharding

    Notes
    -----
    Cost: some 9 products of order n, and 19 to 26 pieces of memory on a device: ``docs/scale.md``.
    """
    return _inverse(A, grid_of(A, mesh, axes))


def inv_ex(
    A: Any, *, mesh: Any = None, axes: tuple[str, str] | None = None, rtol: float | None = None
) -> InverseResult:
    """`inv` with its certificate, by one product and row sums.

    Only where `functions.inv_ex` certifies. Parameters and errors are those of `inv`.
    """
    grid = grid_of(A, mesh, axes)
    X = _inverse(A, grid)
    n = A.shape[0]
    reason = why_not(n)
    if reason is not None:
        return uncertified(X, (), reason)

    found = Bounds(*grid.everywhere(_bounds, "MM", "vvvv", n=n)(A, X))
    return judged(X, Bounds(*(x[0, 0] for x in found)), rtol)


@full_precision
def _inverse(A: Any, grid: Grid) -> Array:
    if A.dtype not in (jnp.float32, jnp.float64):
        raise ValueError(f"float32 or float64 is needed, not {A.dtype}")
    S, r, c = grid.everywhere(_balanced, "M", "Mvv")(A)
    X = _by_halves(grid, S, FINAL, max(LEAF, A.shape[0] // LEAVES, grid.groups))
    X = grid.everywhere(_unless_failed, "MM", "M")(S, X)
    return grid.everywhere(_unbalanced, "Mvv", "M")(X, r, c)


def _by_halves(grid: Grid, A: Array, steps: int, leaf: int) -> Array:
    """The recursion, with Newton-Schulz steps after each level."""
    n = A.shape[0]
    if n <= leaf:
        return grid.everywhere(_alone if n <= max(LEAF, grid.groups) else _together, "M", "M")(A)
    h = n // grid.groups // 2
    A11, B, C, D = grid.everywhere(Grid.split, "M", "MMMM", h=h)(A)
    Y = _by_halves(grid, A11, INNER, leaf)
    YB, CY, S = grid.everywhere(_schur, "MMMM", "MMM")(Y, B, C, D)
    del A11, B, C, D
    Z = _by_halves(grid, S, INNER, leaf)
    del S
    return grid.everywhere(_joined, "MMMMM", "M", steps=steps)(A, Y, Z, YB, CY)


# Of what follows, arguments and results are the pieces of one device.


def _bounds(grid: Grid, A: Array, X: Array, n: int) -> tuple[Array, ...]:
    A, X = doubled(A), doubled(X)
    return tuple(bounds(grid.sums(grid.identity(A)), A, X, n))


def _space(grid: Grid, A: Array) -> Algebra:
    return algebra(A.shape[0] * grid.shape[0], grid.identity(A), GridSpace(grid))


def _balanced(grid: Grid, A: Array) -> tuple[Array, Array, Array]:
    """S of ‖S‖F near 1, with A = r S c, r and c powers of two."""
    S, r, c = balance.equilibrated(grid.powers(), A)
    S, e, f = balance.scaled(grid.powers(), S, GridSpace(grid).norm)
    return S, grid.whole(r * f, grid.rows), grid.whole(c * e, grid.columns)


def _unbalanced(grid: Grid, X: Array, r: Array, c: Array) -> Array:
    rows = grid.part(c, grid.rows, X.shape[0])[:, None]
    return X / rows / grid.part(r, grid.columns, X.shape[1])


def _blocks(order: int, A: Array) -> int:
    return minimal_residual.default_blocks(order, A.dtype == jnp.float64)


def _alone(grid: Grid, A: Array) -> Array:
    """By every device for itself."""
    whole = grid.gathered(A)
    blocks = _blocks(whole.shape[0], whole)
    return grid.piece(minimal_residual_inverse(whole, blocks), A)


def _together(grid: Grid, A: Array) -> Array:
    S, r, c = _balanced(grid, A)
    return _unbalanced(grid, _from_transpose(grid, S), r, c)


def _from_transpose(grid: Grid, A: Array) -> Array:
    """Minimal residual steps from A^T, for ‖A‖F near 1."""
    a = _space(grid, A)
    start = candidate(a, A, grid.transpose(A))
    step = partial(minimal_residual.step, a, A)
    return lax.fori_loop(0, _blocks(a.order, A), lambda _, old: step(old), start).X


def _schur(grid: Grid, Y: Array, B: Array, C: Array, D: Array) -> tuple[Array, Array, Array]:
    YB = grid.product(Y, B)
    return YB, grid.product(C, Y), D - grid.product(C, YB)


def _joined(grid: Grid, A: Array, Y: Array, Z: Array, YB: Array, CY: Array, steps: int) -> Array:
    ZCY = grid.product(Z, CY)
    X = grid.join(Y + grid.product(YB, ZCY), -grid.product(YB, Z), -ZCY, Z)
    return minimal_residual.newton_schulz(_space(grid, A), A, X, steps)


def _unless_failed(grid: Grid, A: Array, X: Array) -> Array:
    """X, unless its residual is 1 or more: then what starts from A^T."""
    found = candidate(_space(grid, A), A, X)
    return lax.cond(found.norm[0, 0] < 1, lambda: X, lambda: _from_transpose(grid, A))
