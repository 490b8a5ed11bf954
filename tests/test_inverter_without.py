"""What inverting does without: LAPACK, torch and every optional package."""

from __future__ import annotations

import doctest
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import deepmatrixinversion
from deepmatrixinversion.matrices import read_matrices, write_matrices
from models_for_tests import (
    residual_bound,
    well_conditioned,
)
from truth import residuals


def test_no_lapack_routine_is_called(invert, small, tmp_path, monkeypatch):
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

    words = ["--inputmx", str(source), "--inverseout", str(out), "--model", str(small)]
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


def test_inverting_needs_none_of_the_optional_packages(guarded, small, tmp_path):
    """A real inversion with a target, a report and a plot, as a program of its own."""
    A = well_conditioned(20)
    write_matrices(tmp_path / "a.mx", A)
    write_matrices(tmp_path / "t.npy", np.linalg.inv(A))
    words = ["-m", "deepmatrixinversion.cli.invert", "--inputmx", "a.mx", "--inverseout", "x.npy"]
    words += ["--model", small, "--invtarget", "t.npy", "--report", "r.json", "--plotout", "p.png"]
    done, tried = guarded(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert [t for t in tried if t.startswith(("torch", "huggingface_hub", "lightning"))] == []
    X = read_matrices(tmp_path / "x.npy")
    assert (residuals(A, X) <= residual_bound(A, X)).all()
    assert (tmp_path / "p.png").stat().st_size > 1000


def test_the_example_of_the_package():
    assert doctest.testmod(deepmatrixinversion).failed == 0
