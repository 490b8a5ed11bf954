"""Inverter: shapes, dtypes, scales, what it refuses, and what it does without."""

from __future__ import annotations

import doctest
import os
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from onnx import helper

import deepmatrixinversion
from deepmatrixinversion import Inverter
from deepmatrixinversion.errors import SingularMatrixError
from deepmatrixinversion.matrices.files import read_matrices, write_matrices
from models_for_tests import (
    graph,
    make_model,
    replace,
    residual_bound,
    well_conditioned,
)

EPS = np.finfo(np.float64).eps


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="module")
def invert(model):
    return Inverter.from_pretrained(model)


@pytest.fixture(scope="module", params=["guess", "refined"])
def method(request, invert):
    if request.param == "guess":
        return invert.guess
    return lambda A: invert.inv_ex(A).inverse


def residuals(A, X):
    return np.linalg.norm(np.eye(A.shape[-1]) - A @ X, axis=(-2, -1))


# --- shapes and dtypes ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 5), (0,), (2, 0, 3), (1, 2, 1, 2)])
def test_any_stack(method, shape):
    count = int(np.prod(shape, dtype=int))
    A = well_conditioned(40)[:count].reshape(*shape, 3, 3)
    X = method(A)
    assert X.shape == A.shape
    assert X.dtype == np.float64
    one_by_one = [method(M) for M in A.reshape(-1, 3, 3)]
    for got, expected in zip(X.reshape(-1, 3, 3), one_by_one, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-3)
    assert (residuals(A, X) < 0.1).all()


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
def test_the_batch_size_changes_nothing_but_the_last_bits(model, invert, batch):
    A = well_conditioned(7)
    other = Inverter.from_pretrained(model, batch=batch)
    X, Y = other.guess(A), invert.guess(A)
    largest = np.abs(Y).max(axis=(1, 2), keepdims=True)
    assert (np.abs(X - Y) <= 1e-3 * largest).all()
    X, Y = other(A), invert(A)
    largest = np.abs(Y).max(axis=(1, 2), keepdims=True)
    assert (np.abs(X - Y) <= residual_bound(A, Y)[:, None, None] * largest).all()


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_of_nothing(model, batch):
    """A negative step would skip every matrix and return memory as it was found."""
    with pytest.raises(ValueError, match=f"batch is {batch}"):
        Inverter.from_pretrained(model, batch=batch).guess(well_conditioned(7))


A5 = well_conditioned(5)
WHOLE = np.array([[2, 1, 0], [0, 1, 0], [0, 0, 4]])

VIEWS = {
    "fortran": np.asfortranarray(A5),
    "strided": np.repeat(A5, 2, axis=0)[::2],
    "negative strides": A5[::-1, ::-1, ::-1],
    "transposed": A5.swapaxes(1, 2),
    "broadcast": np.broadcast_to(A5[0], (5, 3, 3)),
    "big-endian": A5.astype(">f8"),
    "unaligned": np.frombuffer(b"x" + A5.tobytes(), dtype=np.uint8)[1:].view("f8").reshape(5, 3, 3),
}


@pytest.mark.parametrize("A", VIEWS.values(), ids=VIEWS.keys())
def test_memory_layout_does_not_matter(method, A):
    plain = np.array(A, dtype=np.float64, order="C")
    before = A.tobytes()
    X = method(A)
    assert X.dtype == np.float64
    assert X.dtype.isnative
    np.testing.assert_array_equal(X, method(plain))
    assert A.tobytes() == before


def test_input_is_never_modified_and_never_returned(method):
    for A in (A5.copy(), np.eye(3), np.eye(3, dtype=np.float32)[None]):
        before = A.copy()
        A.setflags(write=False)
        X = method(A)
        np.testing.assert_array_equal(A, before)
        assert not np.shares_memory(A, X)
        X[...] = 0  # the result is the caller's


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.float64, "list"])
def test_numbers_of_every_kind_give_float64(method, dtype):
    X = method(WHOLE.tolist() if dtype == "list" else WHOLE.astype(dtype))
    assert X.dtype == np.float64
    np.testing.assert_array_equal(X, method(WHOLE.astype(np.float64)))


@pytest.mark.parametrize("dtype", ["=f4", ">f4", "<f4"])
def test_float32_gives_float32(method, dtype):
    A = A5.astype(dtype)
    X = method(A)
    assert X.dtype == np.float32
    np.testing.assert_array_equal(X, method(A.astype(np.float64)).astype(np.float32))


