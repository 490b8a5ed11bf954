"""Makes PyTorch models that invert, solve or factor matrices exportable to ONNX.

ONNX has no operator for any of these, so ``torch.onnx.export`` refuses them. The table here gives
it an expression in standard operators for each. Nothing in it is a custom operator or a function:
what it writes runs wherever ONNX does.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from deepmatrixinversion.export import (
    adjugate,
    algebra,
    elimination,
    exponential,
    factors,
    householder,
    iteration,
    lu,
    pseudo_inverse,
    spectra,
)
from deepmatrixinversion.export.algebra import Value, cast, constant, integers, op, where
from deepmatrixinversion.export.operand import as_matrix, operand, static_shape
from deepmatrixinversion.export.options import METHODS, automatic
from deepmatrixinversion.export.regularity import nan_unless, regular
from deepmatrixinversion.export.symmetric_eigen import symmetric
from deepmatrixinversion.linalg.minimal_residual import solution
from deepmatrixinversion.linalg.purification import default_rtol, smallest_rtol


def onnx_translation_table(
    *,
    method: str = "auto",
    blocks: int | None = None,
    double_pinv: bool = True,
    early_exit: bool = False,
    loops: bool = False,
) -> dict[Callable[..., Any], Callable[..., Any]]:
    """How to write PyTorch's inverses in ONNX: ``custom_translation_table`` of the exporter.

    Covers ``torch.linalg.inv``, ``torch.inverse``, ``Tensor.inverse``, ``inv_ex``, ``solve``,
    ``solve_ex``, ``pinv``, ``torch.pinverse``, ``cholesky``, ``cholesky_ex``, ``solve_triangular``,
    ``torch.cholesky_inverse``, ``torch.cholesky_solve``, ``torch.triangular_solve``, ``lu``,
    ``lu_factor``, ``lu_factor_ex``, ``lu_solve``, ``qr``, ``householder_product``, ``matrix_exp``,
    ``tensorinv``, ``tensorsolve``, ``det``, ``slogdet``, ``logdet``,
    ``eigh``, ``eigvalsh``, ``svd``, ``svdvals`` and what PyTorch composes of these,
    ``matrix_norm``, ``cond`` and ``matrix_rank``, for real float32 and float64 tensors with any
    number of leading axes, static or dynamic. The order must be known at export.

    Parameters
    ----------
    method : {"auto", "adjugate", "elimination", "iterative"}
        How inverses are written. ``adjugate`` (orders up to 4): cofactors. ``elimination``:
        Gauss-Jordan with pivoting, unrolled, as accurate as LAPACK. ``iterative``: minimal
        residual steps, matrix products almost alone, for condition numbers up to about 1e3 in
        float32 and 1e6 in float64, more where few singular values are small. ``auto`` takes
        cofactors up to order 2, elimination up to 128, and iteration beyond.
    blocks : int, optional
        Minimal residual steps of ``iterative``, each of 5 matrix products. The default is
        `deepmatrixinversion.export.iteration.blocks_for`. Spectra spread over many decades
        take more, random matrices three fewer.
    double_pinv : bool
        Compute the pseudo-inverse of float32 matrices with more than 16 rows and columns in
        float64. In float32 singular values below 3.9e-3 times the largest are lost there; turn it
        off for devices without float64. Up to 16 rows or columns it is in its own dtype anyway.
    early_exit : bool
        Write the steps of ``iterative`` as one ONNX ``Loop``, which ends once no matrix of the
        batch gains by another step.
    loops : bool
        Write the pivots of each 32 rows of a Cholesky factor as one ONNX ``Loop``, so that order
        512 takes a fifth of the nodes, with the same results to rounding. Nothing else in the
        table writes a loop or a branch.

    Returns
    -------
    dict
        From ATen operators to functions that write ONNX nodes.

    Notes
    -----
    A graph cannot raise an error. ``cholesky`` returns NaN for a matrix for which PyTorch would
    raise one; ``inv`` and ``solve`` for one that is singular to working precision
    (`deepmatrixinversion.export.regularity`); ``matrix_rank`` returns -1 for a matrix that is not
    finite, all others NaN. ``inv_ex`` and ``solve_ex`` return finite numbers that are no inverse,
    with an ``info`` that is 0 where the matrix is regular by the same rule and ‖I - A X‖F is below
    1, rows scaled alike, else the order.

    Examples
    --------
    >>> import torch
    >>> from deepmatrixinversion.export import onnx_translation_table
    >>> class Whiten(torch.nn.Module):
    ...     def forward(self, C, x):
    ...         return torch.linalg.solve(C, x)
    >>> program = torch.onnx.export(
    ...     Whiten(), (torch.eye(6)[None], torch.ones(1, 6, 1)), dynamo=True, verbose=False,
    ...     custom_translation_table=onnx_translation_table(),
    ... )
    """
    writer = Writer(method, blocks, double_pinv, early_exit)
    aten = torch.ops.aten
    table = {
        aten.linalg_inv.default: writer.inv,
        aten.inverse.default: writer.inv,
        aten.linalg_inv_ex.default: writer.inv_ex,
        aten.linalg_solve.default: writer.solve,
        aten.linalg_solve_ex.default: writer.solve_ex,
        aten.linalg_tensorinv.default: writer.tensorinv,
        aten.linalg_tensorsolve.default: writer.tensorsolve,
        aten.linalg_pinv.default: writer.pinv_rcond,
        aten.linalg_pinv.atol_rtol_float: writer.pinv,
        aten.linalg_pinv.atol_rtol_tensor: writer.pinv,
        aten.pinverse.default: writer.pinv_rcond,
    }
    own = {target: _function(method) for target, method in table.items()}
    others = (factors, spectra, lu, householder, exponential)
    for module in others:
        own |= module.TABLE
    return own | factors.cholesky_table(loops)


def _function(method: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function, on which the exporter can set attributes as it cannot on methods."""

    @functools.wraps(method)
    def write(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    return write


def is_vector(A: Any, B: Any) -> bool:
    """Whether ``torch.linalg.solve(A, B)`` takes B for a stack of vectors."""
    shape = list(B.shape)
    return len(shape) == 1 or shape == list(A.shape)[:-1]


class Writer:
    """The functions of the table. Each adds nodes to the graph and returns values of it.

    Their parameters are those of the ATen operators, which the exporter passes by name.
    """

    def __init__(
        self, method: str, blocks: int | None, double_pinv: bool, early_exit: bool
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"method is {method!r}: choose one of {METHODS}")
        self.method = method
        self.blocks = blocks
        self.double_pinv = double_pinv
        self.early_exit = early_exit
        self.loops = itertools.count()

    def _inverse(self, A: Value, order: int, finite: bool = False) -> Value:
        """The inverse; where there is none NaN, or with ``finite`` a finite matrix."""
        method = automatic(order) if self.method == "auto" else self.method
        if method == "adjugate":
            X = adjugate.inverse(A, order, finite)
            good = regular(A, X.mT, order)
        elif method == "elimination":
            return elimination.inverse(A, order, finite=finite, guarded=not finite)
        else:
            blocks = self.blocks or iteration.blocks_for(order, A.dtype)
            loop_name = f"inverse_{next(self.loops)}" if self.early_exit else ""
            X = iteration.inverse(A, order, blocks, loop_name)
            good = _is_inverse(A, X, order)
        return X if finite else X + nan_unless(good, A.dtype).reshape(0, 1, 1)

    def inv(self, A):
        """The inverse."""
        value, order, _ = operand(A, "inv")
        return self._inverse(value, order).node

    def inv_ex(self, A, *, check_errors: bool = False):
        """The inverse, and 0 where it is one."""
        value, order, _ = operand(A, "inv_ex")
        X = self._inverse(value, order, finite=True)
        return X.node, _info(value, X, order)

    def solve(self, A, B, *, left: bool = True):
        """The solution of A X = B, or of X A = B."""
        return self._solve(A, B, left, "solve")[0]

    def solve_ex(self, A, B, *, left: bool = True, check_errors: bool = False):
        """The solution, and 0 where it is one."""
        Y, value, X, order = self._solve(A, B, left, "solve_ex")
        return Y, _info(value, X, order)

    def _solve(self, A: Any, B: Any, left: bool, name: str) -> tuple[Any, Value, Value, int]:
        """The solution's node, A and its inverse, and their order."""
        value, order, _ = operand(A, name)
        X = self._inverse(value, order, finite=name == "solve_ex")
        vector = is_vector(A, B)
        right = value.of(op.Unsqueeze(B, integers([-1])) if vector else B)
        if left:
            Y = solution(value, X, right)
        else:  # Y A = B is Aᵀ Yᵀ = Bᵀ, with the products as they are.
            Y = right @ X
            Y = Y + (right - Y @ value) @ X
        return op.Squeeze(Y.node, integers([-1])) if vector else Y.node, value, X, order

    def tensorinv(self, self_, ind: int = 2):
        """The inverse of a tensor as of the matrix whose rows are its first ``ind`` axes."""
        shape = static_shape(self_, "tensorinv")
        order = math.prod(shape[ind:])
        X = self._inverse(as_matrix(self_, order), order)
        return op.Reshape(X.node, integers([*shape[ind:], *shape[:ind]]))

    def tensorsolve(self, self_, other, dims=None):
        """The X with A X = B, a sum over all axes of X, which are the last of A."""
        if dims is not None:
            raise ValueError("tensorsolve: dims is not translated: move the axes before")
        shape, right = static_shape(self_, "tensorsolve"), static_shape(other, "tensorsolve")
        order = math.prod(right)
        A = as_matrix(self_, order)
        B = A.of(op.Reshape(other, integers([order, 1])), 2)
        Y = solution(A, self._inverse(A, order), B)
        return op.Reshape(Y.node, integers(shape[len(right) :]))

    def pinv(self, self_, *, atol=None, rtol=None, hermitian: bool = False):
        """The Moore-Penrose inverse."""
        return self._pinv(self_, _number(atol, "atol"), _number(rtol, "rtol"), hermitian)

    def pinv_rcond(self, self_, rcond=None, hermitian: bool = False):
        """The Moore-Penrose inverse, with the older name of rtol."""
        return self._pinv(self_, None, _number(rcond, "rcond"), hermitian)

    def _pinv(self, matrix: Any, atol: float | None, rtol: float | None, hermitian: bool) -> Any:
        A, rows, columns = operand(matrix, "pinv")
        if hermitian:
            A = symmetric(A, rows, upper=False)
        if min(rows, columns) <= pseudo_inverse.LARGEST:
            return pseudo_inverse.pseudo_inverse(A, rows, columns, atol, rtol).node
        if atol:
            raise ValueError("pinv: atol would need the scale of the matrices: give rtol instead")
        dtype = A.dtype
        if dtype == np.float32 and self.double_pinv:
            A = cast(A, np.float64)
        eps, inside = float(np.finfo(dtype).eps), float(np.finfo(A.dtype).eps)
        if rtol is None:
            rtol = default_rtol(rows, columns, eps, inside)
        rtol = max(rtol, smallest_rtol(inside))
        if rows > columns:
            X = iteration.pseudo_inverse(A.mT, columns, rtol).mT
        else:
            X = iteration.pseudo_inverse(A, rows, rtol)
        return X.node if dtype == A.dtype else cast(X, dtype).node


def _number(value: Any, name: str) -> float | None:
    """A number that is known at export."""
    if value is None or isinstance(value, int | float):
        return value
    known = getattr(value, "const_value", None)
    if known is None or known.size != 1:
        raise ValueError(f"pinv: {name} must be a number that is known at export, not a tensor")
    return float(known.numpy())


def _is_inverse(A: Value, X: Value, order: int) -> Value:
    """Whether A is `regular` and ‖I - S Y‖F < 1, matrix by matrix.

    S = A / r and Y = X r, where r are powers of two about as large as the rows, so that these may
    be of different units. Either alone is true of some singular matrices, by rounding.
    """
    r = algebra.floor_power(algebra.size(A, (-1,)))
    S, Y = A / r, X * r.mT
    R = constant(np.eye(order), A.dtype) - S @ Y
    return ((R * R).sum((-2, -1), False) < 1) & regular(S, Y.mT, order)


def _info(A: Value, X: Value, order: int) -> Any:
    return where(_is_inverse(A, X, order), constant(0, np.dtype(np.int32)), order).node
