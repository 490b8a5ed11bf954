"""dmxinvert on a stack of which some matrices are singular, and its report."""

from __future__ import annotations

import json

import numpy as np

from deepmatrixinversion.cli import invert as command
from deepmatrixinversion.matrices import read_matrices, write_matrices
from models_for_tests import well_conditioned

BAD = [1, 4, 5, 6, 8, 9, 11]
A = well_conditioned(12, seed=8)
MIXED = A.copy()
MIXED[BAD] = np.arange(9.0).reshape(3, 3)
BOUNDS = ["residual_bound", "error_bound", "relative_error_bound"]
FIELDS = ["index", "certified", "residual", *BOUNDS, "steps"]
EPS = 2.0**-52


def folder(tmp_path, monkeypatch):
    """A fixture: good.npy and mixed.npy, in which matrices ``BAD`` are singular."""
    monkeypatch.chdir(tmp_path)
    write_matrices("good.npy", A)
    write_matrices("mixed.npy", MIXED)


def call(*words, source="mixed.npy", out="x.npy"):
    try:
        return command.main(["--inputmx", source, "--inverseout", out, *map(str, words)])
    except SystemExit as stop:
        return stop.code


def report(*words, **options):
    """Exit status and report, whose JSON is strict."""
    status = call("--report", "r.json", *words, **options)

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    with open("r.json") as file:
        return status, json.load(file, parse_constant=refuse)


def nulls(values):
    return [value if np.isfinite(value) else None for value in values.tolist()]


def written():
    return read_matrices("x.npy", finite=False)
