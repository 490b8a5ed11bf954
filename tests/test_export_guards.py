"""What guards against division by zero and overflow is still there once a graph is exported.

PyTorch's exporter rewrites x + 1e-12 to x, so that a guard of that kind works in PyTorch only.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from deepmatrixinversion.export.check import session
from deepmatrixinversion.export.inverse import standard_model
from deepmatrixinversion.export.modules import module_for
from deepmatrixinversion.export.options import Options
from deepmatrixinversion.matrices.spectra import with_singular_values
from deepmatrixinversion.torch.iterations import (
    minimal_residual_inverse,
    newton_schulz,
    pseudo_inverse,
)
from test_translation import Call, export, run

GRAPHS = [
    (1, "adjugate", "inverse"),
    (3, "adjugate", "inverse"),
    (4, "adjugate", "solve"),
    (9, "elimination", "inverse"),
    (9, "iterative", "inverse"),
    (9, "loop", "inverse"),
    (2, "feedback", "inverse"),
    (6, "auto", "pinv"),
]


def regular(n, dtype=np.float32):
    """Matrices of condition 3, of entries near 1."""
    sigma = np.tile(np.linspace(1, 3, n), (4, 1))
    return with_singular_values(np.random.default_rng(n), sigma).astype(dtype)


def singular(n):
    """The zero matrix, ones, and, where it differs from zero, a diagonal with one 0."""
    made = [np.zeros((n, n)), np.ones((n, n)), np.diag(np.arange(n))]
    return np.stack(made if n > 1 else made[:1]).astype(np.float32)


@functools.cache
def graph(order, net, kind):
    early_exit = net == "loop"
    net = "iterative" if early_exit else net
    options = Options(order, net, kind=kind, early_exit=early_exit)
    return session(standard_model(module_for(options), options).SerializeToString())


@pytest.mark.parametrize("order, net, kind", GRAPHS)
def test_every_scale_and_singular_matrices(order, net, kind):
    def outputs(A):
        feed = {"A": A}
        if kind == "solve":
            feed["B"] = np.ones((*A.shape[:2], 2), np.float32)
        return graph(order, net, kind).run(None, feed)

    for scale in (1, 1e-30, 1e-20, 1e20, 1e30):
        X, residual, converged = outputs(np.float32(scale) * regular(order))
        assert np.isfinite(X).all()
        assert np.isfinite(residual).all()
        assert converged.all()
    for scale in (1, 1e-30, 1e30):
        X, residual, converged = outputs(np.float32(scale) * singular(order))
        assert np.isfinite(X).all()
        assert np.isfinite(residual).all()
        # A pseudo-inverse every matrix has.
        assert (converged == (kind == "pinv")).all()
    A = regular(order)
    A[2, 0, 0] = np.nan
    assert outputs(A)[2].tolist() == [True, True, False, True]


@pytest.mark.parametrize("order", [3, 12])
def test_functions_of_torch_keep_their_guards(order):
    """Up to order 8 products are elementwise, beyond not."""
    functions = (
        lambda A: minimal_residual_inverse(A, 6),
        lambda A: newton_schulz(A, torch.zeros_like(A), 2),
        pseudo_inverse,
    )
    A = regular(order)
    proto = export(Call(*functions), (torch.from_numpy(A),))
    hard = np.concatenate(
        [singular(order), np.eye(order, dtype=np.float32)[None], 1e-30 * A, 1e30 * A]
    ).astype(np.float32)
    for found, function in zip(run(proto, (torch.from_numpy(hard),)), functions, strict=True):
        expected = function(torch.from_numpy(hard)).numpy()
        assert np.isfinite(found).all()
        # Of a singular matrix there are many answers, of which each rounding picks its own.
        good = slice(len(singular(order)), None)
        size = np.abs(expected[good]).max(axis=(1, 2), keepdims=True)
        assert (np.abs(found[good] - expected[good]) <= 100 * 1.2e-7 * size).all()
    nan = torch.from_numpy(A).clone()
    nan[1, 0, 0] = torch.nan
    X = run(proto, (nan,))[0]
    assert np.isfinite(X[[0, 2, 3]]).all()
    assert np.isnan(X[1]).any()
