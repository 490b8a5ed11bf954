"""Products of matrices of order up to 4 as products of their entries in a row with constants.

onnxruntime takes 100 ns for a product of two matrices, however small, and a stack needs one for
each matrix; with constants it needs one for all of them.
"""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.export.algebra import Value, constant

LARGEST = 4
"""Beyond, n³ products of entries a matrix are more work than that."""


class Product:
    """A B or Aᵀ B as sums of products of two entries, from rows (..., 1, k) to a row.

    ``a`` and ``b`` lead from a row to the entries of A (m, k), of which there may be more than are
    used, and of B (k, n), ``c`` from those of the product to a row.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dtype: np.dtype,
        *,
        turned: bool = False,
        a: np.ndarray | None = None,
        b: np.ndarray | None = None,
        c: np.ndarray | None = None,
    ) -> None:
        m, k, n = shape
        i, j, over = np.indices((m, n, k)).reshape(3, -1)
        left = np.eye(m * k)[over * m + i if turned else i * k + over].T
        right, total = np.eye(k * n)[over * n + j].T, np.eye(m * n)[i * n + j]
        self.left = constant(left if a is None else a @ left, dtype)
        self.right = constant(right if b is None else b @ right, dtype)
        self.total = constant(total if c is None else total @ c, dtype)

    def __call__(self, A: Value, B: Value) -> Value:
        """All products of two entries that meet, and their sums."""
        return ((A @ self.left) * (B @ self.right)) @ self.total


def flat(A: Value, n: int) -> Value:
    """(..., n, n) as (..., 1, n²)."""
    return A.reshape(2, 1, n * n)