# --- accuracy and scale --------------------------------------------------------------------------


def test_the_refined_residual_is_what_rounding_explains(invert):
    A = well_conditioned(2000)
    X = invert(A)
    assert (residuals(A, X) <= residual_bound(A, X)).all()
    # A^-1 - X = A^-1 (I - A X), and LAPACK's own error is of the same kind.
    truth = np.linalg.inv(A)
    error = np.linalg.norm(X - truth, axis=(1, 2))
    assert (error <= 2 * residual_bound(A, X) * np.linalg.norm(truth, axis=(1, 2))).all()


def test_refined_is_never_worse_than_raw(invert):
    rng = np.random.default_rng(1)
    A = np.concatenate(
        [
            rng.uniform(-1, 1, (2000, 3, 3)),
            # Of even rows and columns: what cannot be certified is compared as it is scaled.
            rng.uniform(0.5, 1, (500, 3, 1)) @ rng.uniform(-1, -0.5, (500, 1, 3)),
            1e-200 * rng.standard_normal((50, 3, 3)),
        ]
    )
    raw, refined = invert.guess(A), invert.inv_ex(A).inverse
    before, after = residuals(A, raw), residuals(A, refined)
    # The residuals compared inside are those of the scaled matrix: equal up to their rounding.
    assert (after <= before + residual_bound(A, raw) + residual_bound(A, refined)).all()


@pytest.mark.parametrize("exponent", [-1000, -500, -1, 1, 33, 1000])
def test_powers_of_two_change_no_bit(method, exponent):
    A = well_conditioned(50)
    with np.errstate(all="raise"):
        expected = np.ldexp(method(A), -exponent)
    np.testing.assert_array_equal(method(np.ldexp(A, exponent)), expected)


def test_matrices_of_all_scales_side_by_side(invert):
    A = well_conditioned(7)
    exponents = np.array([-1000, -300, 0, 1, 20, 500, 1000])
    X = invert(np.ldexp(A, exponents[:, None, None]))
    np.testing.assert_array_equal(X, np.ldexp(invert(A), -exponents[:, None, None]))


@pytest.mark.parametrize("factor", [1e-300, 1e-30, 7.0, 1e30, 1e300])
def test_scales_that_are_no_powers_of_two(invert, factor):
    A = factor * well_conditioned(50)
    X = invert(A)
    bound = residual_bound(A / factor, X * factor)
    assert (residuals(A, X) <= bound).all()


@pytest.mark.parametrize("value", [5e-324, 1e-310, 1e-308])
def test_an_inverse_beyond_float64_overflows_quietly(invert, value):
    """1/5e-324 is no float64; no warning, no NaN on the diagonal."""
    X = invert.inv_ex(value * np.eye(3)).inverse
    with np.errstate(over="ignore"):
        expected = 1 / np.float64(value)
    np.testing.assert_allclose(np.diagonal(X), expected, rtol=4 * EPS)


def test_an_inverse_beyond_float32_overflows_quietly(invert):
    X = invert.inv_ex(np.eye(3, dtype=np.float32) * np.float32(1e-44)).inverse
    assert X.dtype == np.float32
    assert np.isposinf(np.diagonal(X)).all()


@pytest.mark.parametrize(
    "A",
    [
        np.ones((3, 3)),
        np.diag([1.0, 1.0, 0.0]),
        np.arange(9.0).reshape(3, 3),
        np.arange(9.0).reshape(3, 3) * 2.0**900,
        np.arange(9.0).reshape(3, 3) * 2.0**-900,
        np.outer([1, 2, 3], [3, 0, 1]).astype(float),
        np.diag([1e-300, 0.0, 0.0]),
        np.eye(3, k=1),
    ],
    ids=lambda A: f"{A.ravel()[:4]}",
)
def test_a_singular_matrix_never_looks_good(method, A):
    r"""For singular A, \|I - A X\|F >= 1 whatever X: a left null vector of A is not moved."""
    X = method(A)
    assert np.isfinite(X).all()
    with np.errstate(over="ignore"):
        assert residuals(A, X) >= 1 - residual_bound(A, X)


