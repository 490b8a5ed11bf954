"""DeepMatrixInversion: inverses of matrices by neural networks, to machine precision.

>>> import numpy as np
>>> from deepmatrixinversion import Inverter
>>> invert = Inverter.from_pretrained("feedback-3")
>>> A = np.random.default_rng(0).uniform(-1, 1, (1000, 3, 3))
>>> bool(np.abs(A @ invert(A) - np.eye(3)).max() < 1e-9)
True
"""

from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.matrices import read_matrices, write_matrices
from deepmatrixinversion.version import __version__

__all__ = ["Inverter", "__version__", "read_matrices", "write_matrices"]
