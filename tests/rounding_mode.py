"""Run by test_linalg_certificate.py: nothing is certified in a directed rounding mode."""

import ctypes
import platform
import warnings

import numpy as np

from deepmatrixinversion import certify, inv_ex
from deepmatrixinversion.linalg.arithmetic import rounds_to_nearest

MODES = {"x86_64": (0x400, 0x800, 0xC00), "AMD64": (0x400, 0x800, 0xC00)}
ARM = (0x400000, 0x800000, 0xC00000)

A = np.array([[3.0, 1.0], [1.0, 2.0]])
X = np.array([[0.4, -0.2], [-0.2, 0.6]])
assert rounds_to_nearest()
assert certify(A, X).certified
libm = ctypes.CDLL(None)
for mode in MODES.get(platform.machine(), ARM):
    assert libm.fesetround(mode) == 0
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            nearest = rounds_to_nearest()
            proof, inversion = certify(A, X), inv_ex(A)
    finally:
        libm.fesetround(0)
    assert not nearest, mode
    assert not proof.certified
    assert not inversion.certificate.certified
    assert proof.error_bound == inversion.certificate.error_bound == np.inf
    assert sum("round to nearest" in str(w.message) for w in caught) == 2
assert certify(A, X).certified
