"""The report of dmxinvert: strict JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from deepmatrixinversion.reporting.answers import AnswerSummary
from deepmatrixinversion.reporting.metrics import (
    ErrorStatistics,
    ResidualStatistics,
)
from deepmatrixinversion.reporting.report import INVERSE, InversionReport


def report(residual, errors=None):
    """Three matrices, the last without a certificate."""
    answers = AnswerSummary(tuple(INVERSE.bounds))
    columns = {
        "certified": np.array([True, True, False]),
        "residual": np.array([0.1, 0.2, np.inf]),
        "residual_bound": np.array([1e-15, 2e-15, np.inf]),
        "error_bound": np.array([1.0, 3, np.inf]),
        "relative_error_bound": np.array([1e-15, 2e-15, np.inf]),
        "steps": np.array([1, 2, 3]),
    }
    answers.add(columns)
    return InversionReport(
        wording=INVERSE,
        shape=(3, 3),
        mode="nn",
        raw=False,
        model="small",
        on_uncertified="nan",
        seconds=0.25,
        residual=residual,
        errors=errors,
        answers=answers,
    )


def strict(text):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_report_without_target():
    got = strict(report(ResidualStatistics(0.1, 0.2, 0.3, 1.0)).to_json())
    rows = got.pop("matrices")
    assert got == {
        "kind": "inverse",
        "count": 3,
        "order": 3,
        "shape": [3, 3],
        "mode": "nn",
        "raw": False,
        "model": "small",
        "on_uncertified": "nan",
        "seconds": 0.25,
        "residual": {"median": 0.1, "p99": 0.2, "max": 0.3, "below_one": 1.0},
        "metrics": {"r2": None, "mse": None, "mae": None, "max_abs_error": None},
        "certified": 2,
        "residual_bound": 2e-15,
        "error_bound": 3.0,
        "relative_error_bound": 2e-15,
        "matrices_left_out": 0,
    }
    assert rows == [
        {"index": 0, "certified": True, "residual": 0.1, "residual_bound": 1e-15,
         "error_bound": 1.0, "relative_error_bound": 1e-15, "steps": 1},
        {"index": 1, "certified": True, "residual": 0.2, "residual_bound": 2e-15,
         "error_bound": 3.0, "relative_error_bound": 2e-15, "steps": 2},
        {"index": 2, "certified": False, "residual": None, "residual_bound": None,
         "error_bound": None, "relative_error_bound": None, "steps": 3},
    ]  # fmt: skip


@pytest.mark.parametrize("r2", [math.nan, -math.inf])
def test_what_json_lacks_becomes_null(r2):
    errors = ErrorStatistics(r2, math.inf, math.nan, math.inf)
    got = strict(report(ResidualStatistics(0.1, math.inf, math.nan, 0.5), errors).to_json())
    assert got["residual"] == {"median": 0.1, "p99": None, "max": None, "below_one": 0.5}
    assert got["metrics"] == {"r2": None, "mse": None, "mae": None, "max_abs_error": None}
