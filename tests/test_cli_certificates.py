"""dmxinvert's certificates: what is written, said, counted and returned where proofs fail."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

from deepmatrixinversion import certify, inv_ex, pinv
from deepmatrixinversion.cli import invert as command
from deepmatrixinversion.cli.kinds import Inverses, replaced
from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.matrices.files import read_matrices, write_matrices
from deepmatrixinversion.reporting import answers
from deepmatrixinversion.reporting.answers import AnswerSummary
from deepmatrixinversion.reporting.metrics import ResidualAccumulator
from deepmatrixinversion.reporting.report import INVERSE, InversionReport
from models_for_tests import well_conditioned

BAD = [1, 4, 5, 6, 8, 9, 11]
A = well_conditioned(12, seed=8)
MIXED = A.copy()
MIXED[BAD] = np.arange(9.0).reshape(3, 3)
BOUNDS = ["residual_bound", "error_bound", "relative_error_bound"]
FIELDS = ["index", "certified", "residual", *BOUNDS, "steps"]
EPS = 2.0**-52


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with good.npy and mixed.npy, in which matrices ``BAD`` are singular."""
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


# --- what is written -----------------------------------------------------------------------------


def test_everything_certified(capsys):
    assert call(source="good.npy") == 0
    assert capsys.readouterr().err == ""
    np.testing.assert_array_equal(written(), inv_ex(A).inverse)


@pytest.mark.parametrize("how", ["nan", "keep", "pinv", None])
@pytest.mark.parametrize("mode", ["nn", "numpy"])
def test_what_stands_for_an_uncertified_matrix(capsys, how, mode):
    words = (
        ["--invert_mode", mode] if how is None else ["--invert_mode", mode, "--on_uncertified", how]
    )
    status, values = report(*words)
    assert status == (0 if how == "pinv" else 1)
    X = written()
    good = np.setdiff1d(np.arange(12), BAD)
    assert certify(MIXED[good], X[good]).certified.all()
    if mode == "nn":
        np.testing.assert_array_equal(X[good], inv_ex(MIXED).inverse[good])
    else:
        np.testing.assert_array_equal(X[good], np.linalg.inv(MIXED[good]))
    if how in ("nan", None):
        assert np.isnan(X[BAD]).all()
    elif how == "pinv":
        expected = np.linalg.pinv(MIXED[1])
        kappa = 20  # sigma_1 / sigma_2 of 0 ... 8 is 10.6
        tolerance = 8 * 3 * EPS * kappa * np.linalg.norm(expected)
        assert np.abs(X[BAD] - expected).max() <= tolerance
        np.testing.assert_array_equal(X[BAD[0]], pinv(MIXED[BAD[0]]))
    elif mode == "nn":
        np.testing.assert_array_equal(X[BAD], inv_ex(MIXED).inverse[BAD])
    assert values["on_uncertified"] == (how or "nan")
    assert values["certified"] == 5
    out, err = capsys.readouterr()
    assert "5 of 12" in out
    names = {"nan": "NaN", None: "NaN", "keep": "the best candidate", "pinv": "the pseudo-inverse"}
    (line,) = err.strip().splitlines()
    assert line.startswith("dmxinvert: matrices [1, 4, 5, 6, 8] and 2 more of 12 could not be")
    assert line.endswith(f"; written: {names[how]}")


def test_an_unknown_replacement(capsys):
    assert call("--on_uncertified", "zero") == 2
    assert "invalid choice: 'zero'" in capsys.readouterr().err


@pytest.mark.parametrize("how, status", [(None, 0), ("keep", 0), ("nan", 1), ("pinv", 0)])
def test_raw_is_kept_unless_asked_otherwise(capsys, how, status):
    got, values = report("--raw", *([] if how is None else ["--on_uncertified", how]))
    assert got == status
    X, guess = written(), Inverter.from_pretrained("feedback-3").guess(MIXED)
    proof = certify(MIXED, guess)
    assert not proof.certified[BAD].any()
    np.testing.assert_array_equal(X[proof.certified], guess[proof.certified])
    rows = values["matrices"]
    np.testing.assert_array_equal([r["certified"] for r in rows], proof.certified)
    np.testing.assert_array_equal([r["steps"] for r in rows], 0)
    assert [r["error_bound"] for r in rows] == nulls(proof.error_bound)
    if how in (None, "keep"):
        np.testing.assert_array_equal(X, guess)
    assert values["on_uncertified"] == (how or "keep")
    assert "matrices [1, 4" in capsys.readouterr().err


def test_replaced_leaves_its_arguments_alone():
    options = argparse.Namespace(invert_mode="numpy", rtol=None)
    kind = Inverses(options, (2, 2))
    X, certified = np.ones((3, 2, 2)), np.array([True, False, True])
    for how in ("nan", "keep", "pinv"):
        Y, comparable = replaced(kind, X, certified, np.ones((3, 2, 2)), None, how)
        np.testing.assert_array_equal(X, 1.0)
        np.testing.assert_array_equal(Y[certified], 1.0)
        np.testing.assert_array_equal(comparable, certified if how == "nan" else True)
    assert replaced(kind, X, np.ones(3, bool), X, None, "nan")[0] is X
    empty, none = np.ones((0, 2, 2)), np.ones(0, bool)
    assert replaced(kind, empty, none, empty, None, "pinv")[0].shape == (0, 2, 2)


