"""What refuses a spoiled model directory."""

from __future__ import annotations

import numpy as np
import pytest

from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.models.directory import open_model, read_weights
from deepmatrixinversion.nets.weights import load_ensemble


def load_everything(path):
    """Open a directory and use all of its files."""
    opened = open_model(path)
    for member in range(1, opened.config.members + 1):
        read_weights(opened, member)
    load_ensemble(opened)
    Inverter(opened)(np.eye(opened.config.net.msize)[None].repeat(3, 0))


def refused(path, *words):
    """Assert that using the directory ends in one sentence that has all of ``words``."""
    with pytest.raises(ModelError) as caught:
        load_everything(path)
    message = " ".join(str(caught.value).split())
    assert 10 < len(message) < 2500
    assert "Traceback" not in message
    for word in words:
        assert word in message
    return message
