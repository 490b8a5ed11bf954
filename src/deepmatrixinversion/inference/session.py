"""Running a model's graph with onnxruntime: float32 matrices in, the network's raw guesses out."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepmatrixinversion.errors import ModelError, printable
from deepmatrixinversion.models.directory import ModelDirectory, read_graph
from deepmatrixinversion.runtime import onnxruntime

DEFAULT_BATCH = 8192

GROUP = 16
"""A graph always sees a multiple of so many matrices. onnxruntime's vectorised kernels treat what
is left over differently, so that a matrix's answer would depend on how many stand beside it."""

ALIGNED = 4
"""Floats in 16 bytes. The order of onnxruntime's sums depends on where in them a matrix begins, so
matrices of odd order get every fourth place: elsewhere bits would depend on how many go before."""


class Session:
    """The graph of one model directory, ready to run on the CPU.

    onnxruntime is imported, without its telemetry, when the graph first runs.

    Parameters
    ----------
    model : ModelDirectory
        A verified model directory.
    threads : int, optional
        Threads that onnxruntime may use; 0 leaves the choice to it.

    Raises
    ------
    ModelError
        When the graph is no network of this package and of the configured order: A float32
        (batch, n, n) -> X float32 (batch, n, n).
    """

    def __init__(self, model: ModelDirectory, threads: int = 0) -> None:
        self._graph = read_graph(model)
        self._threads = threads
        self._path = model.path
        self._session: Any = None
        self.order = model.config.net.msize

    def _load(self) -> Any:
        runtime = onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        try:
            return runtime.InferenceSession(
                self._graph, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise ModelError(
                f"{self._path}: model.onnx does not load ({printable(error)})"
            ) from None

    def __call__(self, A: np.ndarray, batch: int = DEFAULT_BATCH) -> np.ndarray:
        """The raw guess for each matrix of a (count, n, n) stack, as float32 (count, n, n).

        ``batch`` is rounded up to a multiple of ``GROUP``, and places are left to matrices of
        zeros, three of four for odd orders: each answer is the same to the bit, whatever stands
        beside it.

        Raises
        ------
        ModelError
            When the graph does not load, fails on these matrices, or does not answer each of them.
        ValueError
            When ``batch``, the number of matrices in a call of the graph, is below 1.
        """
        if batch < 1:
            raise ValueError(f"batch is {batch}; it must be at least 1")
        A = np.ascontiguousarray(A, dtype=np.float32)
        X = np.empty_like(A)
        every = 1 if A.shape[-1] % 2 == 0 else ALIGNED
        step = -(-batch // GROUP) * GROUP // every
        for start in range(0, len(A), step):
            part = A[start : start + step]
            places = -(-len(part) * every // GROUP) * GROUP
            if places > len(part):
                padded = np.zeros((places, *A.shape[1:]), dtype=A.dtype)
                padded[: len(part) * every : every] = part
                part = padded
            X[start : start + step] = self._run(part)[::every][: len(X) - start]
        return X

    def _run(self, A: np.ndarray) -> np.ndarray:
        if self._session is None:
            self._session = self._load()
        try:
            X = np.asarray(self._session.run(["X"], {"A": A})[0])
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise ModelError(
                f"{self._path}: model.onnx does not run ({printable(error)})"
            ) from None
        # The declared batch is only a name: a graph may still give one answer for all.
        if X.shape != A.shape:
            raise ModelError(
                f"{self._path}: model.onnx gave shape {X.shape} for matrices of shape {A.shape}"
            )
        return X
