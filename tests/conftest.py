"""One thread a process, for torch, NumPy and the commands that tests start alike.

The tests' arrays are too small to share, and pytest-xdist already fills the cores. Set before
anything imports torch, so that tests which need no torch do not pay for it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests import onnxruntime themselves, and would write into the home that they run in.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Benchmarks are measured by their tests too: `import soundness`, `import schedules`.
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
