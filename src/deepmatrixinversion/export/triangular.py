"""Triangular systems in blocks: inverses of the diagonal blocks, and products for all the rest.

References
----------
Higham 2002, "Accuracy and Stability of Numerical Algorithms", 2nd ed., sections 8.4 and 14.2;
Du Croz & Higham 1992, "Stability of methods for matrix inversion", IMA J. Numer. Anal. 12.
"""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.export.algebra import Value, concatenate, constant, integers, op, where
from deepmatrixinversion.export.blocks import WIDTH, diagonal_blocks, part, rows, widths


class Triangle:
    """Lower triangular matrices (..., n, n), of which nothing above the diagonal is read.

    ``inverses`` of the diagonal blocks are computed where they are not given, all at once.
    """

    def __init__(
        self, L: Value, order: int, *, unit: bool = False, inverses: list[Value] | None = None
    ) -> None:
        self.L = lower(L, order, unit)
        self.starts = [0, *np.cumsum(widths(order)).tolist()]
        self.inverses = inverses or _inverses_of_blocks(self.L, order)

    def solve(self, B: Value, *, transposed: bool = False) -> Value:
        """The Y with L Y = B, or Lᵀ Y = B: substitution, block by block, and a step of refinement.

        The step makes up for the inverses of blocks, whose errors are up to their condition
        number times those of substitution row by row.
        """
        substitute = self._backward if transposed else self._forward
        count = len(self.inverses)
        Y = substitute(0, count, B)
        L = self.L.mT if transposed else self.L
        return Y + substitute(0, count, B - L @ Y)

    def _forward(self, first: int, last: int, B: Value) -> Value:
        if last == first + 1:
            return self.inverses[first] @ B
        middle, upper, under, corner = self._halves(first, last, B)
        Y = self._forward(first, middle, upper)
        return concatenate([Y, self._forward(middle, last, under - corner @ Y)], -2)

    def _backward(self, first: int, last: int, B: Value) -> Value:
        if last == first + 1:
            return self.inverses[first].mT @ B
        middle, upper, under, corner = self._halves(first, last, B)
        Y = self._backward(middle, last, under)
        return concatenate([self._backward(first, middle, upper - corner.mT @ Y), Y], -2)

    def _halves(self, first: int, last: int, B: Value) -> tuple[int, Value, Value, Value]:
        """The block in the middle, the rows of B above and below it, L's left of and below it."""
        middle = (first + last) // 2
        start, half, end = (self.starts[k] for k in (first, middle, last))
        corner = part(self.L, (half, end), (start, half))
        return middle, rows(B, 0, half - start), rows(B, half - start, end - start), corner


def lower(L: Value, order: int, unit: bool = False) -> Value:
    """L with zeros above the diagonal, and ones on it where ``unit``."""
    if unit:
        L = where(constant(np.eye(order), np.dtype(bool)), 1, L)
    return where(constant(np.tri(order), np.dtype(bool)), L, 0)


def inverse(L: Value, order: int) -> Value:
    """The inverses of lower triangular L, zeros above its diagonal, by doubling: 2 log2 n products.

    From those of its diagonal blocks of order s follow those of order 2 s, all at once.
    """
    one = constant(np.eye(order), np.dtype(bool))
    X = constant(np.eye(order), L.dtype) / where(one, L, 1)
    index, size = np.arange(order), 1
    while size < order:
        same = index[:, None] // (2 * size) == index // (2 * size)
        corners = same & (index[:, None] // size > index // size)
        X = X - X @ ((L * corners) @ X)
        size *= 2
    return X


def _inverses_of_blocks(L: Value, order: int) -> list[Value]:
    count, rest = divmod(order, WIDTH)
    found = []
    if count:
        whole = part(L, (0, order - rest), (0, order - rest)) if rest else L
        Y = inverse(diagonal_blocks(whole, order - rest, WIDTH), WIDTH)
        found = [Y.of(op.Gather(Y.node, integers(k), axis=-3), L.rank) for k in range(count)]
    if rest:
        last = part(L, (order - rest, order), (order - rest, order)) if count else L
        found.append(inverse(last, rest))
    return found
