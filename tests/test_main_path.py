"""How far it is from a stack of small matrices to its inverses, for who reads the code."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import deepmatrixinversion
from deepmatrixinversion import inv_ex, kernel

ROOT = Path(deepmatrixinversion.__file__).parent
PATH = [
    "inference/functions.py",
    "inference/interchange.py",
    "inference/inverter.py",
    "inference/arrays.py",
    "linalg/engine.py",
    "linalg/certificate.py",
    "kernel/stack.py",
    "linalg/compiled.py",
]


def files_entered(call) -> list[str]:
    """This package's files in the order in which a call first enters them."""
    entered = {}

    def look(frame, event, _):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(ROOT):
            entered[path.relative_to(ROOT).as_posix()] = True

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        call()
    finally:
        sys.setprofile(before)
    return list(entered)


@pytest.mark.skipif(not kernel.available(), reason="there is no kernel")
def test_few_files_lie_between_a_stack_and_its_inverses():
    A = np.random.default_rng(0).standard_normal((8, 3, 3))
    inv_ex(A)  # reads the model
    assert files_entered(lambda: inv_ex(A)) == PATH


@pytest.mark.skipif(not kernel.available(), reason="there is no kernel")
def test_one_matrix_has_a_way_of_its_own():
    way = [PATH[0], "inference/single.py", "kernel/stack.py"]
    assert files_entered(lambda: inv_ex(np.eye(3))) == way
