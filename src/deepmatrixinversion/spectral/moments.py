"""Polynomials of R as combinations of the few matrices that are there.

A step forms a few products, and up to a hundred inner products of combinations of them. Taken of
the matrices these cost more than the products; taken of the coefficients, with the Gram matrix of
what is there between, next to nothing. Squares of norms come with the rounding of the largest
terms: a norm below 1e-7 of R's is not seen (`UNSEEN`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.polynomial import TINY

Array = NDArray[np.float64]

UNSEEN = 1e-7
"""Norms below this share of the largest drown in the rounding of the Gram matrix."""


class Combinations:
    """Coefficients (most, k) in matrices of which the inner products are known.

    Attributes
    ----------
    gram : (most, most, k) array
        Inner products of the identity, R, and the products since.
    used : int
        How many matrices there are.
    one, R : (most, k) arrays
        The first two.
    """

    def __init__(self, gram: Array, used: int) -> None:
        self.gram, self.used = gram, used
        self.one, self.R = self.unit(0), self.unit(1)

    def of(self, which: NDArray[np.bool_]) -> Combinations:
        """Of some of the stack."""
        return Combinations(self.gram[..., which], self.used)

    def unit(self, i: int) -> Array:
        """Matrix i itself."""
        unit = np.zeros(self.gram.shape[1:])
        unit[i] = 1.0
        return unit

    def inner(self, a: Array, b: Array) -> Array:
        """Of each pair: (1, k)."""
        some = self.used
        return np.einsum("ik,ijk,jk->k", a[:some], self.gram[:some, :some], b[:some])[None]

    def norm(self, a: Array) -> Array:
        """Of each: (1, k)."""
        return np.sqrt(self.inner(a, a).clip(TINY))

    def seen(self, a: Array) -> Array:
        """The norm of each, or what cannot be told from zero: (1, k)."""
        return np.maximum(self.norm(a), UNSEEN * self.norm(self.R))


class Squared(Combinations):
    """Of I, R and R² the inner products alone, (3, 3, k): a `Space` for a single product."""

    def __init__(self, gram: Array) -> None:
        super().__init__(gram, 3)

    def product(self, a: Array, b: Array) -> Array:
        """That of R and R."""
        return self.unit(2)


class Moments(Combinations):
    """A `Space` of combinations of at most so many matrices, for a stack of k.

    Attributes
    ----------
    matrices : (k, most, n²) array
        The identity, R, and the products since.
    """

    def __init__(self, R: Array, most: int) -> None:
        k, self.order = R.shape[:2]
        self.matrices = np.empty_like(R, shape=(k, most, self.order**2))
        super().__init__(np.zeros((most, most, k)), 0)
        self._place(0)[...] = np.eye(self.order)
        self._place(1)[...] = R
        for _ in range(2):
            self._measured()

    def _place(self, i: int) -> Array:
        return self.matrices[:, i].reshape(len(self.matrices), self.order, self.order)

    def _measured(self) -> Array:
        i = self.used
        rows = np.matmul(self.matrices[:, : i + 1], self.matrices[:, i, :, None])[:, :, 0].T
        self.gram[i, : i + 1] = self.gram[: i + 1, i] = rows
        self.used += 1
        return self.unit(i)

    def matrix(self, c: Array, which: NDArray[np.bool_] | slice = slice(None)) -> Array:
        """The combinations themselves, of some of the stack: (k, n, n)."""
        c = c[: self.used].T.copy()
        held = np.flatnonzero(c.any(axis=0))
        if held.size == 1 and (c[:, held[0]] == 1.0).all():
            return self._place(held[0])[which]
        M = np.matmul(c[:, None, :], self.matrices[which, : self.used])
        return M.reshape(len(c), self.order, self.order)

    def product(self, a: Array, b: Array) -> Array:
        """The product of two combinations: one of order n each."""
        np.matmul(self.matrix(a), self.matrix(b), out=self._place(self.used))
        return self._measured()

    def keep(self, which: NDArray[np.bool_]) -> None:
        """Go on with some of the stack."""
        k = np.count_nonzero(which)
        for i in range(self.used):
            self.matrices[:k, i] = self.matrices[which, i]
        self.matrices = self.matrices[:k]
        self.gram = self.gram[..., which]
        self.one, self.R = self.one[:, which], self.R[:, which]
