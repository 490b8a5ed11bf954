"""Formats that this Python has the libraries for, by what they hold."""

import importlib.util

from deepmatrixinversion.matrices import FORMATS as ALL

# What this Python has the libraries for.
NEEDS = {".parquet": "pyarrow"}
FORMATS = [suffix for suffix in ALL if importlib.util.find_spec(NEEDS.get(suffix, "numpy"))]
STACKS = [suffix for suffix in FORMATS if suffix != ".mtx"]
TEXT = [".mx", ".csv", ".tsv", ".txt"]
BINARY = [".npy", ".npz", ".safetensors"]


def same_bits(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
