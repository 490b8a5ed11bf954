"""Makes PyTorch models that invert, solve or factor matrices exportable to ONNX.

ONNX has no operator for any of these, so ``torch.onnx.export`` refuses them. The table here gives
it an expression in standard operators for each. Nothing in it is a custom operator or a function:
what it writes runs wherever ONNX does.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
import torch

from deepmatrixinversion.export import adjugate, elimination, iteration, substitution
from deepmatrixinversion.export.algebra import Algebra, Value, op

METHODS = ("auto", "adjugate", "elimination", "iteration")
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def onnx_translation_table(
    *,
    method: str = "auto",
    blocks: int | None = None,
    double_pinv: bool = True,
    early_exit: bool = False,
) -> dict[Callable[..., Any], Callable[..., Any]]:
    """How to write PyTorch's inverses in ONNX: ``custom_translation_table`` of the exporter.

    Covers ``torch.linalg.inv``, ``torch.inverse``, ``Tensor.inverse``, ``inv_ex``, ``solve``,
    ``solve_ex``, ``pinv``, ``torch.pinverse``, ``cholesky``, ``cholesky_ex``, ``solve_triangular``,
    ``torch.cholesky_inverse`` and ``torch.cholesky_solve``, for real float32 and float64 tensors
    with any number of leading axes, static or dynamic. The order must be known at export.

    Parameters
    ----------
    method : {"auto", "adjugate", "elimination", "iteration"}
        How inverses are written. ``adjugate`` (orders up to 4): cofactors. ``elimination``:
        Gauss-Jordan with pivoting, unrolled, as accurate as LAPACK. ``iteration``: minimal
        residual steps, matrix products almost alone, for condition numbers up to about 1e3 in
        float32 and 1e6 in float64, more where few singular values are small. ``auto`` takes
        cofactors up to order 2, elimination up to 64, and iteration beyond.
    blocks : int, optional
        Minimal residual steps of ``iteration``, each of 5 matrix products. The default is
        `deepmatrixinversion.export.iteration.blocks_for`. Spectra spread over many decades
        take more, random matrices three fewer.
    double_pinv : bool
        Compute the pseudo-inverse of float32 matrices in float64. In float32 singular values below
        3.9e-3 times the largest are lost; turn it off for devices without float64.
    early_exit : bool
        Write the steps of ``iteration`` as one ONNX ``Loop``, which ends once no matrix of the
        batch gains by another step. Nothing else in the table writes a loop or a branch.

    Returns
    -------
    dict
        From ATen operators to functions that write ONNX nodes.

    Notes
    -----
    A graph cannot raise an error. Where PyTorch would, on a singular matrix, ``inv`` and ``solve``
    return finite numbers that are no inverse: call ``inv_ex`` or ``solve_ex`` and look at ``info``,
    which is 0 where ‖I - A X‖F is below 1, else the order. ``cholesky`` returns NaN.

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
        aten.linalg_pinv.default: writer.pinv_rcond,
        aten.linalg_pinv.atol_rtol_float: writer.pinv,
        aten.linalg_pinv.atol_rtol_tensor: writer.pinv,
        aten.pinverse.default: writer.pinv_rcond,
        aten.linalg_cholesky.default: writer.cholesky,
        aten.cholesky.default: writer.cholesky,
        aten.linalg_cholesky_ex.default: writer.cholesky_ex,
        aten.linalg_solve_triangular.default: writer.solve_triangular,
        aten.cholesky_inverse.default: writer.cholesky_inverse,
        aten.cholesky_solve.default: writer.cholesky_solve,
    }
    return {target: _function(method) for target, method in table.items()}


