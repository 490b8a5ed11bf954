"""Pseudo-inverses of full rank in float32: right to a few u, each, whatever their shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import linalg

from deepmatrixinversion.matrices.spectra import even_spectrum, with_singular_values
from test_translation import Call, export, run

U = 2.0**-24
SHAPES = [(4, 3), (3, 8), pytest.param(12, 8, marks=pytest.mark.slow)]


def matrices(rows, columns, kappa):
    sigma = even_spectrum(min(rows, columns), np.full(200, kappa))
    A = with_singular_values(np.random.default_rng(rows), sigma, rows, columns)
    return torch.from_numpy(A).float()


@pytest.mark.parametrize("rows, columns", SHAPES)
def test_every_single_matrix_is_right_to_the_square_of_pytorchs_error(rows, columns):
    proto = export(Call(linalg.pinv), (matrices(rows, columns, 10.0),))
    for kappa in (10.0, 1e3, 1e5):
        A = matrices(rows, columns, kappa)
        X = torch.from_numpy(run(proto, (A,))[0])
        exact = linalg.pinv(A.double())
        norm = exact.flatten(1).norm(dim=1)
        ours = (X - exact).flatten(1).norm(dim=1) / norm
        theirs = (linalg.pinv(A) - exact).flatten(1).norm(dim=1) / norm
        assert (ours <= 4 * theirs + 16 * U).all()
        assert (ours <= 4 * U + 8 * rows * columns * (kappa * U) ** 2).all()