def test_the_zero_matrix(invert):
    assert np.isfinite(invert.guess(np.zeros((3, 3)))).all()
    assert not invert.inv_ex(np.zeros((3, 3))).certificate.certified


def test_the_zero_matrix_has_a_finite_candidate(invert):
    assert np.isfinite(invert.inv_ex(np.zeros((3, 3))).inverse).all()


def test_singular_matrices_do_not_disturb_their_neighbours(invert):
    A = well_conditioned(9)
    mixed = A.copy()
    mixed[::2] = np.outer([1, 2, 3], [3, 0, 1])
    got = invert.inv_ex(mixed)
    np.testing.assert_array_equal(got.inverse[1::2], invert(A[1::2]))
    np.testing.assert_array_equal(got.certificate.certified, np.arange(9) % 2 == 1)
    with pytest.raises(SingularMatrixError, match=r"matrices \[0, 2, 4, 6, 8\] of 9"):
        invert(mixed)


def test_a_network_that_gives_nan_fails_loudly(model, tmp_path):
    """Its matrices are inverted some other way or not certified: never a plausible answer."""
    broken = shutil.copytree(model, tmp_path / "broken")
    nan = helper.make_node("Log", ["minus"], ["nan"])
    minus = helper.make_tensor("minus", 1, [], [-1.0])
    nodes = [nan, helper.make_node("Mul", ["A", "nan"], ["X"])]
    replace(broken, "model.onnx", graph(nodes, initializers=[minus]))
    invert = Inverter.from_pretrained(broken)
    A = well_conditioned(4)
    assert not (residuals(A, invert.guess(A)) < 1).any()
    got = invert.inv_ex(A)
    X, certified = got.inverse, got.certificate.certified
    assert (residuals(A, X)[certified] <= residual_bound(A, X)[certified]).all()


# --- what is refused -----------------------------------------------------------------------------

REFUSED = {
    "number": (np.float64(3), "a stack"),
    "vector": (np.arange(3.0), "a stack"),
    "flat": (np.arange(9.0), "a stack"),
    "empty list": ([], "a stack"),
    "not square": (np.zeros((3, 2)), "square"),
    "float16": (np.eye(3, dtype=np.float16), "float16"),
    "longdouble": (np.eye(3, dtype=np.longdouble), str(np.dtype(np.longdouble))),
    "object": (np.eye(3).astype(object), "dtype object"),
    "text": (np.eye(3).astype(str), "dtype <U32"),
    "dates": (np.zeros((3, 3), "M8[s]"), "dtype datetime64"),
    "ragged": ([[1, 2, 3], [4, 5, 6], [7, 8]], "inhomogeneous"),
}


NOT_FINITE = {
    "NaN": np.full((3, 3), np.nan),
    "infinity": np.diag([1.0, 2.0, np.inf]),
    "one NaN among many": np.where(np.arange(900) == 777, np.nan, 1).reshape(100, 3, 3),
    "float32 infinity": np.full((3, 3), np.inf, np.float32),
}


@pytest.mark.parametrize("A", NOT_FINITE.values(), ids=NOT_FINITE.keys())
def test_what_is_not_finite_has_no_guess_and_no_certificate(invert, A):
    with pytest.raises(ValueError, match="not finite"):
        invert.guess(A)
    with pytest.raises(ValueError, match="not finite"):
        invert.inv(A)
    result = invert.inv_ex(A)
    bad = ~np.isfinite(A).all(axis=(-2, -1))
    assert np.isnan(result.inverse[bad]).all()
    assert not result.certificate.certified[bad].any()


@pytest.mark.parametrize("A, words", REFUSED.values(), ids=REFUSED.keys())
def test_refused_in_one_sentence(invert, method, A, words):
    for call in (method, invert):
        with pytest.raises(ValueError, match=words) as caught:
            call(A)
        message = str(caught.value)
        assert "\n" not in message
        assert len(message) > 10


@pytest.mark.parametrize("A", [np.eye(4), np.zeros((3, 3, 4, 4)), np.eye(2), np.eye(3) + 0j])
def test_the_network_itself_takes_its_own_order_and_real_numbers(invert, A):
    with pytest.raises(ValueError, match="order 3"):
        invert.guess(A)


# --- what it does without ------------------------------------------------------------------------