def _function(method: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function, on which the exporter can set attributes as it cannot on methods."""

    @functools.wraps(method)
    def write(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    return write


class Operand(NamedTuple):
    """What a translation needs to know of a stack of matrices."""

    algebra: Algebra
    rank: int
    rows: int
    columns: int


def operand(A: Value, name: str) -> Operand:
    """Order, rank and dtype of a value; of a rectangular matrix the algebra is for its rows."""
    if A.shape is None or A.dtype is None:
        raise ValueError(f"{name}: shape and dtype of the matrix are unknown to the exporter")
    rows, columns = A.shape[-2], A.shape[-1]
    if not isinstance(rows, int) or not isinstance(columns, int):
        raise ValueError(f"{name}: the matrix's last two axes are dynamic: export with fixed ones")
    dtype = A.dtype.numpy()
    if dtype not in DTYPES:
        raise ValueError(f"{name}: the matrix is {A.dtype.name}, not FLOAT or DOUBLE")
    return Operand(Algebra(rows, dtype), len(A.shape), rows, columns)


def is_vector(A: Value, B: Value) -> bool:
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

    def _inverse(self, A: Value, name: str) -> tuple[Value, Operand]:
        known = operand(A, name)
        a = known.algebra
        method = self.method
        if method == "auto":
            method = "elimination" if 2 < known.rows <= elimination.LARGEST else "iteration"
            method = "adjugate" if known.rows <= 2 else method
        if method == "adjugate":
            return adjugate.inverse(a, A, known.rank), known
        if method == "elimination":
            return elimination.inverse(a, A, known.rank), known
        blocks = self.blocks or iteration.blocks_for(a.order, a.dtype)
        loop_name = f"inverse_{next(self.loops)}" if self.early_exit else ""
        return iteration.inverse(a, A, known.rank, blocks, loop_name), known

    def inv(self, A):
        """The inverse."""
        return self._inverse(A, "inv")[0]

    def inv_ex(self, A, *, check_errors: bool = False):
        """The inverse, and 0 where it is one."""
        X, known = self._inverse(A, "inv_ex")
        return X, _info(known.algebra, A, X)

    def solve(self, A, B, *, left: bool = True):
        """The solution of A X = B, or of X A = B."""
        return self._solve(A, B, left, "solve")[0]

    def solve_ex(self, A, B, *, left: bool = True, check_errors: bool = False):
        """The solution, and 0 where it is one."""
        X, inverse, known = self._solve(A, B, left, "solve_ex")
        return X, _info(known.algebra, A, inverse)

    def _solve(self, A: Value, B: Value, left: bool, name: str) -> tuple[Value, Value, Operand]:
        inverse, known = self._inverse(A, name)
        a = known.algebra
        vector = is_vector(A, B)
        if vector:
            B = op.Unsqueeze(B, a.integers([-1]))
        # One step of iterative refinement makes the residual B - A Y that of a solver: the
        # inverse's own error costs the product with it up to kappa eps.
        if left:
            Y = op.MatMul(inverse, B)
            Y = op.Add(Y, op.MatMul(inverse, op.Sub(B, op.MatMul(A, Y))))
        else:
            Y = op.MatMul(B, inverse)
            Y = op.Add(Y, op.MatMul(op.Sub(B, op.MatMul(Y, A)), inverse))
        return op.Squeeze(Y, a.integers([-1])) if vector else Y, inverse, known

    def pinv(self, self_, *, atol=None, rtol=None, hermitian: bool = False):
        """The Moore-Penrose inverse."""
        if _number(atol, "atol"):
            raise ValueError("pinv: atol would need the scale of the matrices: give rtol instead")
        return self._pinv(self_, _number(rtol, "rtol"))

    def pinv_rcond(self, self_, rcond=None, hermitian: bool = False):
        """The Moore-Penrose inverse, with the older name of rtol."""
        return self._pinv(self_, _number(rcond, "rcond"))

    def _pinv(self, A: Value, rtol: float | None) -> Value:
        known = operand(A, "pinv")
        dtype = known.algebra.dtype
        if rtol is None:
            rtol = max(known.rows, known.columns) * known.algebra.eps
        widen = dtype == np.float32 and self.double_pinv
        if widen:
            A = op.Cast(A, to=ir.DataType.DOUBLE)
        a = Algebra(min(known.rows, known.columns), np.dtype(np.float64) if widen else dtype)
        tall = known.rows > known.columns
        if tall:
            A = a.transpose(A, known.rank)
        X = iteration.pseudo_inverse(a, A, known.rank, max(rtol, iteration.smallest_rtol(a.dtype)))
        if tall:
            X = a.transpose(X, known.rank)
        return op.Cast(X, to=ir.DataType.FLOAT) if widen else X

    def cholesky(self, self_, upper: bool = False):
        """The Cholesky factor."""
        known = operand(self_, "cholesky")
        A = known.algebra.transpose(self_, known.rank) if upper else self_
        L = substitution.cholesky(known.algebra, A, known.rank)
        return known.algebra.transpose(L, known.rank) if upper else L

    def cholesky_ex(self, self_, *, upper: bool = False, check_errors: bool = False):
        """The Cholesky factor, and 0 where there is one."""
        L = self.cholesky(self_, upper)
        a = operand(self_, "cholesky_ex").algebra
        total = op.ReduceSum(L, a.integers([-2, -1]), keepdims=0)
        return L, _zero_or_order(a, op.Equal(op.Sub(total, total), a.constant(0)))

    def solve_triangular(
        self, self_, B, *, upper: bool, left: bool = True, unitriangular: bool = False
    ):
        """The solution of a triangular system."""
        known = operand(self_, "solve_triangular")
        a, T = known.algebra, self_
        if left:
            return substitution.solve_triangular(a, T, B, upper=upper, unit=unitriangular)
        # Y T = B is Tᵀ Yᵀ = Bᵀ.
        T, Bt = a.transpose(T, known.rank), a.transpose(B, len(B.shape))
        Y = substitution.solve_triangular(a, T, Bt, upper=not upper, unit=unitriangular)
        return a.transpose(Y, max(known.rank, len(B.shape)))

    def cholesky_inverse(self, self_, upper: bool = False):
        """The inverse of L Lᵀ from L."""
        known = operand(self_, "cholesky_inverse")
        a = known.algebra
        L = a.transpose(self_, known.rank) if upper else self_
        # Of the identity's rank otherwise, the solution gets that of L by the first division.
        Y = substitution.solve_triangular(a, L, a.identity, upper=False)
        return op.MatMul(a.transpose(Y, known.rank), Y)

    def cholesky_solve(self, self_, input2, upper: bool = False):
        """The solution of L Lᵀ X = B from L."""
        known = operand(input2, "cholesky_solve")
        a = known.algebra
        L = a.transpose(input2, known.rank) if upper else input2
        Y = substitution.solve_triangular(a, L, self_, upper=False)
        return substitution.solve_triangular(a, a.transpose(L, known.rank), Y, upper=True)


def _number(value: Any, name: str) -> float | None:
    """A number that is known at export."""
    if value is None or isinstance(value, int | float):
        return value
    known = getattr(value, "const_value", None)
    if known is None or known.size != 1:
        raise ValueError(f"pinv: {name} must be a number that is known at export, not a tensor")
    return float(known.numpy())


def _info(a: Algebra, A: Value, X: Value) -> Value:
    R = op.Sub(a.identity, op.MatMul(A, X))
    squared = op.ReduceSum(op.Mul(R, R), a.integers([-2, -1]), keepdims=0)
    return _zero_or_order(a, op.Less(squared, a.constant(1)))


def _zero_or_order(a: Algebra, good: Value) -> Value:
    zero, order = (op.Constant(value=ir.tensor(np.int32(k))) for k in (0, a.order))
    return op.Where(good, zero, order)
