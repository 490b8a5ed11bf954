"""float64 graphs of this package's own functions hold no constant that was rounded to float32.

PyTorch's exporter writes Python's numbers as float32: x * 0.1 of a float64 x is off by 1e-9.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import linalg

from deepmatrixinversion.torch import lstsq, pinv, solve
from test_translation import Call, export, run, spectrum

KAPPA = 100.0
ORDER = 4


FUNCTIONS = {
    "lstsq": (lambda A: lstsq(A, A.mT)[0], lambda A: linalg.solve(A, A.mT)),
    "matrix_exp": (linalg.matrix_exp, linalg.matrix_exp),
    "solve": (lambda A: solve(A, A.mT), lambda A: linalg.solve(A, A.mT)),
    "pinv": (pinv, linalg.pinv),
}
LONG = ("solve", "pinv")  # long graphs of steps


@pytest.mark.parametrize(
    "name", [pytest.param(k, marks=pytest.mark.slow) if k in LONG else k for k in FUNCTIONS]
)
def test_as_exact_as_float64(name):
    inputs = spectrum(3, ORDER, KAPPA, torch.float64)[1:]
    function, exact = FUNCTIONS[name]
    (X,) = run(export(Call(function), inputs), inputs)
    expected = exact(*inputs)
    error = (torch.from_numpy(X) - expected).norm() / expected.norm()
    assert error <= 64 * ORDER * np.finfo(np.float64).eps * KAPPA
