"""onnxruntime, imported when a graph first runs, and without its telemetry."""

from __future__ import annotations

import os
from types import ModuleType


def onnxruntime() -> ModuleType:
    """The module ``onnxruntime``.

    Its library would write a device's id and a queue of events into the home directory as it is
    loaded, so the switch against that comes first.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime as module

    module.disable_telemetry_events()
    return module
