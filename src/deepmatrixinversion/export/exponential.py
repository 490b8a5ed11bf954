"""The exponential of a matrix by scaling, Taylor's polynomial and squaring, as ONNX nodes.

References
----------
Paterson & Stockmeyer 1973, SIAM J. Comput. 2; Moler & Van Loan 2003, "Nineteen dubious ways to
compute the exponential of a matrix, twenty-five years later", SIAM Review 45, method 3.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from deepmatrixinversion.export.algebra import constant, floor_power, where
from deepmatrixinversion.export.operand import operand

SQUARINGS = 14
"""Matrices of ‖A‖F up to 2¹² have an exponential here, much larger ones NaN."""


def matrix_exp(self_):
    """exp A: 7 products for a polynomial of degree 16, and 14 to square it.

    A matrix is scaled by a power of two, and squared as often as that takes.
    """
    A, n, _ = operand(self_, "matrix_exp")
    norm = (A * A).sum((-2, -1), True) ** 0.5
    # Taylor's remainder, ‖A‖¹⁷/17!, is below the roundoff at ‖A‖F < 2, and 1/2 in float64.
    scale = (floor_power(norm) * (1 if A.dtype == np.float32 else 4)).clip(1)
    powers = [constant(np.eye(n), A.dtype), A / scale]
    for _ in range(3):
        powers.append(powers[-1] @ powers[1])
    X = powers[0] * (1 / math.factorial(16))
    for start in (12, 8, 4, 0):
        X = X @ powers[4]
        for k in reversed(range(4)):
            X = X + powers[k] * (1 / math.factorial(start + k))
    for k in range(SQUARINGS):
        X = where(scale > 2.0**k, X @ X, X)
    return where(scale > 2.0**SQUARINGS, np.nan, X).node


aten = torch.ops.aten
TABLE = {aten.linalg_matrix_exp.default: matrix_exp, aten.matrix_exp.default: matrix_exp}
