"""Files of matrices: read and write them, whole or in blocks, in any of ``FORMATS``."""

from deepmatrixinversion.matrices.dialect import Dialect
from deepmatrixinversion.matrices.formats import FORMATS
from deepmatrixinversion.matrices.reader import MatrixReader, read_blocks, read_matrices
from deepmatrixinversion.matrices.writer import MatrixWriter, write_matrices

__all__ = [
    "FORMATS",
    "Dialect",
    "MatrixReader",
    "MatrixWriter",
    "read_blocks",
    "read_matrices",
    "write_matrices",
]
