"""Matrices: file formats, random matrices and data sets."""

from deepmatrixinversion.matrices.datasets import invertible_pairs, singular_pairs
from deepmatrixinversion.matrices.dialect import Dialect
from deepmatrixinversion.matrices.distributions import DISTRIBUTIONS, NumpySource, sample
from deepmatrixinversion.matrices.formats import FORMATS
from deepmatrixinversion.matrices.reader import MatrixReader, read_blocks, read_matrices
from deepmatrixinversion.matrices.verification import verify_blocks
from deepmatrixinversion.matrices.writer import MatrixWriter, write_matrices

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
