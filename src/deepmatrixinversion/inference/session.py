"""Running a model's graph with onnxruntime: float32 matrices in, the network's raw guesses out."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepmatrixinversion.errors import ModelError, printable
from deepmatrixinversion.models.directory import ModelDirectory, read_graph
from deepmatrixinversion.runtime import onnxruntime

DEFAULT_BATCH = 8192

GROUP = 8
"""Calls take a multiple of this many matrices, the last repeated: one alone, or one of a few, goes
through other code of onnxruntime's, which rounds otherwise (measured: orders 6 to 8)."""


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

        A matrix's bits depend neither on ``batch`` nor on its neighbours.

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
        for start in range(0, len(A), batch):
            part = slice(start, start + batch)
            X[part] = self._run(A[part])
        return X

    def _run(self, A: np.ndarray) -> np.ndarray:
        if self._session is None:
            self._session = self._load()
        count = len(A)
        if missing := -count % GROUP:
            A = np.concatenate([A, np.repeat(A[-1:], missing, axis=0)])
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
        return X[:count]
