"""Matrices as the exporter hands them over, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepmatrixinversion.export.algebra import Value, integers, op

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def operand(A: Any, name: str) -> tuple[Value, int, int]:
    """A value of the exporter's with arithmetic, and how many rows and columns it has."""
    if A.shape is None or A.dtype is None:
        raise ValueError(f"{name}: shape and dtype of the matrix are unknown to the exporter")
    rows, columns = A.shape[-2], A.shape[-1]
    if not isinstance(rows, int) or not isinstance(columns, int):
        raise ValueError(f"{name}: the matrix's last two axes are dynamic: export with fixed ones")
    dtype = A.dtype.numpy()
    if dtype not in DTYPES:
        raise ValueError(f"{name}: the matrix is {A.dtype.name}, not FLOAT or DOUBLE")
    return Value(A, dtype, len(A.shape)), rows, columns


def static_shape(A: Any, name: str) -> list[int]:
    """The shape of a tensor, all of whose axes must be known at export."""
    shape = list(A.shape)
    if not all(isinstance(length, int) for length in shape):
        raise ValueError(f"{name}: the tensor has dynamic axes: export with fixed ones")
    return shape


def as_matrix(A: Any, order: int) -> Value:
    """A tensor of ``order`` squared entries as one matrix."""
    return Value(op.Reshape(A, integers([order, order])), A.dtype.numpy(), 2)
