"""The functions that stand in for their namesakes, lazily on Dask arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import dask.array as da
import numpy as np
from dask.base import tokenize

from deepmatrixinversion import kernel
from deepmatrixinversion.inference import functions as by_numpy
from deepmatrixinversion.inference import pseudoinverse
from deepmatrixinversion.inference.arrays import as_array
from deepmatrixinversion.inference.functions import Model
from deepmatrixinversion.inference.labels import answer_labels, unlabelled
from deepmatrixinversion.linalg.certificate import Certificate
from deepmatrixinversion.linalg.engine import Inversion

P = ParamSpec("P")
T = TypeVar("T")

PATHS = {
    (0,): np.float64,
    (1, 0): np.bool_,
    (1, 1): np.float64,
    (1, 2): np.float64,
    (1, 3): np.float64,
    (2,): np.int64,
}
"""Where the arrays of an ``Inversion`` are, and of which dtype (the inverse's own is A's)."""


def inv(A: Any, *, model: Model | None = None, rtol: float | None = None) -> Any:
    """Certified inverses, as `deepmatrixinversion.inv` has them.

    Parameters
    ----------
    A : (..., n, n) dask.array.Array
        chunked over the stack alone; or an xarray ``DataArray`` of one, which keeps its names
    model, rtol
        as there; a model directory must be found under its name by every worker

    Returns
    -------
    (..., n, n) dask.array.Array
        chunked as A, one task a block. Computing it raises ``SingularMatrixError``, naming the
        block, where a matrix is not certified, and ``ValueError`` for NaN and infinities.

    Raises
    ------
    ValueError
        at once, for another dtype or shape, and where matrices are cut into several chunks

    Notes
    -----
    A task takes one thread of the compiled kernel: Dask runs as many tasks as there are processors.
    """
    return _by_block(by_numpy.inv, A, square=True, model=model, rtol=rtol)


def pinv(A: Any, *, rtol: float | None = None) -> Any:
    """Moore-Penrose inverses (..., n, m) of (..., m, n), as `deepmatrixinversion.pinv` has them.

    Parameters and errors are those of `inv`, but that nothing wants a certificate.
    """
    return _by_block(pseudoinverse.pinv, A, square=False, rtol=rtol)


def inv_ex(
    A: Any, *, model: Model | None = None, rtol: float | None = None, tol: float | None = None
) -> Inversion:
    """Inverses with certificates, whatever they say, as `deepmatrixinversion.inv_ex` has them.

    Parameters and errors are those of `inv`; nothing raises for want of a certificate.

    Returns
    -------
    Inversion
        of dask arrays, chunked as A: compute them together, and each block is inverted once

    Notes
    -----
    One task a block inverts, and one more for each array that is asked for takes it out: what is
    computed or stored on its own has a key of its own in Dask's graph, block by block.
    """
    labels = answer_labels({"A": A})
    A = _stack(unlabelled(A), "A", square=True)
    axes = tuple(range(A.ndim))
    options = {"model": model, "rtol": rtol, "tol": tol}
    inverted = da.blockwise(
        functools.partial(_blockwise, by_numpy.inv_ex, options),
        axes,
        A,
        axes,
        dtype=object,
        meta=np.empty((0,) * A.ndim, dtype=object),
        name=f"inversion-{tokenize(A, options)}",
    )
    fields = [
        _field(inverted, path, _floating(A.dtype) if path == (0,) else dtype)
        for path, dtype in PATHS.items()
    ]
    inverse = fields[0] if labels is None else labels(fields[0])
    return Inversion(inverse, Certificate(*fields[1:5]), fields[5])


def solve(A: Any, B: Any, *, model: Model | None = None, rtol: float | None = None) -> Any:
    """Certified solutions of A Y = B, as `deepmatrixinversion.solve` has them.

    Parameters
    ----------
    A : (..., n, n) dask.array.Array
        as for `inv`
    B : (n,) or (..., n, p) dask.array.Array
        chunked over the stack alone. Either may be a NumPy array.

    Returns
    -------
    (..., n) or (..., n, p) dask.array.Array

    Raises
    ------
    ValueError
        as for `inv`, also for shapes that do not fit
    """
    labels = answer_labels({"A": A, "B": B})
    A = _stack(unlabelled(A), "A", square=True)
    B = _stack(unlabelled(B), "B", square=False, vector=True)
    stack = max(A.ndim - 2, B.ndim - 2, 0)
    row, column, right = stack, stack + 1, stack + 2
    if A.shape[-1] != B.shape[-2 if B.ndim > 1 else 0]:
        raise ValueError(f"A of shape {A.shape} and B of shape {B.shape} do not fit together")
    batch_A = tuple(range(stack - (A.ndim - 2), stack))
    batch_B = tuple(range(stack - (B.ndim - 2), stack)) if B.ndim > 1 else ()
    columns = (right,) * (B.ndim > 1)
    out = (*range(stack), column, *columns)
    dtype = np.result_type(_floating(A.dtype), _floating(B.dtype))
    options = {"model": model, "rtol": rtol}
    Y = da.blockwise(
        functools.partial(_blockwise, by_numpy.solve, options),
        out,
        A,
        (*batch_A, row, column),
        B,
        (*batch_B, row, *columns),
        dtype=dtype,
        meta=np.empty((0,) * len(out), dtype=dtype),
        name=f"solve-{tokenize(A, B, options)}",
    )
    return Y if labels is None else labels(Y)


def _by_block(function: Callable[..., Any], A: Any, *, square: bool, **options: Any) -> Any:
    """A function from matrices to matrices of transposed shape, on each block."""
    labels = answer_labels({"A": A})
    A = _stack(unlabelled(A), "A", square=square)
    dtype = _floating(A.dtype)
    X = da.map_blocks(
        _named,
        A,
        function=function,
        options=options,
        dtype=dtype,
        chunks=(*A.chunks[:-2], A.chunks[-1], A.chunks[-2]),
        meta=np.empty((0,) * A.ndim, dtype=dtype),
        name=f"{function.__name__}-{tokenize(A, options)}",
    )
    return X if labels is None else labels(X)


def _floating(dtype: np.dtype) -> np.dtype:
    """The dtype of inverses of matrices of this one."""
    return dtype.newbyteorder("=") if dtype.kind in "fc" else np.dtype(np.float64)


def _stack(A: Any, name: str, *, square: bool, vector: bool = False) -> Any:
    """A as a dask array whose matrices lie in one chunk each."""
    A = da.asarray(A)
    as_array(np.empty(0, A.dtype), name)
    if A.ndim < 2 - vector or (square and A.shape[-1] != A.shape[-2]):
        kind = "square matrices (..., n, n)" if square else "matrices (..., m, n)"
        raise np.linalg.LinAlgError(f"{name} must hold {kind}, not be of shape {A.shape}")
    if any(len(c) > 1 for c in A.chunks[-2:]):
        axes = "-1: -1" if A.ndim == 1 else "-2: -1, -1: -1"
        raise ValueError(
            f"the matrices of {name} are cut into chunks {A.chunks[-2:]}, and each must lie in "
            f"one: pass {name}.rechunk({{{axes}}})"
        )
    return A


def _on_one_thread(function: Callable[..., T], *blocks: Any, **options: Any) -> T:
    """The function with one thread of the kernel: tasks beside it have the other processors."""
    with kernel.threads(1):
        return function(*blocks, **options)


def _named(block: Any, block_id: Any, function: Callable[..., T], options: dict[str, Any]) -> T:
    """The function of a block, which errors name."""
    try:
        return _on_one_thread(function, block, **options)
    except ValueError as error:
        error.args = (f"in block {tuple(map(int, block_id[:-2]))} of the stack: {error}",)
        raise


def _whole(block: Any) -> Any:
    """The one block of an axis that is summed over, which comes as a list."""
    while isinstance(block, list):
        (block,) = block
    return block


def _blockwise(function: Callable[..., T], options: dict[str, Any], *blocks: Any) -> T:
    try:
        return _on_one_thread(function, *map(_whole, blocks), **options)
    except ValueError as error:
        error.args = (f"in a block of the stack: {error}",)
        raise


def _taken(block: Any, path: tuple[int, ...]) -> Any:
    for place in path:
        block = _whole(block)[place]
    return block


def _field(inverted: Any, path: tuple[int, ...], dtype: Any) -> Any:
    """One array of all blocks' records."""
    axes = tuple(range(inverted.ndim))
    out = axes if path == (0,) else axes[:-2]
    return da.blockwise(
        _taken, out, inverted, axes, path=path, dtype=dtype, meta=np.empty((0,) * len(out), dtype)
    )
