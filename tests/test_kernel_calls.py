"""The compiled kernel: what its results depend on, and what it takes."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deepmatrixinversion import kernel
from deepmatrixinversion.kernel import invert_stack
from kernel_families import FAMILIES, bits

pytestmark = pytest.mark.skipif(not kernel.available(), reason="there is no kernel")

METHODS = kernel.METHODS


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="constants of x86-64")
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "fesetround"), reason="no fesetround")
@pytest.mark.parametrize("mode", [0x400, 0x800, 0xC00], ids=["down", "up", "to zero"])
def test_rounding_modes_of_the_caller_do_not_matter(mode):
    libm = ctypes.CDLL(None)
    A = np.random.default_rng(0).standard_normal((40, 6, 6))
    expected = bits(invert_stack(A, threads=1))
    before = libm.fegetround()
    assert libm.fesetround(mode) == 0
    try:
        found = invert_stack(A, threads=1)
        after = libm.fegetround()
    finally:
        libm.fesetround(before)
    assert bits(found) == expected
    assert after == mode


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 16, 17, 24])
def test_every_matrix_has_its_own_bits(instruction_set, n, method):
    """Whatever stands beside it, wherever it stands, however many threads."""
    rng = np.random.default_rng(n)
    A = np.stack([FAMILIES[k % len(FAMILIES)](n, rng) for k in range(53)])
    A[7], A[11] = np.nan, 0.0
    A[20, 0, 0] = np.inf
    whole = invert_stack(A, method, threads=1)
    many = np.concatenate([A] * (2 + 1_200_000 // (n**3 + 64) // len(A)))  # worth three threads
    parallel = invert_stack(many, method, threads=3)
    for start in range(0, len(many), len(A)):
        assert bits([field[start : start + len(A)] for field in parallel]) == bits(whole)
    backwards = invert_stack(np.ascontiguousarray(A[::-1]), method, threads=1)
    assert bits([field[::-1] for field in backwards]) == bits(whole)
    for k in (0, 12, 37, 52):
        assert bits(invert_stack(A[k : k + 1], method)) == bits([f[k : k + 1] for f in whole])
        one = kernel.invert_one(A[k]) if method == "network" else None
        assert one is None or bits(one) == bits([field[k] for field in whole[:4]])
        assert (one is None) == (method != "network" or not whole.settled[k])
    for k in (7, 11, 20):
        assert not whole.finished[k]
        assert whole.error_bound[k] == np.inf


def test_the_benchmark_runs():
    script = Path(__file__).parents[1] / "benchmarks" / "kernel.py"
    options = ["--orders", "2", "17", "--entries", "2000", "--least", "32", "--repeats", "1"]
    result = subprocess.run(
        [sys.executable, str(script), *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    rows = [line.split("|")[1].strip() for line in result.stdout.splitlines() if line[:1] == "|"]
    assert rows[2:] == ["2", "17"]


def test_empty_stack():
    assert invert_stack(np.empty((0, 3, 3))).inverse.shape == (0, 3, 3)


def test_bad_arguments_are_named():
    A = np.eye(2)[None]
    with pytest.raises(ValueError, match="method"):
        invert_stack(A, "guess")
    with pytest.raises(ValueError, match="thread"):
        invert_stack(A, threads=0)
    with pytest.raises(ValueError, match="order"):
        invert_stack(np.zeros((1, 65, 65)))
    with pytest.raises(ValueError, match="instruction"):
        kernel.use("abacus")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_structural_zeros_are_zeros(dtype):
    """What the pattern alone makes zero is zero, and nothing else changes."""
    rng = np.random.default_rng(0)
    for n in (2, 5, 16, 17, 40, 64):
        A = np.tril(rng.uniform(1, 2, (3, n, n))) + 2 * n * np.eye(n)
        places = rng.permutation(n)
        A = np.ascontiguousarray(A[:, places][:, :, places], dtype=dtype)
        result = invert_stack(A)
        assert result.settled.all()
        pattern = np.tril(np.ones((n, n), dtype=bool))[places][:, places]
        assert (result.inverse[:, ~pattern] == 0).all()
        assert (result.inverse[:, pattern] != 0).all()
        true = np.linalg.inv(A.astype(float))
        error = np.abs(true - result.inverse).sum(axis=2).max(axis=1)
        assert (error <= result.error_bound + 1e-14 * np.abs(true).sum(axis=2).max(axis=1)).all()


def test_what_is_plain():
    """A usual magnitude, and no singular matrix within a rounding or two."""
    rng = np.random.default_rng(0)
    for n in (2, 8, 16, 17, 33, 64):
        A = rng.standard_normal((6, n, n))
        A[1, 0] *= 2.0**-20
        A[2, :, 0] *= 2.0**-20
        A[3] *= 2.0**410
        A[4] *= 2.0**-410
        A[5] *= 2.0**390
        result = invert_stack(A)
        assert result.finished.all()
        assert result.settled.tolist() == [True, True, True, False, False, True]
    hair = np.array([[[1.0, 1.0], [1.0, 1.0 + 2.0**-51]]])
    assert not invert_stack(hair).settled[0]


def test_one_matrix_is_served_or_declined():
    A = np.random.default_rng(0).standard_normal((8, 8))
    for M in (A, A.astype(np.float32)):
        found = kernel.invert_one(M)
        assert found is not None
        assert found[0].tobytes() == invert_stack(M[None]).inverse.tobytes()
    declined = [A.T, A[::2, ::2], A[:, :4], A[0], A[None], A.astype(">f8"), A.astype(int)]
    declined += [A + 0j, np.zeros((8, 8)), np.full((8, 8), np.nan), np.eye(65), np.empty((0, 0))]
    assert [kernel.invert_one(M) for M in declined] == [None] * len(declined)
