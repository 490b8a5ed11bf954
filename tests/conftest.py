"""One thread a process, for torch, NumPy and the commands that tests start alike.

The tests' arrays are too small to share, and pytest-xdist already fills the cores. Set before
anything imports torch, so that tests which need no torch do not pay for it.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from deepmatrixinversion import Inverter, kernel
from deepmatrixinversion.matrices import write_matrices

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests import onnxruntime themselves, and would write into the home that they run in.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Benchmarks are measured by their tests too: `import soundness`, `import schedules`.
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A model directory of order 3, made in milliseconds."""
    from models_for_tests import make_model

    return make_model(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture
def model(small, tmp_path):
    """A copy of it, to be spoiled."""
    return shutil.copytree(small, tmp_path / "small")


@pytest.fixture
def here(small, tmp_path, monkeypatch):
    """A folder to work in with a.npy (matrices), t.npy (their inverses), m (the model)."""
    import inverting

    monkeypatch.chdir(tmp_path)
    write_matrices("a.npy", inverting.A)
    write_matrices("t.npy", np.linalg.inv(inverting.A))
    (tmp_path / "m").symlink_to(small)
    return tmp_path


@pytest.fixture(scope="module")
def invert(small):
    """Its Inverter."""
    return Inverter.from_pretrained(small)


@pytest.fixture(scope="module", params=["guess", "refined"])
def method(request, invert):
    """What that answers, raw and refined."""
    if request.param == "guess":
        return invert.guess
    return lambda A: invert.inv_ex(A).inverse


@pytest.fixture
def quick(monkeypatch):
    """Measure a finished model on few matrices and draw nothing: that is tested elsewhere."""
    from deepmatrixinversion.training import finish

    evaluate = functools.partial(finish.evaluate, matrices=100)
    monkeypatch.setattr(finish, "evaluate", evaluate)
    monkeypatch.setattr(finish, "_draw", lambda *_: None)


@pytest.fixture
def usual_signals():
    """Signals as a terminal has them: children inherit what nohup and background jobs ignore."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    if hasattr(signal, "SIGHUP"):
        usual[signal.SIGHUP] = signal.SIG_DFL
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(params=kernel.show_config().get("instruction_sets", []))
def instruction_set(request):
    """Each that this processor has, for the kernel to run."""
    before = kernel.show_config()["instruction_set"]
    kernel.use(request.param)
    yield request.param
    kernel.use(before)
