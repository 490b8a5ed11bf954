"""Compares a graph with PyTorch and float64 before it is written, and measures its accuracy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from deepmatrixinversion.export.options import Options
from deepmatrixinversion.matrices.spectra import even_spectrum, with_singular_values
from deepmatrixinversion.runtime import onnxruntime

KAPPAS = {"16": (1, 10), "32": (1, 10, 100), "64": (1, 10, 100, 1e4)}
NETWORK_KAPPAS = {**KAPPAS, "64": KAPPAS["32"]}  # a network's guess is float32 in any case
MEASURED = {
    "16": (1, 10, 100, 1e3),
    "32": (1, 10, 100, 1e3, 1e4, 1e5, 1e6),
    "64": (1, 1e2, 1e4, 1e6, 1e8, 1e10, 1e12),
}
SHARE = 64
"""How far, in units of n eps kappa, a graph may be from the result it is compared with."""


class Accuracy(NamedTuple):
    """At one condition number: ‖X - A⁻¹‖F/‖A⁻¹‖F, ‖I - A X‖F, the share of ``converged``.

    Of pseudo-inverses A⁺ in place of A⁻¹ and ‖A X A - A‖F/‖A‖F in place of ‖I - A X‖F.
    """

    kappa: float
    error: float
    residual: float
    converged: float


def matrices(
    order: int, kappa: float, count: int, seed: int, rows: int | None = None
) -> np.ndarray:
    """Matrices with singular values spread evenly, in their logarithms, over [1/kappa, 1].

    ``order`` columns and as many ``rows``, if nothing else is said.
    """
    rng = np.random.default_rng([seed, order, int(kappa)])
    rows = rows or order
    sigma = even_spectrum(min(rows, order), np.full(count, kappa))
    return with_singular_values(rng, sigma, rows, order)


def session(data: bytes) -> Any:
    """The graph in onnxruntime, on the CPU, which says nothing but errors."""
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run(graph: Any, options: Options, A: np.ndarray) -> list[np.ndarray]:
    """The graph's three outputs, for the identity as right-hand sides where it solves."""
    feed = {"A": A}
    if options.kind == "solve":
        feed["B"] = right_hand_sides(A)
    return [np.asarray(o) for o in graph.run(None, feed)]


def right_hand_sides(A: np.ndarray) -> np.ndarray:
    """The identity for each matrix: the solution is the inverse, and compared as one."""
    return np.broadcast_to(np.eye(A.shape[-1], dtype=A.dtype), A.shape).copy()


def check(data: bytes, module: nn.Module, options: Options, seed: int = 1) -> float:
    """Largest relative difference of the graph from PyTorch's result on fresh matrices.

    Two evaluations of an inverse that end at rounding level are each within a few n eps kappa of
    the exact one, in the relative Frobenius norm, and so of each other.

    Raises
    ------
    ValueError
        When a difference, or that of an inverse in closed form or by iteration from float64's, is
        above 64 n eps kappa, or ``converged`` is false.
    """
    graph, worst = session(data), 0.0
    kappas = KAPPAS if options.network is None else NETWORK_KAPPAS
    dtype = options.dtype
    eps = torch.finfo(dtype).eps
    for order in [options.order] if options.order else [2, 5, 12]:
        for kappa in kappas[options.precision]:
            A = torch.from_numpy(matrices(order, kappa, 8, seed, options.shape[0])).to(dtype)
            arguments = (A,)
            if options.kind == "solve":
                arguments += (torch.from_numpy(right_hand_sides(A.numpy())),)
            with torch.no_grad():
                expected = module(*arguments)[0].double().numpy()
            X, _, converged = run(graph, options, A.numpy())
            exact = exact_inverse(A.double().numpy(), options)
            limit = SHARE * max(order, options.shape[0]) * eps * kappa
            difference = float(relative(X, expected).max())
            worst = max(worst, difference)
            if not difference <= limit:
                raise ValueError(
                    f"the graph differs from PyTorch by {difference:.1e} at order {order}, "
                    f"condition {kappa:g}, above {limit:.1e}: it is not written"
                )
            if options.network is None and not (error := relative(X, exact).max()) <= limit:
                raise ValueError(
                    f"the graph's error is {error:.1e} at order {order}, condition {kappa:g}, "
                    f"above {limit:.1e}: it is not written"
                )
            if options.network is None and limit < options.threshold and not converged.all():
                raise ValueError(f"the graph finds no inverse at condition {kappa:g}")
    return worst


def measure(data: bytes, options: Options, count: int = 100, seed: int = 2) -> list[Accuracy]:
    """Largest errors of the graph on fresh matrices, by condition number."""
    graph, rows = session(data), []
    order = options.order or 16
    dtype = np.dtype(str(options.dtype).removeprefix("torch."))
    for kappa in MEASURED[options.precision]:
        A = matrices(order, kappa, count, seed, options.shape[0]).astype(dtype)
        X, _, converged = run(graph, options, A)
        wide = A.astype(np.float64)
        with np.errstate(all="ignore"):
            P = wide @ X.astype(np.float64)
            if options.kind == "pinv":
                residual = float(relative(P @ wide, wide).max())
            else:
                residual = float(np.linalg.norm(np.eye(order) - P, axis=(1, 2)).max())
            error = float(relative(X, exact_inverse(wide, options)).max())
        rows.append(Accuracy(kappa, error, residual, float(converged.mean())))
        if min(order, options.shape[0] or order) == 1:
            break
    return rows


def exact_inverse(A: np.ndarray, options: Options) -> np.ndarray:
    """The float64 result that the graph should come near."""
    return np.linalg.pinv(A) if options.kind == "pinv" else np.linalg.inv(A)


def relative(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """‖X - Y‖F/‖Y‖F of each pair, in float64."""
    difference = np.linalg.norm(X.astype(np.float64) - Y, axis=(1, 2))
    return difference / np.linalg.norm(Y, axis=(1, 2))
