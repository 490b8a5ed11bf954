"""Inverters are copied, pickled, sent to other processes, and load no more than they need."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

from deepmatrixinversion import (
    Inverter,
)


@pytest.mark.parametrize("name", ["feedback-3", "spectral"])
def test_inverters_are_copied_and_pickled(name):
    invert = Inverter.from_pretrained(name, batch=32)
    A = np.random.default_rng(0).standard_normal((4, 3, 3))
    fresh = pickle.loads(pickle.dumps(invert))
    expected = invert.guess(A)
    used = pickle.loads(pickle.dumps(invert))
    for other in (fresh, used, copy.deepcopy(invert), copy.copy(invert)):
        np.testing.assert_array_equal(other.guess(A), expected)
        assert other.batch == 32
    assert len(pickle.dumps(invert)) < 1 << 20


def test_inverters_go_to_other_processes(tmp_path):
    """Spawned, so that nothing is there but what was pickled."""
    code = (
        "import multiprocessing, numpy as np\n"
        "from deepmatrixinversion import Inverter\n"
        "if __name__ == '__main__':\n"
        "    invert = Inverter.from_pretrained('feedback-3')\n"
        "    A = [2.0 * np.eye(3), 4.0 * np.eye(3)]\n"
        "    invert(A)\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print([float(X[0, 0]) for X in pool.map(invert, A)])\n"
    )
    done = run_file(tmp_path / "program.py", code)
    assert done.stdout == "[0.5, 0.25]\n"


def run_file(path, code):
    path.write_text(code)
    return subprocess.run([sys.executable, path], capture_output=True, text=True, check=True)


def test_importing_and_making_an_inverter_loads_no_onnxruntime(tmp_path):
    code = (
        "import sys, deepmatrixinversion as d\n"
        "invert = d.Inverter.from_pretrained('feedback-3')\n"
        "d.Inverter.from_pretrained('spectral')([[2.0]])\n"
        "assert 'onnxruntime' not in sys.modules\n"
        "import onnxruntime\n"
        "done = []\n"
        "def noted(name):\n"
        "    original = getattr(onnxruntime, name)\n"
        "    setattr(onnxruntime, name, lambda *a, **k: done.append(name) or original(*a, **k))\n"
        "noted('disable_telemetry_events')\n"
        "noted('InferenceSession')\n"
        "invert.guess([[2.0, 0, 0], [0, 1, 0], [0, 0, 1]])\n"
        "assert done == ['disable_telemetry_events', 'InferenceSession'], done\n"
    )
    run_file(tmp_path / "program.py", code)


@pytest.mark.parametrize("n", range(2, 9))
def test_a_guess_does_not_depend_on_its_neighbours(n):
    invert = Inverter.from_pretrained(f"feedback-{n}")
    A = np.random.default_rng(n).standard_normal((203, n, n))
    whole = invert.guess(A)
    for batch in (1, 3, 31, 200):
        other = Inverter.from_pretrained(f"feedback-{n}", batch=batch)
        np.testing.assert_array_equal(other.guess(A), whole)
    for count in (1, 2, 7, 33, 200, 201):
        np.testing.assert_array_equal(invert.guess(A[-count:]), whole[-count:])
