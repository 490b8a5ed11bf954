"""DeepMatrixInversion: inverses of matrices by neural networks, each with a proof.

>>> import numpy as np
>>> from deepmatrixinversion import inv, inv_ex
>>> A = np.random.default_rng(0).uniform(-1, 1, (1000, 3, 3))
>>> bool(np.abs(A @ inv(A) - np.eye(3)).max() < 1e-9)
True
>>> bool(inv_ex(A).certificate.certified.all())
True
"""

from deepmatrixinversion.errors import (
    MatrixFormatError,
    ModelError,
    SingularMatrixError,
    TrainingError,
    UnsupportedArrayError,
)
from deepmatrixinversion.inference.functions import inv, inv_ex, solve, solve_ex
from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.inference.proof import certify, entrywise_error_bound
from deepmatrixinversion.inference.pseudoinverse import pinv, pinv_ex
from deepmatrixinversion.inference.results import Solution
from deepmatrixinversion.inference.tracker import Tracker
from deepmatrixinversion.kernel import show_config
from deepmatrixinversion.linalg.certificate import Certificate
from deepmatrixinversion.linalg.engine import Inversion
from deepmatrixinversion.linalg.pseudoinverse import PseudoInversion
from deepmatrixinversion.matrices import read_matrices, write_matrices
from deepmatrixinversion.version import version as _version

__version__: str

__all__ = [
    "Certificate",
    "Inversion",
    "Inverter",
    "MatrixFormatError",
    "ModelError",
    "PseudoInversion",
    "SingularMatrixError",
    "Solution",
    "Tracker",
    "TrainingError",
    "UnsupportedArrayError",
    "__version__",
    "certify",
    "entrywise_error_bound",
    "inv",
    "inv_ex",
    "pinv",
    "pinv_ex",
    "read_matrices",
    "show_config",
    "solve",
    "solve_ex",
    "write_matrices",
]


def __getattr__(name: str) -> str:
    if name == "__version__":
        return _version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
