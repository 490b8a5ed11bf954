"""The kernel for NVIDIA devices compiled for this processor, a lane a warp: its bounds, exactly."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from deepmatrixinversion import inv_ex
from deepmatrixinversion.torch.cuda_stack import source
from device_families import families
from oracle import violation

COMPILER = shutil.which("c++") or shutil.which("clang++") or shutil.which("g++")
HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")

ENTRY = """
#include "cuda_on_host.h"
#include "kernel.cuh"
extern "C" void invert_all(const T* A, T* Z, long long count, bool* settled, double* residual,
                           double* error, double* relative) {
  for (blockIdx.x = 0; blockIdx.x < count; blockIdx.x++)
    invert(A, Z, count, settled, residual, error, relative);
}
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The function of an order and dtype, on arrays: inverse, settled and the three bounds."""
    folder = tmp_path_factory.mktemp("host")
    (folder / "kernel.cuh").write_text(source())

    def function(n: int, dtype: type):
        path = folder / f"{n}_{np.dtype(dtype).name}"
        path.with_suffix(".cpp").write_text(ENTRY)
        options = ["-std=c++17", "-O1", "-ffp-contract=off", "-shared", "-fPIC", f"-DORDER={n}"]
        options += [f"-DSINGLE={int(dtype is np.float32)}", f"-I{HERE}", f"-I{folder}"]
        command = [str(COMPILER), *options, "-o", f"{path}.so", f"{path}.cpp"]
        subprocess.run(command, check=True, capture_output=True)
        entry = ctypes.CDLL(f"{path}.so").invert_all
        entry.argtypes = [*[ctypes.c_void_p] * 2, ctypes.c_longlong, *[ctypes.c_void_p] * 4]

        def through(A):
            X, settled = np.empty_like(A), np.empty(len(A), dtype=bool)
            bounds = np.empty((3, len(A)))
            arrays = [settled, *bounds]
            entry(A.ctypes.data, X.ctypes.data, len(A), *(x.ctypes.data for x in arrays))
            return X, settled, bounds

        return through

    return function


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 3, 8, 17])
def test_bounds_hold_in_exact_arithmetic(n, dtype, compiled):
    with np.errstate(over="ignore"):
        A = families(n, 4, np.random.default_rng(n)).astype(dtype)
    X, settled, bounds = compiled(n, dtype)(A)
    assert settled.mean() > 0.6
    for k in np.flatnonzero(settled):
        assert violation(A[k].astype(float), X[k].astype(float), True, *bounds[:, k]) is None, k
    assert np.isinf(bounds[:, ~settled]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [3, 12])
def test_normal_matrices_are_right_to_the_last_bit(n, dtype, compiled):
    A = np.random.default_rng(n).standard_normal((2000, n, n)).astype(dtype)
    A[7], A[8, 0, 0] = 1, np.nan
    X, settled, bounds = compiled(n, dtype)(A)
    assert not settled[7:9].any()
    assert settled.sum() >= 1990
    unit = np.finfo(dtype).eps / 2
    assert bounds[2][settled].max() <= 1.5 * unit
    expected = inv_ex(A[settled])
    off = np.abs(X[settled] - expected.inverse.astype(float)).sum(-1).max(-1)
    assert (off <= 2 * unit * np.abs(expected.inverse).astype(float).sum(-1).max(-1)).all()
