"""``dmxinvert`` as a user calls it, and what it prints and writes."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np

from deepmatrixinversion.cli import invert as command
from models_for_tests import well_conditioned

SUFFIXES = [".mx", ".csv", ".npy", ".npz", ".safetensors"]
A = well_conditioned(23, seed=3)
SINGULAR = np.arange(9.0).reshape(3, 3)
SINGULAR_FOR_LAPACK = np.ones((3, 3))


def call(*words, source="a.npy", out="x.npy", model: str | None = "./m"):
    """The exit status, whether it comes from argparse or from the command."""
    words = ["--inputmx", source, "--inverseout", out, *words]
    if model is not None:
        words += ["--model", model]
    try:
        return command.main([str(word) for word in words])
    except SystemExit as stop:
        return stop.code


def program(*words, **options):
    """dmxinvert in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "deepmatrixinversion.cli.invert", *map(str, words)],
        capture_output=True,
        check=False,
        **options,
    )


def one_sentence(capsys, *words):
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    lines = err.strip().splitlines()
    assert len(lines) == 1 or lines[0].startswith("usage:")
    for word in words:
        assert word in lines[-1]
    return lines[-1]


def strict(path):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    with open(path) as file:
        return json.load(file, parse_constant=refuse)


def table(text):
    """The rows of the printed table: label -> value."""
    rows = {}
    for line in text.splitlines():
        cells = [c.strip() for c in re.split(r"[│┃|]\s|\s[│┃|]", line) if c.strip()]
        if len(cells) == 2:
            rows[cells[0]] = cells[1]
    return rows
