"""The certified functions of this package on Dask arrays: lazy, block by block of the stack.

``from deepmatrixinversion.dask import inv``. Every matrix lies in one block; results have the bits
that one process would give.
"""

from deepmatrixinversion.dask.functions import inv, inv_ex, pinv, solve

__all__ = ["inv", "inv_ex", "pinv", "solve"]
