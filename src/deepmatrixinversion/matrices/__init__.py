"""Matrices: file formats, random matrices and data sets."""

from deepmatrixinversion.matrices.files import (
    FORMATS,
    MatrixReader,
    MatrixWriter,
    read_blocks,
    read_matrices,
    write_matrices,
)

__all__ = [
    "FORMATS",
    "MatrixReader",
    "MatrixWriter",
    "read_blocks",
    "read_matrices",
    "write_matrices",
]