# --- tolerance -----------------------------------------------------------------------------------


def test_tol_stops_refinement_early():
    status, loose = report("--tol", "1e-2", "--rtol", "1", source="good.npy")
    assert status == 0
    np.testing.assert_array_equal(written(), inv_ex(A, tol=1e-2, rtol=1).inverse)
    _, tight = report(source="good.npy")
    assert loose["certified"] == tight["certified"] == 12
    steps = [sum(row["steps"] for row in values["matrices"]) for values in (loose, tight)]
    assert steps[0] < steps[1]
    assert loose["residual_bound"] > tight["residual_bound"]


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "much"])
def test_no_tolerance(capsys, value):
    assert call("--tol", value) == 2
    assert "--tol" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--raw"], ["--invert_mode", "numpy"]])
def test_tol_without_refinement_is_refused(capsys, words):
    assert call("--tol", "1e-3", *words) == 2
    assert "--tol is for refinement" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["nn", "numpy"])
def test_rtol_is_what_a_certificate_must_reach(mode):
    words = ["--invert_mode", mode]
    status, values = report(*words, source="good.npy")
    assert status == 0
    relative = sorted(row["relative_error_bound"] for row in values["matrices"])
    between = (relative[5] + relative[6]) / 2
    status, values = report(*words, "--rtol", between, source="good.npy")
    assert (status, values["certified"]) == (1, 6)
    assert values["relative_error_bound"] == relative[5]


# --- matrices that are not finite ----------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["npy", "mx"])
@pytest.mark.parametrize("words", [[], ["--invert_mode", "numpy"], ["--raw"]], ids=str)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_that_is_not_finite_spoils_no_other(capsys, suffix, words, value):
    B = A.copy()
    B[-1, 1, 2] = value
    targets = np.linalg.inv(B)
    targets[-1] = np.nan
    write_matrices(f"b.{suffix}", B)
    write_matrices("t.npy", targets)
    words = [*words, "--invtarget", "t.npy", "--on_uncertified", "nan", "--rtol", "1e-2"]
    status, values = report(*words, source=f"b.{suffix}")
    assert status == 1
    assert values["certified"] == 11
    assert np.isfinite(written()[:-1]).all()
    assert np.isnan(written()[-1]).all()
    assert values["metrics"]["max_abs_error"] < 1e-2
    last = values["matrices"][-1]
    assert [last[field] for field in BOUNDS] == [None] * 3
    assert "matrices [11] of 12 could not be certified" in capsys.readouterr().err
    assert call("--on_uncertified", "pinv", source=f"b.{suffix}") == 1
    assert np.isnan(written()[-1]).all()
    assert "pseudo-inverse, but NaN for 1 with" in capsys.readouterr().err


# --- report --------------------------------------------------------------------------------------


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
    text = summary.describe_others("could not be certified", "residual bound")
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


# --- orders --------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 4, 10, 33])
def test_orders_other_than_the_models(order, capsys):
    B = well_conditioned(6, order=order, seed=order, most=1e4)
    write_matrices("b.npy", B)
    status, values = report("--model", "feedback-3", source="b.npy")
    assert (status, values["order"], values["certified"]) == (0, order, 6)
    assert values["model"] == "feedback-3"
    X = written()
    # The certificate of what was written is what was reported, and as small as rounding allows.
    result = inv_ex(B, model="feedback-3")
    np.testing.assert_array_equal(X, result.inverse)
    proof = result.certificate
    np.testing.assert_array_equal(
        [row["error_bound"] for row in values["matrices"]], proof.error_bound
    )
    kappa = np.abs(B).sum(axis=-1).max(axis=-1) * np.abs(X).sum(axis=-1).max(axis=-1)
    assert (proof.residual_bound <= 2 * (order + 1) * EPS * kappa).all()
    capsys.readouterr()
    assert call("--raw", "--model", "feedback-3", source="b.npy", out="y.npy") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"its matrices are of order {order}" in line
    assert "feedback-3 is of order 3" in line
    assert f"dmxtrain --msize {order}" in line


@pytest.mark.parametrize("order", [2, 10])
def test_singular_matrices_of_other_orders(order, capsys):
    B = well_conditioned(5, order=order, seed=order)
    B[2] = 1
    write_matrices("b.npy", B)
    assert call(source="b.npy") == 1
    assert np.isnan(written()[2]).all()
    assert np.isfinite(written()[[0, 1, 3, 4]]).all()
    assert "matrices [2] of 5 could not be certified" in capsys.readouterr().err
    assert call("--on_uncertified", "pinv", source="b.npy") == 0
    # kappa is 1 on the range of a matrix of ones.
    tolerance = 8 * order * EPS / order
    assert np.abs(written()[2] - 1 / order**2).max() <= tolerance


@pytest.mark.parametrize("mode", ["nn", "numpy"])
def test_float32_is_certified_as_written(mode):
    write_matrices("f.npy", MIXED.astype(np.float32))
    status, values = report("--invert_mode", mode, source="f.npy")
    X = written()
    assert (status, X.dtype) == (1, np.float32)
    good = np.setdiff1d(np.arange(12), BAD)
    proof = certify(MIXED.astype(np.float32)[good], X[good])
    rows = [values["matrices"][i] for i in good]
    np.testing.assert_allclose([row["error_bound"] for row in rows], proof.error_bound, rtol=0.1)
