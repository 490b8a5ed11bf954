"""dmxinvert's certificates: what is written, said, counted and returned where proofs fail."""

from __future__ import annotations

import argparse

import numpy as np
import pytest

from certified import BAD, BOUNDS, EPS, MIXED, A, call, folder, nulls, report, written
from deepmatrixinversion import certify, inv_ex, pinv
from deepmatrixinversion.cli.kinds import Inverses, replaced
from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.matrices import write_matrices
from models_for_tests import well_conditioned

here = pytest.fixture(autouse=True)(folder)


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
    assert "matrices [11] of 12 " in capsys.readouterr().err
    assert call("--on_uncertified", "pinv", source=f"b.{suffix}") == 1
    assert np.isnan(written()[-1]).all()
    assert "NaN for 1 " in capsys.readouterr().err


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
    assert "matrices [2] of 5 " in capsys.readouterr().err
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
