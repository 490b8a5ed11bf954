"""The kernel is there where a compiler is, and nothing is missing where it is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from deepmatrixinversion import kernel

COMPILER = shutil.which("g++") or shutil.which("clang++")


def without_kernel(code):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DMX_WITHOUT_KERNEL": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
@pytest.mark.skipif("DMX_WITHOUT_KERNEL" in os.environ, reason="asked to do without")
def test_a_compiler_means_a_kernel():
    """Without one, the installation went wrong: DMX_REQUIRE_KERNEL=1 pip install -e . says why."""
    config = kernel.show_config()
    assert config["kernel"]
    assert config["instruction_set"] in config["instruction_sets"]
    assert config["largest_order"] == kernel.LARGEST_ORDER >= 16


def test_without_a_kernel_the_package_inverts():
    result = without_kernel(
        "import numpy as np, deepmatrixinversion as d\n"
        "from deepmatrixinversion import kernel\n"
        "assert kernel.show_config() == {'kernel': False}\n"
        "print(d.inv(2 * np.eye(3))[0, 0])"
    )
    assert (result.returncode, result.stdout.strip()) == (0, "0.5"), result.stderr


def test_without_a_kernel_the_error_says_how_to_go_on():
    result = without_kernel(
        "import numpy as np\n"
        "from deepmatrixinversion.kernel import invert_stack\n"
        "invert_stack(np.eye(3)[None])"
    )
    assert result.returncode == 1
    assert "install again with a C++ compiler" in result.stderr.splitlines()[-1]


def test_threads_come_from_the_environment(monkeypatch):
    from deepmatrixinversion.kernel.state import default_threads

    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert default_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "none")
    assert default_threads() >= 1
