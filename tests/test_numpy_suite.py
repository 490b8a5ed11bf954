"""NumPy's own tests of inv, solve and pinv, and of what is made of them, with ours in their place.

Whatever NumPy's suite says of these functions holds for ours: shapes, subclasses, strides, byte
orders, empty arrays, errors.
"""

from __future__ import annotations

import numpy as np
import pytest

import deepmatrixinversion

suite = pytest.importorskip("numpy.linalg.tests.test_linalg")

CALLED = []


def counted(name):
    function = getattr(deepmatrixinversion, name)

    def call(*args, **kwargs):
        CALLED.append(name)
        return function(*args, **kwargs)

    return call


@pytest.fixture(autouse=True)
def ours(monkeypatch):
    """In the public module, and in the private one whose functions call them by name."""
    import numpy.linalg._linalg as private

    CALLED.clear()
    for name in ("inv", "solve", "pinv"):
        replacement = counted(name)
        for module in (np.linalg, private):
            monkeypatch.setattr(module, name, replacement)


def test_ours_are_the_ones_that_are_called():
    suite.TestInv().test_0_size()
    suite.TestSolve().test_0_size()
    suite.TestTensorinv().test_tensorinv_shape((4, 6, 8, 3), 2)
    suite.test_byteorder_check()
    assert set(CALLED) == {"inv", "solve", "pinv"}


@pytest.mark.parametrize("name", ["Solve", "Inv", "Pinv", "PinvHermitian", "Cond"])
def test_stacks_in_every_memory_layout(name):
    """What NumPy marks as slow takes seconds here."""
    tests = getattr(suite, f"Test{name}")()
    stacked = [test for test in dir(tests) if test.startswith("test_generalized")]
    assert len(stacked) >= 2
    for test in stacked:
        getattr(tests, test)()


TestSolve = suite.TestSolve
TestInv = suite.TestInv
TestPinv = suite.TestPinv
TestPinvHermitian = suite.TestPinvHermitian
TestCond = suite.TestCond
TestMatrixPower = suite.TestMatrixPower
TestTensorinv = suite.TestTensorinv
TestTensorsolve = suite.TestTensorsolve
test_byteorder_check = suite.test_byteorder_check
test_generalized_raise_multiloop = suite.test_generalized_raise_multiloop
if hasattr(suite, "test_pinv_rtol_arg"):
    test_pinv_rtol_arg = suite.test_pinv_rtol_arg
