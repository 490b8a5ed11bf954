"""Products of matrices of order up to 4 as products of their entries in a row with constants.

onnxruntime takes 100 ns for a product of two matrices, however small, and a stack needs one for
each matrix; with constants it needs one for all of them.
"""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.export.algebra import Value, constant

LARGEST = 4
"""Beyond, n³ products of entries a matrix are more work than that."""


class Products:
    """A B and Aᵀ B of matrices (..., n, n) given as rows (..., 1, n²)."""

    def __init__(self, n: int, dtype: np.dtype) -> None:
        i, j, k = np.indices((n, n, n)).reshape(3, -1)
        entry = np.eye(n * n)
        self.left = constant(entry[n * i + k].T, dtype)
        self.turned = constant(entry[n * k + i].T, dtype)
        self.right = constant(entry[n * k + j].T, dtype)
        self.place = constant(entry[n * i + j], dtype)

    def of(self, A: Value, B: Value, turned: bool = False) -> Value:
        """A B, or Aᵀ B: all products of two entries that meet, and their sums."""
        return ((A @ (self.turned if turned else self.left)) * (B @ self.right)) @ self.place


def flat(A: Value, n: int) -> Value:
    """(..., n, n) as (..., 1, n²)."""
    return A.reshape(2, 1, n * n)
