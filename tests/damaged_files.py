"""What reading a damaged file must end in."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from deepmatrixinversion.errors import MatrixFormatError
from deepmatrixinversion.matrices import read_matrices

STACK = np.random.default_rng(0).standard_normal((5, 3, 4))
LARGE_STACK = np.random.default_rng(0).standard_normal((40, 30, 20))


def fails(path, message, **options):
    """Assert that reading ends in one line that names the file and has ``message``; return it."""
    with pytest.raises(MatrixFormatError, match=message) as caught:
        read_matrices(path, **options)
    text = str(caught.value)
    assert text.startswith(str(path).encode("unicode_escape").decode() + ": ")
    assert text.isprintable()
    assert len(text) < 2100
    return text


def safetensors(path, header, data=b""):
    """Write a file of any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
