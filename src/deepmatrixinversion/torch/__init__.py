"""Inverses of PyTorch tensors without LAPACK: on any device, differentiable, traceable.

``from deepmatrixinversion.torch import inv``. The functions report the residuals that they reached;
error bounds that are proofs come from the NumPy functions of ``deepmatrixinversion`` itself.
"""

from deepmatrixinversion.torch.functions import InverseResult, inv, inv_ex, pinv, solve
from deepmatrixinversion.torch.least_squares import LeastSquares, lstsq
from deepmatrixinversion.torch.module import Inverse

__all__ = ["Inverse", "InverseResult", "LeastSquares", "inv", "inv_ex", "lstsq", "pinv", "solve"]
