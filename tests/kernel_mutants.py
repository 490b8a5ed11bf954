"""The kernel's sources with a term of a bound left out, compiled and called."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np

SOURCES = Path(__file__).parents[1] / "src" / "kernel"
COMPILER = shutil.which("g++") or shutil.which("clang++")

SHIMS = {
    "certify": """
#include "certify.h"
using namespace dmx;
extern "C" void certify(int n, const double* A, const double* X, double* bounds, uint8_t* state,
                        long k) {
  mutant::certify_pairs(n, A, X, Results{nullptr, bounds, bounds + k, bounds + 2 * k, state}, k);
}
""",
    "solve": """
#include "solve.h"
using namespace dmx;
extern "C" void solve(int n, int p, const double* A, const double* X, const double* error,
                      const double* B, double* Y, double* bound, long k) {
  mutant::solve_systems({n, p, A, X, error, B, n * n, n * p, Y, bound}, 0, k);
}
""",
    "invert": """
#include "batch.h"
#include "rows.h"
void dmx::mutant::propose_lanes(int, Method, Vf*) {}
using namespace dmx;
extern "C" void invert(int n, const double* A, double* X, double* bounds, uint8_t* state, long k) {
  mutant::invert_rows(n, Method::elimination, A,
                      Results{X, bounds, bounds + k, bounds + 2 * k, state}, k);
}
""",
}
"""What of the kernel is called; the last for orders from 17 on alone."""

FILES = {"certify": ["certify", "certify_rows"], "solve": ["solve"], "invert": ["rows", "again"]}


class Mutant:
    """One of the kernel's parts, in lanes of two."""

    def __init__(
        self, folder: Path, part: str, file: str = "", old: str = "", new: str = ""
    ) -> None:
        for source in [*SOURCES.glob("*.h"), *SOURCES.glob("*.cpp")]:
            shutil.copy(source, folder)
        if file:
            text = (folder / file).read_text()
            assert text.count(old) == 1, old
            (folder / file).write_text(text.replace(old, new))
        (folder / "shim.cpp").write_text(SHIMS[part])
        objects = [self.compiled(folder, name) for name in [*FILES[part], "shim"]]
        library = folder / "mutant.so"
        subprocess.run([str(COMPILER), "-shared", "-o", library, *objects], check=True)
        self.library = ctypes.CDLL(str(library))

    @staticmethod
    def compiled(folder: Path, name: str) -> Path:
        to = folder / f"{name}.o"
        options = ["-std=c++17", "-O1", "-fPIC", "-w", "-DDMX_ISA=mutant", "-DDMX_LANES=2"]
        options.append(f"-ffp-contract={'off' if name == 'solve' else 'fast'}")
        command = [str(COMPILER), *options, "-c", str(folder / f"{name}.cpp"), "-o", str(to)]
        subprocess.run(command, check=True)
        return to

    def certify(self, A, X):
        bounds, state = np.empty((3, len(A))), np.empty(len(A), dtype=np.uint8)
        self.library.certify(A.shape[1], *map(pointer, (A, X, bounds, state)), size(A))
        return bounds

    def invert(self, A):
        X = np.empty(A.shape)
        bounds, state = np.empty((3, len(A))), np.empty(len(A), dtype=np.uint8)
        self.library.invert(A.shape[1], *map(pointer, (A, X, bounds, state)), size(A))
        return X, bounds

    def solve(self, A, X, error, B):
        Y, bound = np.empty(B.shape), np.empty((len(A), B.shape[2]))
        arrays = map(pointer, (A, X, error, B, Y, bound))
        self.library.solve(A.shape[1], B.shape[2], *arrays, size(A))
        return Y, bound


def pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)


def size(A):
    return ctypes.c_long(len(A))
