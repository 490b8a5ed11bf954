"""Elimination in ONNX: as exact as LAPACK on matrices of every structure; pivots of 0."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")
from deepmatrixinversion.export import export_onnx  # noqa: E402

U = 2.0**-24
COUNT = 100


def families(n, rng):
    G = rng.standard_normal((COUNT, n, n))
    Q, R = np.linalg.qr(rng.standard_normal((2, COUNT, n, n)))[0]
    few = np.ones(n)
    few[n // 2 :] = 1e-4
    grades = np.logspace(0, -4, n)
    P = np.eye(n)[np.argsort(rng.random((COUNT, n)))]
    holes = G.copy()
    holes[:, :2, :2] = 0
    growing = np.eye(n) - np.tri(n, k=-1)
    growing[:, -1] = 1
    return {
        "normal": G,
        "one large": Q * [1, *[1e-4] * (n - 1)] @ R,
        "one small": Q * [*[1] * (n - 1), 1e-4] @ R,
        "half small": Q * few @ R,
        "rows graded, permuted": P @ (grades[:, None] * G),
        "columns graded": G * grades,
        "permutations": P * rng.uniform(0.1, 10, (COUNT, n, 1)),
        "minors of 0": holes,
        "growing pivots": growing + 0.01 * G,
        "large": 1e30 * G,
    }


def error(X, Y):
    return np.linalg.norm(X - Y, axis=(1, 2)) / np.linalg.norm(Y, axis=(1, 2))


@pytest.fixture(
    scope="module", params=[4, 8, *(pytest.param(n, marks=pytest.mark.slow) for n in (20, 40))]
)
def exported(request, tmp_path_factory):
    """The order, and its file as a function: up to 8 bordered, 40 in panels of 16, 16 and 8."""
    path = tmp_path_factory.mktemp("files") / "x.onnx"
    export_onnx(request.param, path, net="elimination")
    session = onnxruntime.InferenceSession(path)
    return request.param, lambda A: session.run(None, {"A": A.astype(np.float32)})


def test_errors_are_lapacks_on_every_family(exported):
    n, inverse = exported
    named = families(n, np.random.default_rng(n))
    A = np.concatenate(list(named.values())).astype(np.float32)
    X = inverse(A)[0]
    Y = np.linalg.inv(A.astype(np.float64))
    kappa = np.linalg.cond(A.astype(np.float64))
    ours, theirs = error(X, Y), error(torch.linalg.inv(torch.from_numpy(A)).numpy(), Y) / kappa
    for k, name in enumerate(named):
        here = slice(k * COUNT, (k + 1) * COUNT)
        # LAPACK's worst of a hundred, for its condition: of a single one it may be right by chance.
        assert (ours[here] <= 4 * kappa[here] * theirs[here].max() + 16 * U).all(), name


def test_a_pivot_of_0_is_told_and_spoils_no_other(exported):
    """In the first column, in between, in the last, and in all."""
    n, inverse = exported
    A = np.random.default_rng(0).integers(-3, 4, (6, n, n)).astype(float) + 8 * np.eye(n)
    X = inverse(A)[0]
    A[1, :, 0] = 0
    A[2, :, n // 2] = A[2, :, 0]
    A[3, -1] = A[3, 0]
    A[4] = 0
    Y, residual, converged = inverse(A)
    assert converged.tolist() == [True, False, False, False, False, True]
    assert np.isfinite(Y).all()
    assert (residual[1:5] > 0.9).all()
    np.testing.assert_array_equal(Y[[0, 5]], X[[0, 5]])


def test_what_is_not_finite_stays_in_its_matrix(exported):
    n, inverse = exported
    A = np.random.default_rng(0).standard_normal((3, n, n))
    A[1, 0, 1] = np.nan
    X, _, converged = inverse(A)
    assert np.isfinite(X[[0, 2]]).all()
    assert not converged[1]
