"""NumPy's own tests of inv, solve and pinv, with ours in their places."""

import numpy as np
import pytest
from numpy.linalg.tests import test_linalg as suite

import deepmatrixinversion as ours

TestInv = suite.TestInv
TestSolve = suite.TestSolve
TestPinv = suite.TestPinv
TestPinvHermitian = suite.TestPinvHermitian
test_pinv_rtol_arg = suite.test_pinv_rtol_arg
test_byteorder_check = suite.test_byteorder_check
test_generalized_raise_multiloop = suite.test_generalized_raise_multiloop
TestMatrixPower = suite.TestMatrixPower
TestTensorinv = suite.TestTensorinv


@pytest.fixture(autouse=True)
def _ours_for_theirs(monkeypatch):
    for name in ("inv", "solve", "pinv"):
        monkeypatch.setattr(np.linalg, name, getattr(ours, name))


def test_theirs_are_replaced():
    assert suite.linalg.inv is ours.inv
