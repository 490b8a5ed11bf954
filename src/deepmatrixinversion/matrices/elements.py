"""Which arrays count as a stack of matrices, and what their entries become."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from deepmatrixinversion.errors import MatrixFormatError, listed

KEY = "matrices"
"""The name of the array that is read, and written, where a file may hold several."""

# Every integer up to here is a float64; beyond, every other one at best.
EXACT = 2**53


def chosen(names: Sequence[str], what: str, name: str) -> int:
    """Which of a file's arrays holds the matrices: the one called `KEY`, or the only one.

    Raises
    ------
    MatrixFormatError
        There are several, or none; ``what`` they are, for the message.
    """
    if names.count(KEY) == 1:
        return names.index(KEY)
    if len(names) != 1:
        raise MatrixFormatError(
            f"{name}: the file holds {len(names)} {what} ({listed(names)}); name the one to be read"
            f" '{KEY}'"
        )
    return 0


def element_type(dtype: np.dtype, name: str) -> np.dtype:
    """Return the dtype in which entries stored as ``dtype`` are handed on.

    float32 and float64 stay, in native byte order; float16 becomes float32; integers and
    booleans become float64.

    Parameters
    ----------
    dtype : numpy.dtype
        As stored.
    name : str
        The file, for the message.

    Raises
    ------
    MatrixFormatError
        Complex, wider than float64, or no number at all.

    Examples
    --------
    >>> element_type(np.dtype(">f4"), "a.npy"), element_type(np.dtype(bool), "a.npy")
    (dtype('float32'), dtype('float64'))
    """
    if dtype.kind == "f" and dtype.itemsize <= 8:
        return np.dtype(np.float64 if dtype.itemsize == 8 else np.float32)
    if dtype.kind in "iub":
        return np.dtype(np.float64)
    if dtype.kind == "c":
        raise MatrixFormatError(
            f"{name}: complex matrices are not supported;"
            " invert the real matrix [[Re, -Im], [Im, Re]] instead"
        )
    remedy = "store float64 or float32"
    if dtype.kind == "O":
        remedy = "put a column of arrays together with numpy.stack, make numbers of it with astype"
    raise MatrixFormatError(f"{name}: entries of type {dtype} are not supported; {remedy}")


def as_elements(array: np.ndarray, name: str, first: int = 0) -> np.ndarray:
    """Convert a stack to its :func:`element_type`, exactly or not at all.

    Parameters
    ----------
    array : ndarray, shape (b, rows, cols)
        Matrices ``first`` to ``first + b - 1`` of a file.
    name : str
        The file, for the message.
    first : int
        Index of the first matrix, for the message.

    Returns
    -------
    ndarray, shape (b, rows, cols), float32 or float64, C order
        The array itself where it is that already.

    Raises
    ------
    MatrixFormatError
        An unsupported dtype, or an integer beyond 2^53 in absolute value.
    """
    dtype = element_type(array.dtype, name)
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        large = (array > EXACT) | (array < -EXACT if array.dtype.kind == "i" else False)
        if large.any():
            index = first + int(np.flatnonzero(large.any(axis=(1, 2)))[0])
            raise MatrixFormatError(
                f"{name}: matrix {index} holds an integer beyond 2^53, where float64 no longer"
                " holds every integer; store it as float64"
            )
    return np.ascontiguousarray(array, dtype=dtype)


def stack_shape(shape: Any, name: str) -> tuple[int, int, int]:
    """Return (count, rows, cols) of a stored array: a 2-D one is a single matrix.

    Raises
    ------
    MatrixFormatError
        Fewer than two axes, more than three, or nothing in the array.

    Examples
    --------
    >>> stack_shape((3, 4), "a.npy")
    (1, 3, 4)
    """
    lengths = tuple(shape)
    if not all(isinstance(length, int) and length >= 0 for length in lengths):
        raise MatrixFormatError(f"{name}: the header declares the impossible shape {lengths}")
    if len(lengths) not in (2, 3):
        raise MatrixFormatError(
            f"{name}: an array of shape {lengths} is no stack of matrices;"
            " reshape it to (count, rows, columns)"
        )
    count, rows, cols = lengths if len(lengths) == 3 else (1, *lengths)
    if not (count and rows and cols):
        raise MatrixFormatError(f"{name}: an array of shape {lengths} holds no matrix")
    return count, rows, cols
