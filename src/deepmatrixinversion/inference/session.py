"""Running a model's graph with onnxruntime: float32 matrices in, the network's raw guesses out.

onnxruntime is imported when a graph first runs, and its telemetry is off before anything of it is
made: importing this package, and inverting without a graph, leave it alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.models.directory import ModelDirectory, read_graph

DEFAULT_BATCH = 8192

BLOCK = 16
"""A graph always sees a multiple of so many matrices. onnxruntime's vectorised kernels treat what
is left over differently, so that a matrix's answer would depend on how many stand beside it."""

ALIGNED = 4
"""Floats in 16 bytes. The order of onnxruntime's sums depends on where in them a matrix begins, so
matrices of odd order get every fourth place: elsewhere bits would depend on how many go before."""


class Session:
    """The graph of one model directory, loaded when first called, on the CPU.

    Parameters
    ----------
    model : ModelDirectory
        A verified model directory.
    threads : int, optional
        Threads that onnxruntime may use; 0 leaves the choice to it.

    Notes
    -----
    A pickle holds the model directory and the number of threads, not onnxruntime's session: a copy
    loads the graph again.
    """

    def __init__(self, model: ModelDirectory, threads: int = 0) -> None:
        self.model = model
        self.threads = threads
        self.order = model.config.net.msize
        self._session: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None}

    def load(self) -> None:
        """Load the graph and check its signature, unless that is done.

        Raises
        ------
        ModelError
            When the graph does not load or its signature is not
            ``A`` float32 (batch, n, n) -> ``X`` float32 (batch, n, n) of the configured order.
        """
        if self._session is None:
            session = _open(self.model, self.threads)
            _check_signature(session, self.model)
            self._session = session

    def __call__(self, A: np.ndarray, batch: int = DEFAULT_BATCH) -> np.ndarray:
        """The raw guess for each matrix of a (count, n, n) stack, as float32 (count, n, n).

        Raises
        ------
        ModelError
            As for ``load``; when the graph fails on these matrices, or does not answer each of
            them.
        ValueError
            When ``batch``, the number of matrices in a call of the graph, is below 1.

        Notes
        -----
        ``batch`` is rounded up to a multiple of ``BLOCK``, and places are left to matrices of
        zeros, three of four for odd orders: each answer is the same to the bit, whatever stands
        beside it.
        """
        if batch < 1:
            raise ValueError(f"batch is {batch}; it must be at least 1")
        self.load()
        A = np.ascontiguousarray(A, dtype=np.float32)
        X = np.empty_like(A)
        every = 1 if A.shape[-1] % 2 == 0 else ALIGNED
        step = -(-batch // BLOCK) * BLOCK // every
        for start in range(0, len(A), step):
            part = A[start : start + step]
            places = -(-len(part) * every // BLOCK) * BLOCK
            if places > len(part):
                padded = np.zeros((places, *A.shape[1:]), dtype=A.dtype)
                padded[: len(part) * every : every] = part
                part = padded
            X[start : start + step] = self._run(part)[::every][: len(X) - start]
        return X

    def _run(self, A: np.ndarray) -> np.ndarray:
        try:
            X = np.asarray(self._session.run(["X"], {"A": A})[0])
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise ModelError(f"{self.model.path}: model.onnx does not run ({error})") from None
        # The declared batch is only a name: a graph may still give one answer for all.
        if X.shape != A.shape:
            raise ModelError(
                f"{self.model.path}: model.onnx gave shape {X.shape} for matrices of shape "
                f"{A.shape}"
            )
        return X


def _open(model: ModelDirectory, threads: int) -> Any:
    graph = read_graph(model)
    # A tensor kept outside the graph names its file under this key. onnxruntime would read it,
    # relative to the working directory and "../" included.
    if b"location" in graph:
        raise ModelError(f"{model.path}: model.onnx refers to weights outside the file")
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise ModelError(f"{model.path}: model.onnx does not load ({error})") from None


def _check_signature(session: Any, model: ModelDirectory) -> None:
    n = model.config.net.msize
    for values, name in ((session.get_inputs(), "A"), (session.get_outputs(), "X")):
        if (
            len(values) != 1
            or values[0].name != name
            or values[0].type != "tensor(float)"
            or len(values[0].shape) != 3
            or list(values[0].shape[1:]) != [n, n]
            or isinstance(values[0].shape[0], int)
        ):
            got = [(v.name, v.type, v.shape) for v in values]
            raise ModelError(
                f"{model.path}: model.onnx has {got} where one float32 tensor '{name}' of "
                f"shape (batch, {n}, {n}) belongs"
            )
