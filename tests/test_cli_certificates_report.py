"""What dmxinvert reports of each matrix's certificate."""

from __future__ import annotations

import json

import numpy as np
import pytest

from certified import BAD, BOUNDS, EPS, FIELDS, MIXED, folder, report, written
from deepmatrixinversion import certify, inv_ex
from deepmatrixinversion.matrices import write_matrices
from deepmatrixinversion.reporting import answers
from deepmatrixinversion.reporting.answers import AnswerSummary
from deepmatrixinversion.reporting.metrics import ResidualAccumulator
from deepmatrixinversion.reporting.report import INVERSE, InversionReport

here = pytest.fixture(autouse=True)(folder)


@pytest.mark.parametrize("mode", ["nn", "numpy"])
@pytest.mark.parametrize("batch", [1, 5, 100])
def test_rows_say_what_the_proofs_say(mode, batch):
    words = ["--invert_mode", mode, "--on_uncertified", "keep", "--batch_size", batch]
    _, values = report(*words)
    X = written()
    rows = values["matrices"]
    assert [list(row) for row in rows] == [FIELDS] * 12
    assert [row["index"] for row in rows] == list(range(12))
    assert values["matrices_left_out"] == 0
    proof = inv_ex(MIXED).certificate if mode == "nn" else certify(MIXED, X)
    np.testing.assert_array_equal([row["certified"] for row in rows], proof.certified)
    for field in BOUNDS:
        column = getattr(proof, field)
        got = np.array([row[field] for row in rows], dtype=float)  # NaN for null
        np.testing.assert_array_equal(got, np.where(np.isfinite(column), column, np.nan))
        assert values[field] == np.nanmax(got[proof.certified])
    good = proof.certified
    residual = np.linalg.norm(np.eye(3) - MIXED @ X, axis=(1, 2))
    # Two evaluations of one residual differ by at most 2 gamma_n |A||X| in each entry.
    bound = 2 * 4 * EPS * np.linalg.norm(MIXED, axis=(1, 2)) * np.linalg.norm(X, axis=(1, 2))
    got = np.array([row["residual"] for row in rows], dtype=float)
    assert (np.abs(got - residual)[good] <= bound[good]).all()
    steps = np.array([row["steps"] for row in rows])
    assert (steps[good] >= 1).all() if mode == "nn" else (steps == 0).all()


def test_nothing_certified_at_all():
    write_matrices("s.npy", MIXED[BAD])
    status, values = report(source="s.npy")
    assert status == 1
    assert values["certified"] == 0
    assert [values[field] for field in BOUNDS] == [None] * 3
    assert {row["error_bound"] for row in values["matrices"]} == {None}


@pytest.mark.parametrize("most", [0, 1, 3, 5, 11, 12, 13])
def test_rows_beyond_the_limit_are_left_out(monkeypatch, most):
    monkeypatch.setattr(answers, "MOST_ROWS", most)
    _, values = report()
    # The first ones, and as many of those without certificate again.
    expected = list(range(12))[:most] + [i for i in BAD if i >= most][:most]
    assert [row["index"] for row in values["matrices"]] == expected
    assert values["matrices_left_out"] == 12 - len(expected)
    assert values["certified"] == 5


def test_rows_over_many_blocks(monkeypatch):
    monkeypatch.setattr(answers, "MOST_ROWS", 4)
    summary = AnswerSummary(BOUNDS)
    assert summary.left_out == 0
    assert list(summary.rows()) == []
    rng = np.random.default_rng(0)
    ok = rng.uniform(size=40) < 0.6
    bounds = np.where(ok, 1e-15 * rng.uniform(size=40), np.inf)
    for part in np.split(np.arange(40), [0, 3, 4, 11, 12, 30]):
        values = {name: k * bounds[part] for k, name in enumerate(BOUNDS, start=1)}
        summary.add({"certified": ok[part], **values})
    beyond = [i for i in np.flatnonzero(~ok) if i >= 4][:4]
    assert [row["index"] for row in summary.rows()] == [0, 1, 2, 3, *beyond]
    assert summary.left_out == 40 - 4 - len(beyond)
    assert (summary.matrices, summary.count) == (40, ok.sum())
    most = bounds[ok].max()
    assert list(summary.largest.values()) == [most, 2 * most, 3 * most]
    first = ", ".join(map(str, np.flatnonzero(~ok)[:5]))
    text = summary.describe_others("residual bound")
    assert f"matrices [{first}] and {(~ok).sum() - 5} more of 40" in text
    assert "(residual bound inf, inf, inf, inf, inf)" in text


def test_a_bound_that_overflows():
    """Certified, but the bound on ‖inv(A) - X‖ is no float64: strict JSON all the same."""
    A, X = np.full((1, 1, 1), 0.4 / 1.7e308), np.full((1, 1, 1), 1.7e308)
    proof = certify(A, X, rtol=np.inf)
    assert (proof.error_bound == np.inf).all()
    summary, residuals = AnswerSummary(BOUNDS), ResidualAccumulator()
    residuals.add(np.array([0.6]))
    summary.add({"certified": np.array([True]), **{b: getattr(proof, b) for b in BOUNDS}})
    statistics = residuals.statistics()
    made = InversionReport(INVERSE, (1, 1), "nn", True, "m", "keep", 1.0, statistics, None, summary)
    assert json.loads(made.to_json())["error_bound"] is None
