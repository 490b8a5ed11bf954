"""Labels of pandas and xarray: an inverse has them the other way round.

A^-1 takes what A gives, so that its rows are named as A's columns are. The libraries are never
imported here: who holds one of their objects has them loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

Labels = Callable[[NDArray[Any]], Any]
"""What makes a labelled object of an answer's numbers."""


def _kind(A: object) -> str | None:
    """The class of A, if it is labelled."""
    for package, name in (("pandas", "DataFrame"), ("pandas", "Series"), ("xarray", "DataArray")):
        module = sys.modules.get(package)
        if module is not None and isinstance(A, getattr(module, name)):
            return name
    return None


def unlabelled(A: Any) -> Any:
    """The array within a labelled object; anything else as it is."""
    kind = _kind(A)
    if kind == "DataArray":
        return A.data
    return A if kind is None else A.to_numpy()


def answer_labels(given: dict[str, Any]) -> Labels | None:
    """Labels of the inverse of A, or of the solution of A Y = B; None where there are none.

    Raises
    ------
    ValueError
        where A and B are both labelled, and their rows differently
    """
    A, B = given.get("A"), given.get("B")
    kind, right = _kind(A), _kind(B)
    if B is None or right is None:
        return _of_inverse(A, kind) if B is None else None
    if right == "DataArray":
        return _of_array_solution(A if kind == "DataArray" else None, B)
    return _of_frame_solution(A if kind == "DataFrame" else None, B)


def _of_inverse(A: Any, kind: str | None) -> Labels | None:
    if kind == "DataFrame":
        frame = sys.modules["pandas"].DataFrame
        return lambda X: frame(X, index=A.columns, columns=A.index)
    if kind == "DataArray":
        dims = (*A.dims[:-2], *A.dims[:-3:-1])
        return lambda X: type(A)(X, coords=A.coords, dims=dims, name=A.name)
    return None


def _of_frame_solution(A: Any, B: Any) -> Labels:
    index = B.index
    if A is not None:
        if not A.index.equals(B.index):
            raise ValueError(f"{_DIFFERENT}; reindex B as A: B.reindex(A.index)")
        index = A.columns
    columns = {"columns": B.columns} if B.ndim == 2 else {"name": B.name}
    kind = sys.modules["pandas"].DataFrame if B.ndim == 2 else sys.modules["pandas"].Series
    return lambda Y: kind(Y, index=index, **columns)


def _of_array_solution(A: Any, B: Any) -> Labels | None:
    if A is None:
        return None
    row, column = A.dims[-2:]
    if B.dims.count(row) != 1 or B.dims.index(row) != max(B.ndim - 2, 0):
        raise ValueError(
            f"the rows of A are named {row!r}, which is not the axis of rows of B, {B.dims}; "
            "transpose or rename it"
        )
    if row in A.coords and row in B.coords and not A.indexes[row].equals(B.indexes[row]):
        raise ValueError(f"{_DIFFERENT}; reindex B as A: B.reindex({row}=A[{row!r}])")
    short, stack = sorted((A.dims[:-2], B.dims[:-2]), key=len)
    if short != stack[len(stack) - len(short) :]:
        raise ValueError(
            f"the stacks of A and B have axes {short} and {stack}; transpose or rename"
        )
    dims = (*stack, column, *B.dims[max(B.ndim - 2, 0) + 1 :])
    coords = {k: v for x in (A, B) for k, v in x.coords.items() if set(v.dims) <= set(dims)}
    return lambda Y: type(B)(Y, coords=coords, dims=dims, name=B.name)


_DIFFERENT = "the rows of A and of B have different labels"
