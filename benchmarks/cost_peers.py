"""Who else inverts stacks of small matrices: torch, JAX, Warp and MKL, where they are installed.

Each is a function of a stack of float64 matrices in memory, as NumPy's is, and has a thread to
itself where that can be said. Whoever is missing is named.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Inverse = Callable[[np.ndarray], np.ndarray]


class Missing(Exception):
    """A peer that this environment, or this order, does not have."""


def torch_inverse(order: int) -> Inverse:
    """``torch.linalg.inv``."""
    require("torch")
    import torch

    return lambda A: torch.linalg.inv(torch.from_numpy(A)).numpy()


def jax_inverse(order: int) -> Inverse:
    """``jax.numpy.linalg.inv``, compiled."""
    require("jax")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax

    jax.config.update("jax_enable_x64", True)
    compiled = jax.jit(jax.numpy.linalg.inv)
    return lambda A: np.asarray(compiled(A))


def warp_inverse(order: int) -> Inverse:
    """``warp.inverse``, orders 2 to 4, on the processor."""
    if not 2 <= order <= 4:
        raise Missing("Warp: orders 2 to 4 alone")
    require("warp")
    warp: Any = importlib.import_module("warp")
    warp.config.quiet = True
    kind: Any = warp.types.matrix(shape=(order, order), dtype=warp.float64)

    def invert(A, X):
        i = warp.tid()
        X[i] = warp.inverse(A[i])

    invert.__annotations__ = {name: warp.array(dtype=kind) for name in ("A", "X")}
    kernel = warp.kernel(invert, module="unique")

    def inverse(A: np.ndarray) -> np.ndarray:
        X = np.empty_like(A)
        arrays = [warp.array(M, dtype=kind, device="cpu", copy=False) for M in (A, X)]
        warp.launch(kernel, dim=len(A), inputs=[arrays[0]], outputs=[arrays[1]], device="cpu")
        return X

    return inverse


ROW_MAJOR = 101


def mkl_inverse(order: int) -> Inverse:
    """MKL's compact routines: pack, eliminate without pivoting, invert, unpack."""
    places = [*Path(sys.prefix, "lib").glob("libmkl_rt.so*"), *Path(sys.prefix).glob("**/mkl_rt*")]
    if not places:
        raise Missing("MKL: pip install mkl")
    os.environ.setdefault("MKL_THREADING_LAYER", "SEQUENTIAL")
    library = ctypes.CDLL(str(places[0]))
    number = ctypes.c_int
    form = number(library.mkl_get_format_compact())
    n = number(order)

    def inverse(A: np.ndarray) -> np.ndarray:
        count, X, info = number(len(A)), np.empty_like(A), number()
        library.mkl_dget_size_compact.restype = ctypes.c_int
        size = library.mkl_dget_size_compact(n, n, form, count)
        packed = np.empty(size // 8)
        work = np.empty(order * order * 64)
        at = packed.ctypes.data_as(ctypes.c_void_p)
        library.mkl_dgepack_compact(number(ROW_MAJOR), n, n, pointers(A), n, at, n, form, count)
        library.mkl_dgetrfnp_compact(
            number(ROW_MAJOR), n, n, at, n, ctypes.byref(info), form, count
        )
        library.mkl_dgetrinp_compact(
            number(ROW_MAJOR), n, at, n, work.ctypes.data_as(ctypes.c_void_p),
            number(work.size), ctypes.byref(info), form, count,
        )  # fmt: skip
        library.mkl_dgeunpack_compact(number(ROW_MAJOR), n, n, pointers(X), n, at, n, form, count)
        return X

    return inverse


def pointers(A: np.ndarray) -> Any:
    """The addresses of the matrices of a stack."""
    addresses = A.ctypes.data + A.strides[0] * np.arange(len(A), dtype=np.uintp)
    return addresses.ctypes.data_as(ctypes.c_void_p)


PEERS: dict[str, Callable[[int], Inverse]] = {
    "torch": torch_inverse,
    "JAX": jax_inverse,
    "Warp": warp_inverse,
    "MKL compact": mkl_inverse,
}


def require(package: str) -> None:
    """Raise ``Missing`` where a package is not installed."""
    if importlib.util.find_spec(package) is None:
        raise Missing(f"{package} is not installed")


def peers_for(order: int) -> dict[str, Inverse]:
    """Those that invert matrices of this order, tried on one stack; the others are named."""
    found: dict[str, Inverse] = {}
    A = np.random.default_rng(0).uniform(-1, 1, (16, order, order)) + order * np.eye(order)
    for name, make in PEERS.items():
        try:
            inverse = make(order)
            if np.abs(inverse(A) @ A - np.eye(order)).max() > 1e-9:
                raise Missing(f"{name}: its inverses are wrong")
        except (Missing, OSError, AttributeError) as missing:
            print(f"left out at order {order}: {missing}", flush=True)
        else:
            found[name] = inverse
    return found
