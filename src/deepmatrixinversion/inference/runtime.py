"""onnxruntime, imported when the first graph starts and not before, and told to report nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnxruntime


def start(graph: bytes, threads: int = 0) -> onnxruntime.InferenceSession:
    """A session of a serialised graph on the CPU, which says nothing but errors.

    Parameters
    ----------
    graph : bytes
        The ONNX model.
    threads : int
        Threads that onnxruntime may use; 0 leaves the choice to it.

    Notes
    -----
    From the moment it is imported, onnxruntime writes a device identifier and a queue of events
    into the user's home and sends them. The environment variable is what stops it; it only works
    when set before the import, and a value that the user has set stays.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
