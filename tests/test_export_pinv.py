"""dmxexport --kind pinv: of any shape and rank, as numpy.linalg.pinv has it."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import pytest

from deepmatrixinversion.cli.export import main
from deepmatrixinversion.export.check import check, relative, session
from deepmatrixinversion.export.inverse import standard_model
from deepmatrixinversion.export.modules import module_for
from deepmatrixinversion.export.options import Options
from deepmatrixinversion.export.pseudo_inverse import LARGEST
from deepmatrixinversion.matrices.spectra import even_spectrum
from spectra_of_tests import with_pseudo_inverses

DTYPES = {"32": np.dtype(np.float32), "64": np.dtype(np.float64)}
SLOW = pytest.mark.slow
# By rotations up to 16 rows or columns, by iteration beyond.
SHAPES = [(6, 6), (9, 4), (4, 9), (1, 5), (5, 1), (17, 18)]
SHAPES += [pytest.param(shape, marks=SLOW) for shape in ((16, 16), (30, 20))]


@functools.cache
def graph(rows, columns, precision, internal=None):
    options = Options(columns, kind="pinv", precision=precision, rows=rows, internal=internal)
    module = module_for(options)
    data = standard_model(module, options).SerializeToString()
    check(data, module, options)
    return session(data)


def stack(shape, sigma, count=30, seed=0):
    """Matrices with these singular values, and their pseudo-inverses."""
    rng = np.random.default_rng([seed, *shape])
    return with_pseudo_inverses(rng, np.tile(sigma, (count, 1)), *shape)


@pytest.mark.parametrize("precision", ["32", "64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_and_rank(shape, precision):
    run, dtype, kappa = graph(*shape, precision), DTYPES[precision], 100.0
    eps = float(np.finfo(dtype).eps)
    for rank in sorted({1, (1 + min(shape)) // 2, min(shape)}):
        A, expected = stack(shape, even_spectrum(rank, kappa))
        A = A.astype(dtype)
        X, residual, converged = run.run(None, {"A": A})
        assert X.shape == (len(A), shape[1], shape[0])
        assert converged.all()
        assert (residual <= 4 * max(shape) * eps * kappa).all()
        # A is rounded, which changes its pseudo-inverse by 2 kappa eps sqrt(n) or so; that of
        # numpy, of the same matrices, tells the graph's own error.
        rtol = 1e-9 if dtype == np.float64 else max(shape) * eps
        ours = relative(X, np.linalg.pinv(A.astype(np.float64), rcond=rtol))
        assert (ours <= 4 * max(shape) * eps * kappa).all()
        assert (relative(X, expected) <= 8 * max(shape) * eps * kappa).all()


@pytest.mark.parametrize("precision", ["32", "64"])
@pytest.mark.parametrize("kappa", [1e5, 1e6, 1e8, 1e16])
def test_singular_values_near_the_limit_of_rank_do_no_harm(kappa, precision):
    """Whether they count or not, nothing diverges: ‖X‖ stays below 1/rtol, and A X A near A."""
    for shape in ((6, 6), (9, 4), (17, 18)):
        A = stack(shape, even_spectrum(min(shape), kappa), 200)[0].astype(DTYPES[precision])
        X, residual, _ = graph(*shape, precision).run(None, {"A": A})
        assert np.isfinite(X).all()
        size = np.linalg.norm(X, axis=(1, 2))
        eps = np.finfo(DTYPES[precision]).eps
        assert size.max() <= 2 / (max(shape) * eps if min(shape) <= LARGEST else 1.2e-7)
        # Dropping a singular value costs itself, and one half dropped more; the answer's rounding
        # costs eps ‖X‖.
        assert (residual <= 1e-3 + 4 * eps * size).all()


@pytest.mark.parametrize("shape", [(6, 6), (4, 9)])
def test_zeros_scales_and_nan(shape):
    run = graph(*shape, "32")
    A, X = stack(shape, np.linspace(1, 2, 3), 4)
    A = A.astype(np.float32)
    for factor in (1e-30, 1e30):
        scaled, _, converged = run.run(None, {"A": np.float32(factor) * A})
        assert converged.all()
        assert (relative(scaled * np.float32(factor), X) <= 1e-5).all()
    A[1], A[2, 0, 0] = 0, np.nan
    Y, residual, converged = run.run(None, {"A": A})
    assert (Y[1] == 0).all()
    assert residual[1] == 0
    assert converged.tolist() == [True, True, False, True]


@pytest.mark.parametrize("internal", ["32", "64"])
def test_the_tolerance_is_that_of_numpy_whatever_the_arithmetic_inside(internal):
    """Of float32, a third of it and three times it: the first counts as 0, the second does not."""
    run, eps = graph(6, 6, "32", internal), np.finfo(np.float32).eps
    assert all(DOUBLE not in types for types in elements(6, 6, internal)) == (internal == "32")
    for factor, rank in ((1 / 3, 5), (3, 6)):
        # Diagonal, so that rounding moves no singular value.
        A = np.diag([1, 1, 1, 0.5, 0.5, 6 * factor * eps]).astype(np.float32)[None]
        X = run.run(None, {"A": A})[0]
        assert np.linalg.matrix_rank(X[0], tol=1e-3) == rank
        expected = np.linalg.pinv(A, rcond=6 * eps)
        assert (relative(X, expected) <= 8 * eps).all()


DOUBLE = onnx.TensorProto.DOUBLE


def elements(rows, columns, internal):
    """The element types of the graph's values."""
    options = Options(columns, kind="pinv", rows=rows, internal=internal)
    proto = standard_model(module_for(options), options)
    return [{v.type.tensor_type.elem_type} for v in proto.graph.value_info]


def test_float32_has_no_float64_inside_and_no_nan():
    """Where float64 is cast down, condition numbers of 100 are no trouble any more."""
    assert not any(DOUBLE in types for types in elements(9, 4, None))
    run = graph(9, 4, "32")
    for kappa in (1, 1e2, 1e4):
        A, X = stack((9, 4), even_spectrum(4, kappa), 50)
        Y, _, converged = run.run(None, {"A": A.astype(np.float32)})
        assert converged.all()
        assert (relative(Y, X) <= 8 * 9 * np.finfo(np.float32).eps * kappa).all()


def test_the_command(tmp_path, capsys):
    out = tmp_path / "p.onnx"
    assert main(["--kind", "pinv", "--msize", "3", "--rows", "7", "--out", str(out)]) == 0
    A = np.random.default_rng(0).normal(size=(5, 7, 3)).astype(np.float32)
    X, _, converged = session(out.read_bytes()).run(None, {"A": A})
    assert converged.all()
    np.testing.assert_allclose(X, np.linalg.pinv(A), rtol=0, atol=1e-5)
    card = out.with_suffix(".md").read_text()
    assert "`A` (batch, 7, 3)" in card
    assert "`pseudoinverse` (batch, 3, 7)" in card
    assert "nan" not in card
    assert "Jacobi rotations" in card
    assert "Inside, the arithmetic is float32." in card
