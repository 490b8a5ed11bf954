"""Running a model's graph with onnxruntime: float32 matrices in, the network's raw guesses out."""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.inference.runtime import start
from deepmatrixinversion.models.directory import ModelDirectory, read_graph
from deepmatrixinversion.models.graph import check_graph

DEFAULT_BATCH = 8192


class Session:
    """The graph of one model directory, ready to run on the CPU.

    Parameters
    ----------
    model : ModelDirectory
        A verified model directory.
    threads : int, optional
        Threads that onnxruntime may use; 0 leaves the choice to it.

    Raises
    ------
    ModelError
        When the graph does not load or its signature is not
        ``A`` float32 (batch, n, n) -> ``X`` float32 (batch, n, n) of the configured order.
    """

    def __init__(self, model: ModelDirectory, threads: int = 0) -> None:
        graph = read_graph(model)
        check_graph(graph, model.config.net.msize, f"{model.path}: model.onnx")
        try:
            self._session = start(graph, threads)
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise ModelError(f"{model.path}: model.onnx does not load ({error})") from None
        self._path = model.path
        self.order = model.config.net.msize
        self._check_signature(model)

    def _check_signature(self, model: ModelDirectory) -> None:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        n = self.order
        for values, name in ((inputs, "A"), (outputs, "X")):
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

    def __call__(self, A: np.ndarray, batch: int = DEFAULT_BATCH) -> np.ndarray:
        """The raw guess for each matrix of a (count, n, n) stack, as float32 (count, n, n).

        Raises
        ------
        ModelError
            When the graph fails on these matrices, or does not answer each of them.
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
        try:
            X = np.asarray(self._session.run(["X"], {"A": A})[0])
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise ModelError(f"{self._path}: model.onnx does not run ({error})") from None
        # The declared batch is only a name: a graph may still give one answer for all.
        if X.shape != A.shape:
            raise ModelError(
                f"{self._path}: model.onnx gave shape {X.shape} for matrices of shape {A.shape}"
            )
        return X
