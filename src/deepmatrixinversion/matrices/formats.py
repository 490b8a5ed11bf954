"""The file formats, by suffix.

To add a format: write a file beside this one with a reader and a writer, and add a line to
``FORMATS``. A reader makes :class:`Blocks` of an :class:`InputFile`; a writer is a
:class:`Sink`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from deepmatrixinversion.errors import MatrixFormatError
from deepmatrixinversion.matrices.blocks import Blocks
from deepmatrixinversion.matrices.input_file import InputFile
from deepmatrixinversion.matrices.mat_file import read_mat
from deepmatrixinversion.matrices.mat_writer import MatSink
from deepmatrixinversion.matrices.matrix_market import MatrixMarketSink, read_matrix_market
from deepmatrixinversion.matrices.npy_file import NpySink, read_npy
from deepmatrixinversion.matrices.npz_file import NpzBlocks, NpzSink
from deepmatrixinversion.matrices.parquet_file import ParquetSink, read_parquet
from deepmatrixinversion.matrices.safetensors_file import SafetensorsSink, read_safetensors
from deepmatrixinversion.matrices.sinks import Sink
from deepmatrixinversion.matrices.text_reader import TextBlocks
from deepmatrixinversion.matrices.text_writer import CsvSink, MxSink, TsvSink, TxtSink


class Format(NamedTuple):
    """How to read and to write one kind of file."""

    reader: Callable[[InputFile], Blocks]
    writer: Callable[[BinaryIO, str], Sink]


FORMATS: dict[str, Format] = {
    ".mx": Format(TextBlocks, MxSink),
    ".csv": Format(TextBlocks, CsvSink),
    ".tsv": Format(TextBlocks, TsvSink),
    ".txt": Format(TextBlocks, TxtSink),
    ".npy": Format(read_npy, NpySink),
    ".npz": Format(NpzBlocks, NpzSink),
    ".safetensors": Format(read_safetensors, SafetensorsSink),
    ".mtx": Format(read_matrix_market, MatrixMarketSink),
    ".mat": Format(read_mat, MatSink),
    ".parquet": Format(read_parquet, ParquetSink),
}

# How to go on with files of other kinds.
_SAVE = "save it as .npy from Python: numpy.save('a.npy', "
REMEDIES = {
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "save the sheet as .csv"),
    **dict.fromkeys((".pt", ".pth"), f"{_SAVE}tensor.numpy())"),
    **dict.fromkeys((".h5", ".hdf5"), f"{_SAVE}file['name'][...]), with h5py"),
    **dict.fromkeys((".pkl", ".pickle"), f"{_SAVE}A), where it was made, as it may run code"),
    **dict.fromkeys((".feather", ".arrow"), "write the table as .parquet"),
    **dict.fromkeys((".gz", ".zip", ".xz", ".bz2", ".zst"), "unpack it first"),
    **dict.fromkeys((".dat", ".asc", ".prn", ".tab"), "if it is text, name it .txt"),
    ".zarr": f"invert it with dmxinvert, or {_SAVE}array[...])",
    ".json": f"{_SAVE}json.load(file))",
}


def format_of(path: str | os.PathLike[str]) -> Format:
    """Return the format that the suffix of ``path`` names, in either case; ``-`` is ``.mx``.

    Raises
    ------
    MatrixFormatError
        The suffix is not in ``FORMATS``.

    Examples
    --------
    >>> format_of("A.NPY") is FORMATS[".npy"]
    True
    """
    name = os.fsdecode(path)
    suffix = ".mx" if name == "-" else os.path.splitext(name)[1].lower()
    if suffix not in FORMATS:
        ending = f"the suffix '{suffix}' is unknown" if suffix else "the name has no suffix"
        remedy = REMEDIES.get(suffix, f"{_SAVE}A)")
        raise MatrixFormatError(f"{name}: {ending}; known ones are {', '.join(FORMATS)}; {remedy}")
    return FORMATS[suffix]
