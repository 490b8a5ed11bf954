"""Matrices: file formats, random matrices and data sets."""

from deepmatrixinversion.matrices.datasets import invertible_pairs, singular_pairs
from deepmatrixinversion.matrices.distributions import DISTRIBUTIONS, NumpySource, sample
from deepmatrixinversion.matrices.files import (
    FORMATS,
    Dialect,
    MatrixReader,
    MatrixWriter,
    read_blocks,
    read_matrices,
    write_matrices,
)
from deepmatrixinversion.matrices.verification import verify_blocks

__all__ = [
    "DISTRIBUTIONS",
    "FORMATS",
    "Dialect",
    "MatrixReader",
    "MatrixWriter",
    "NumpySource",
    "invertible_pairs",
    "read_blocks",
    "read_matrices",
    "sample",
    "singular_pairs",
    "verify_blocks",
    "write_matrices",
]
