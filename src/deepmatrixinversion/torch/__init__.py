"""Inverses of PyTorch tensors without LAPACK: on any device, differentiable, traceable.

``from deepmatrixinversion.torch import inv``. The functions report the residuals that they reached;
error bounds that are proofs come from `certified_inv`.
"""

from deepmatrixinversion.torch.certified import CertifiedInverse, certified_inv
from deepmatrixinversion.torch.functions import InverseResult, inv, inv_ex, pinv, solve
from deepmatrixinversion.torch.least_squares import LeastSquares, lstsq
from deepmatrixinversion.torch.module import Inverse

__all__ = [
    "CertifiedInverse",
    "Inverse",
    "InverseResult",
    "LeastSquares",
    "certified_inv",
    "inv",
    "inv_ex",
    "lstsq",
    "pinv",
    "solve",
]
