"""Static int8 quantisation, which inverses must be left out of."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.quantization import CalibrationDataReader, quantize_static

from deepmatrixinversion.cli.export import main

ORDER = 8


class Calibration(CalibrationDataReader):
    """One batch, once."""

    def __init__(self, feed):
        self.feeds = iter([feed])

    def get_next(self) -> Any:
        return next(self.feeds, None)


def residual(path, A):
    """Median ‖I - A X‖F of the file's inverses."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    X = session.run(None, {session.get_inputs()[0].name: A})[0]
    return np.median(np.linalg.norm(np.eye(ORDER) - A @ X, axis=(1, 2)))


@pytest.mark.parametrize("net", ["elimination", "iterative"])
def test_nodes_left_out_of_quantisation_stay_exact(net, tmp_path):
    path = tmp_path / f"{net}.onnx"
    main(["--msize", str(ORDER), "--net", net, "--out", str(path)])
    A = np.random.default_rng(0).standard_normal((100, ORDER, ORDER)).astype(np.float32)
    graph = onnx.load(path).graph
    feed = {graph.input[0].name: A}
    quantize_static(path, tmp_path / "all.onnx", Calibration(feed))
    names = [node.name for node in graph.node]
    quantize_static(path, tmp_path / "none.onnx", Calibration(feed), nodes_to_exclude=names)
    assert residual(tmp_path / "none.onnx", A) == residual(path, A) < 1e-5
    assert residual(tmp_path / "all.onnx", A) > 1  # docs/onnx.md says so
