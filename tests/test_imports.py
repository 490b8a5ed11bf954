"""What starts without torch and onnxruntime, and what appears in the user's home."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from deepmatrixinversion.matrices import write_matrices

HEAVY = ("torch", "onnx", "onnxruntime", "lightning_fabric", "tensorboard", "scipy")
MAIN = "from deepmatrixinversion.cli.invert import main\n"


def python(code, tmp_path, **environment):
    """Run code in a process of its own, with a home of its own."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ORT_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=kept | {"HOME": str(home), "USERPROFILE": str(home), "MPLBACKEND": "Agg"} | environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, sorted(str(p.relative_to(home)) for p in home.rglob("*"))


CODES = {
    "import": "import deepmatrixinversion",
    "help": MAIN + "try:\n    main(['--help'])\nexcept SystemExit:\n    pass",
    "numpy mode": MAIN
    + "main('--inputmx a.npy --inverseout x.npy --invert_mode numpy --quiet'.split())",
    "certify": "import numpy as np, deepmatrixinversion as d; d.certify(np.eye(3), np.eye(3))",
}


@pytest.mark.parametrize("code", CODES.values(), ids=CODES.keys())
def test_what_needs_no_graph_loads_none(code, tmp_path):
    write_matrices(tmp_path / "a.npy", np.eye(3)[None])
    code += f"\nimport sys; print('loaded:', *[m for m in {HEAVY} if m in sys.modules])"
    out, found = python(code, tmp_path)
    assert out.splitlines()[-1].strip() == "loaded:"
    assert found == []


def test_a_graph_that_runs_leaves_nothing_in_the_home(tmp_path):
    code = "import deepmatrixinversion as d\n"
    code += "d.Inverter.from_pretrained('feedback-2').guess([[2.0, 0.0], [0.0, 1.0]])\n"
    code += (
        "import sys, os; print('onnxruntime' in sys.modules, os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    out, found = python(code, tmp_path)
    assert out.split() == ["True", "1"]
    assert found == []


def test_the_choice_of_the_user_stays(tmp_path):
    code = "import deepmatrixinversion as d, os\n"
    code += "d.Inverter.from_pretrained('feedback-2').guess([[2.0, 0.0], [0.0, 1.0]])\n"
    code += "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    out, _ = python(code, tmp_path, ORT_DISABLE_TELEMETRY="true")
    assert out.split() == ["true"]