def test_no_lapack_routine_is_called(invert, model, tmp_path, monkeypatch):
    """Everything of NumPy's LAPACK wrapper raises, under every name that leads to it."""
    A = np.concatenate([well_conditioned(50), np.ones((1, 3, 3))])
    expected, guess = invert.inv_ex(A).inverse, invert.guess(A)
    source, out = tmp_path / "a.npy", tmp_path / "x.npy"
    write_matrices(source, A)

    class Forbidden:
        def __getattr__(self, name):
            raise AssertionError(f"LAPACK: {name}")

    def forbidden(*words, **options):
        raise AssertionError("LAPACK")

    real_inv = np.linalg.inv
    inner = sys.modules[np.linalg.inv.__module__]
    inner = sys.modules.get("numpy.linalg._linalg", inner)
    monkeypatch.setattr(inner, "_umath_linalg", Forbidden())
    with pytest.raises(AssertionError, match="LAPACK"):
        real_inv(np.eye(3))  # the trap does work
    for name in np.linalg.__all__:
        if name not in ("LinAlgError", "norm", "vector_norm", "matrix_norm", "matmul", "outer"):
            monkeypatch.setattr(np.linalg, name, forbidden)
    for name, module in list(sys.modules.items()):
        if name.startswith(("scipy.linalg", "torch.linalg")) and module is not None:
            for routine in ("inv", "solve", "pinv", "svd", "qr", "eigh", "lu"):
                if hasattr(module, routine):
                    monkeypatch.setattr(module, routine, forbidden)
    np.testing.assert_array_equal(invert.inv_ex(A).inverse, expected)
    np.testing.assert_array_equal(invert.guess(A), guess)
    from deepmatrixinversion.cli.invert import main

    words = ["--inputmx", str(source), "--inverseout", str(out), "--model", str(model)]
    words += ["--invtarget", str(source), "--on_uncertified", "keep"]
    assert main(words) == 1  # the singular one
    np.testing.assert_array_equal(read_matrices(out), expected)


UNWANTED = ("torch", "onnx", "onnxscript", "scipy", "huggingface_hub", "lightning", "tensorboard")

GUARD = f"""
import os, sys

class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {UNWANTED}:
            with open(os.environ["TRIED"], "a") as file:
                file.write(name + "\\n")
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Guard())
"""


@pytest.fixture
def guarded(tmp_path):
    """Run Python where the optional packages cannot be imported; return what it tried to import."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(GUARD)
    tried = tmp_path / "tried"
    paths = [str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "TRIED": str(tried)}

    def call(*words):
        tried.write_text("")
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            check=False,
        )
        return done, tried.read_text().split()

    return call


def test_the_guard_works(guarded):
    done, tried = guarded("-c", "import torch")
    assert done.returncode == 1
    assert "torch" in tried


def test_importing_the_package_needs_no_torch(guarded):
    code = """
        import sys
        import deepmatrixinversion
        import deepmatrixinversion.cli.invert
        import deepmatrixinversion.cli.dataset_generator
        import deepmatrixinversion.cli.dataset_verify
        heavy = ("torch", "onnx", "scipy", "huggingface_hub", "matplotlib", "lightning")
        print(sorted({m.split(".")[0] for m in sys.modules} & set(heavy)))
    """
    done, tried = guarded("-c", textwrap.dedent(code))
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")
    assert [t for t in tried if t.startswith(("torch", "scipy", "huggingface", "lightning"))] == []


def test_inverting_needs_none_of_the_optional_packages(guarded, model, tmp_path):
    """A real inversion with a target, a report and a plot, as a program of its own."""
    A = well_conditioned(20)
    write_matrices(tmp_path / "a.mx", A)
    write_matrices(tmp_path / "t.npy", np.linalg.inv(A))
    words = ["-m", "deepmatrixinversion.cli.invert", "--inputmx", "a.mx", "--inverseout", "x.npy"]
    words += ["--model", model, "--invtarget", "t.npy", "--report", "r.json", "--plotout", "p.png"]
    done, tried = guarded(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert [t for t in tried if t.startswith(("torch", "huggingface_hub", "lightning"))] == []
    X = read_matrices(tmp_path / "x.npy")
    assert (residuals(A, X) <= residual_bound(A, X)).all()
    assert (tmp_path / "p.png").stat().st_size > 1000


def test_the_example_of_the_package():
    assert doctest.testmod(deepmatrixinversion).failed == 0
