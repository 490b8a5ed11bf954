"""Read and write stacks of matrices as MATLAB's ``.mat``, through SciPy (an optional extra).

As in MATLAB the matrices of a stack are pages: matrix k of A (rows, columns, count) is A(:, :, k).
"""

from __future__ import annotations

import math
from typing import Any, BinaryIO

import numpy as np

from deepmatrixinversion.errors import MatrixFormatError, listed, printable
from deepmatrixinversion.matrices.input_file import InputFile
from deepmatrixinversion.matrices.memory import check_memory
from deepmatrixinversion.matrices.whole_array import WholeArray

KEY = "matrices"
_KINDS = {"double", "single", "logical", "sparse"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
_MOST = 2**31 - 1  # bytes of a variable in this version of the format


def _scipy_io(name: str) -> Any:
    try:
        import scipy.io
    except ImportError as error:
        raise ImportError(
            f"{name}: .mat files need SciPy; install deepmatrixinversion[mat], or save text with"
            " MATLAB's writematrix(A, 'a.csv')"
        ) from error
    return scipy.io


def read_mat(source: InputFile) -> WholeArray:
    """The matrices of a ``.mat`` file (to version 7): its array "matrices", or the only one."""
    io = _scipy_io(source.name)
    if source.size is None:
        raise MatrixFormatError(f"{source.name}: a .mat file cannot be read from a pipe")
    try:
        variables = [(n, s) for n, s, kind in io.whosmat(source.file) if kind in _KINDS]
        name, shape = _choose(variables, source.name)
        check_memory(source.name, 8 * math.prod(shape), f"its array {printable(name)}")
        source.file.seek(0)
        value = io.loadmat(source.file, variable_names=[name])[name]
    except (MatrixFormatError, MemoryError):
        raise
    except NotImplementedError as error:
        raise MatrixFormatError(
            f"{source.name}: this version of .mat is HDF5; in MATLAB: save('a.mat', 'A', '-v7')"
        ) from error
    except Exception as error:  # of a damaged file: what SciPy raises is not documented
        raise MatrixFormatError(
            f"{source.name}: no valid .mat file ({printable(error)})"
        ) from error
    array = np.asarray(value if isinstance(value, np.ndarray) else value.toarray())
    return WholeArray(array.transpose(2, 0, 1) if array.ndim == 3 else array, source)


def _choose(variables: list[tuple[str, tuple[int, ...]]], name: str) -> tuple[str, Any]:
    named = [variable for variable in variables if variable[0] == KEY]
    if len(named) != 1 and len(variables) != 1:
        keys = listed([key for key, _ in variables])
        raise MatrixFormatError(
            f"{name}: the file holds {len(variables)} numeric arrays ({keys}); name the one to be"
            f" read '{KEY}'"
        )
    return (named or variables)[0]


class MatSink:
    """A ``.mat`` file of version 5 with one array "matrices", the matrices as its pages."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._io = _scipy_io(name)
        self._file, self._name = file, name
        self._blocks: list[np.ndarray] = []
        self._size = 0

    def write(self, stack: np.ndarray) -> None:
        """Append matrices (b, rows, cols); the format needs all of them before it is written."""
        self._size += stack.nbytes
        if self._size > _MOST:
            raise MatrixFormatError(
                f"{self._name}: a .mat file of this version holds 2 GiB at most; write .npy"
            )
        self._blocks.append(stack.copy())

    def finish(self) -> None:
        """Write the file."""
        stack = np.concatenate(self._blocks)
        array = stack[0] if len(stack) == 1 else stack.transpose(1, 2, 0)
        self._io.savemat(self._file, {KEY: array})

    def close(self) -> None:
        """Nothing of its own to close."""
