"""Stacks of matrices that own their layout in memory, so that a step reads as it does on paper.

``R = I - A @ X; X += X @ R`` holds for every matrix of a stack. Small matrices are held
batch-last, (n, n, k), and multiplied elementwise along the stack, because there a BLAS call costs
several times its arithmetic; larger ones as (k, n, n), a BLAS call each. The order alone chooses,
and no sum runs over the stack: the bits of a matrix never depend on its neighbours.

Vectors, one value a row of each matrix, are plain arrays with the stack's axis where the stack
has it: (k, n), or (n, k) batch-last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SMALL_ORDER = 4
"""Largest order held batch-last; measured: at 4 a product takes 30 ns so, at 8 six times BLAS's."""


class Stack:
    """A stack of k float64 matrices (p, q); ``Stack.of`` makes one.

    ``+ - @`` work matrix by matrix and give new stacks, ``+=`` and ``-=`` work in place,
    ``s[index]`` and ``s[index] = other`` take and put matrices, and `scaled` multiplies each by a
    value of its own.
    """

    __slots__ = ("array", "last")

    def __init__(self, array: Array, last: bool) -> None:
        self.array = array
        self.last = last

    @classmethod
    def of(cls, A: NDArray) -> Self:
        """The stack of (k, p, q) matrices, converted to float64; a view where that is natural."""
        last = max(A.shape[1:]) <= SMALL_ORDER
        return cls(
            np.ascontiguousarray(A.transpose(1, 2, 0) if last else A, dtype=np.float64), last
        )

    def matrices(self) -> Array:
        """A contiguous (k, p, q) array; the stack's own where it has that layout."""
        return np.ascontiguousarray(self.array.transpose(2, 0, 1)) if self.last else self.array

    def __len__(self) -> int:
        return self.array.shape[-1 if self.last else 0]

    @property
    def order(self) -> int:
        """Number p of rows."""
        return self.array.shape[0 if self.last else 1]

    @property
    def lines(self) -> tuple[int, int]:
        """The axes of rows and columns."""
        return (0, 1) if self.last else (1, 2)

    def _new(self, array: Array) -> Stack:
        return Stack(array, self.last)

    def __add__(self, other: Stack) -> Stack:
        return self._new(self.array + other.array)

    def __sub__(self, other: Stack) -> Stack:
        return self._new(self.array - other.array)

    def __iadd__(self, other: Stack) -> Self:
        self.array += other.array
        return self

    def __isub__(self, other: Stack) -> Self:
        self.array -= other.array
        return self

    def __matmul__(self, other: Stack) -> Stack:
        A, B = self.array, other.array
        if not self.last:
            return self._new(np.matmul(A, B))
        C = A[:, 0, None] * B[None, 0]
        term = np.empty_like(C)
        for j in range(1, A.shape[1]):
            np.multiply(A[:, j, None], B[None, j], out=term)
            C += term
        return self._new(C)

    def __abs__(self) -> Stack:
        return self._new(np.abs(self.array))

    def __getitem__(self, index: NDArray | slice) -> Stack:
        return self._new(self.array[..., index] if self.last else self.array[index])

    def __setitem__(self, index: NDArray | slice, value: Stack) -> None:
        if self.last:
            self.array[..., index] = value.array
        else:
            self.array[index] = value.array

    @property
    def T(self) -> Stack:
        """Contiguous transposes."""
        return self._new(np.ascontiguousarray(self.array.swapaxes(*self.lines)))

    def copy(self) -> Stack:
        """A stack of its own."""
        return self._new(self.array.copy())

    def spread(self, values: NDArray) -> NDArray:
        """One value a matrix (k,), as it broadcasts against the stack's array."""
        return values if self.last else values[:, None, None]

    def rowwise(self, values: NDArray) -> NDArray:
        """One value a matrix (k,), as it broadcasts against vectors."""
        return values if self.last else values[:, None]

    def scaled(self, values: NDArray) -> Stack:
        """Each matrix times its own of the values (k,)."""
        return self._new(self.array * self.spread(values))

    def diagonal(self) -> Array:
        """A writeable view of the diagonals: vectors."""
        return np.einsum("iik->ik" if self.last else "kii->ki", self.array)

    def norm(self) -> Array:
        """Frobenius norms (k,); inf where not finite. Entries beyond 1e154 overflow to inf."""
        A = self.array
        if self.last:
            total = np.zeros(A.shape[-1])
            for row in A.reshape(-1, A.shape[-1]):
                total += row * row
        else:
            # Each matrix is one row: the order of summation depends on p q alone.
            rows = A.reshape(len(A), A.shape[1] * A.shape[2])
            total = np.matmul(rows[:, None, :], rows[:, :, None])[:, 0, 0]
        norm = np.sqrt(total)
        return np.where(np.isfinite(norm), norm, np.inf)

    def largest_entry(self) -> Array:
        """Largest modulus of each matrix (k,), NaN where there is one."""
        return np.abs(self.array).max(axis=self.lines)

    def row_sums(self) -> Array:
        """Sums of the moduli along rows: vectors."""
        ones = np.ones(self.array.shape[1 if self.last else 2])
        return self.moduli(ones[:, None] if self.last else ones[None])[0]

    def moduli(self, *vectors: Array) -> list[Array]:
        """The products |A| v with each of some vectors v >= 0."""
        A = self.array
        if self.last:
            columns = [np.abs(A[:, j]) for j in range(A.shape[1])]
            out = [columns[0] * v[0] for v in vectors]
            for j in range(1, len(columns)):
                for total, v in zip(out, vectors, strict=True):
                    total += columns[j] * v[j]
            return out
        V = np.stack(vectors, axis=-1)
        products = np.empty((*A.shape[:2], len(vectors)))
        # A block of rows at a time: no copy of a large matrix.
        step = max(1, (1 << 16) // A.shape[2])
        for start in range(0, A.shape[1], step):
            rows = slice(start, start + step)
            np.matmul(np.abs(A[:, rows]), V, out=products[:, rows])
        return [np.ascontiguousarray(products[..., i]) for i in range(len(vectors))]

    def largest(self, vectors: Array) -> Array:
        """The largest value of each matrix's vector (k,); NaN wins."""
        # Reducing a short last axis costs ten times its transposition.
        return (vectors if self.last else np.ascontiguousarray(vectors.T)).max(axis=0)

    def total(self, vectors: Array) -> Array:
        """The sum of each matrix's vector (k,)."""
        if self.last:
            return vectors.sum(axis=0)
        return np.matmul(vectors[:, None, :], np.ones((vectors.shape[1], 1)))[:, 0, 0]


class Identity:
    """The identity, of which a stack is subtracted: ``I - A @ X`` (in place of the product)."""

    def __sub__(self, P: Stack) -> Stack:
        np.negative(P.array, out=P.array)
        diagonal = P.diagonal()
        diagonal += 1.0
        return P


I = Identity()


def chunks(count: int, n: int, doubles: int = 1 << 17) -> Iterator[slice]:
    """Slices of a stack of ``count`` matrices of order n, each about ``doubles`` entries long.

    Work on a chunk stays in cache, and memory stays bounded however long the stack is.
    """
    step = max(1, doubles // max(1, n * n))
    if step > 64:
        # Batch-last lines a power of two apart would compete for the same few cache lines.
        step += 8
    # glibc returns freed memory to the system above a threshold that grows with the largest block
    # ever freed; below it every temporary is faulted in anew, at up to three times the cost. One
    # block, never touched, raises it. Elsewhere this does nothing.
    if n * n < doubles < 8 * count * n * n:
        np.empty(1 << 21)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
