"""dmxinvert beyond inverses: pseudo-inverses, linear systems, parts of files, tables as CSV."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from deepmatrixinversion import pinv_ex, solve_ex
from deepmatrixinversion.cli import invert as command
from deepmatrixinversion.matrices import read_matrices, write_matrices
from models_for_tests import well_conditioned

A = well_conditioned(12, seed=5)
B = np.random.default_rng(1).standard_normal((12, 3, 2))
WIDE = np.random.default_rng(2).standard_normal((9, 3, 5))
EPS = 2.0**-52


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_matrices("a.npy", A)
    write_matrices("b.npy", B)
    write_matrices("one.csv", B[:1])
    wide = WIDE.copy()
    wide[4] = np.outer(np.arange(1, 4.0), np.arange(1, 6.0))
    write_matrices("wide.npy", wide)
    write_matrices("wide_pinv.npy", np.linalg.pinv(wide))
    return tmp_path


def call(*words, source="a.npy", out="x.npy"):
    try:
        return command.main(["--inputmx", source, "--inverseout", out, *map(str, words)])
    except SystemExit as stop:
        return stop.code


def report():
    with open("r.json") as file:
        return json.load(file)


def test_pseudo_inverses_of_any_shape(capsys):
    words = ["--kind", "pinv", "--invtarget", "wide_pinv.npy", "--report", "r.json"]
    assert call(*words, "--plotout", "p.png", source="wide.npy") == 0
    expected = pinv_ex(read_matrices("wide.npy"))
    np.testing.assert_array_equal(read_matrices("x.npy"), expected.pseudoinverse)
    got = report()
    assert got["kind"] == "pinv"
    assert got["shape"] == [3, 5]
    assert got["order"] is None
    assert got["finite"] == 9
    assert [row["rank"] for row in got["matrices"]] == [3, 3, 3, 3, 1, 3, 3, 3, 3]
    assert got["penrose"] == expected.penrose.max()
    assert got["metrics"]["max_abs_error"] < 1e-12
    assert "3x5" in capsys.readouterr().out


def test_a_pseudo_inverse_of_what_is_not_finite(capsys):
    wide = WIDE.copy()
    wide[3, 1, 2] = np.nan
    write_matrices("nan.npy", wide)
    assert call("--kind", "pinv", source="nan.npy") == 1
    X = read_matrices("x.npy")
    assert np.isnan(X[3]).all()
    assert np.isfinite(np.delete(X, 3, axis=0)).all()
    assert capsys.readouterr().err.count("\n") == 1


def test_a_right_hand_side_for_each():
    assert call("--kind", "solve", "--rhs", "b.npy", "--report", "r.json") == 0
    expected = solve_ex(A, B)
    np.testing.assert_array_equal(read_matrices("x.npy"), expected.solution)
    rows = report()["matrices"]
    bounds = expected.relative_error_bound.max(axis=1)
    np.testing.assert_array_equal([row["relative_error_bound"] for row in rows], bounds)
    residual = np.linalg.norm(B - A @ expected.solution, axis=(1, 2))
    residual /= np.linalg.norm(B, axis=(1, 2))
    kappa = np.linalg.cond(A)
    np.testing.assert_array_less(
        np.abs([row["residual"] for row in rows] - residual), 16 * EPS * kappa
    )


def test_a_right_hand_side_for_all():
    assert call("--kind", "solve", "--rhs", "one.csv") == 0
    np.testing.assert_array_equal(read_matrices("x.npy"), solve_ex(A, B[0]).solution)


@pytest.mark.parametrize("how", ["nan", "keep", "pinv"])
def test_what_stands_for_a_solution_that_is_not_proven(how, capsys):
    singular = A.copy()
    singular[7] = np.ones((3, 3))
    write_matrices("s.npy", singular)
    words = ["--kind", "solve", "--rhs", "b.npy", "--on_uncertified", how]
    assert call(*words, source="s.npy") == (0 if how == "pinv" else 1)
    X = read_matrices("x.npy")
    np.testing.assert_array_equal(np.delete(X, 7, 0), np.delete(solve_ex(A, B).solution, 7, 0))
    if how == "nan":
        assert np.isnan(X[7]).all()
    if how == "pinv":  # the least-squares solution of least norm: the mean of B's rows, over 3
        expected = np.tile(B[7].mean(axis=0) / 3, (3, 1))
        np.testing.assert_allclose(X[7], expected, rtol=0, atol=64 * EPS * np.abs(B[7]).max())
    assert "matrices [7] of 12" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--kind", "solve"], "--rhs"),
        (["--rhs", "b.npy"], "--kind solve"),
        (["--kind", "pinv", "--raw"], "--raw"),
        (["--kind", "pinv", "--model", "feedback-3"], "--model"),
        (["--kind", "pinv", "--on_uncertified", "keep"], "--on_uncertified"),
        (["--kind", "solve", "--rhs", "b.npy", "--invert_mode", "numpy"], "--invert_mode"),
        (["--kind", "solve", "--rhs", "b.npy", "--tol", "1e-3"], "--tol"),
        (["--kind", "solve", "--rhs", "wide.npy", "--raw"], "--raw"),
        (["--kind", "solve", "--rhs", "wide_pinv.npy"], "5 x 3"),
        (["--kind", "solve", "--rhs", "x.npy"], "must not overwrite"),
        (["--invtarget", "b.npy"], "3 x 2"),
        (["--kind", "solve", "--rhs", "-", "--invtarget", "-"], "standard input"),
        (["--rows", "3"], "A:B"),
        (["--rows", "5:5"], "nothing in it"),
        (["--rows=-1:5"], "below 0"),
        (["--rows", "12:"], "only 12 matrices"),
        (["--report", "r.xlsx"], ".json or a .csv"),
    ],
)
def test_what_does_not_fit_together(here, capsys, words, expected):
    before = sorted(here.iterdir())
    assert call(*words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert expected in err
    assert sorted(here.iterdir()) == before


def test_too_few_right_hand_sides(capsys):
    write_matrices("few.npy", B[:5])
    assert call("--kind", "solve", "--rhs", "few.npy") == 2
    assert "few.npy ends after 5 matrices" in capsys.readouterr().err


# --- parts of files ------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npy", ".mx", ".safetensors"])
@pytest.mark.parametrize("block", [72, 288, 10**6])
@pytest.mark.parametrize("rows", ["3:7", ":4", "5:", "11:", "2:100"])
def test_a_part_of_a_file_is_what_the_whole_has_there(monkeypatch, suffix, block, rows):
    monkeypatch.setattr("deepmatrixinversion.matrices.reader.BLOCK_BYTES", block)
    write_matrices(f"a{suffix}", A)
    write_matrices(f"b{suffix}", B)
    part = slice(*(int(end) if end else None for end in rows.split(":")))
    words = ["--kind", "solve", "--rhs", f"b{suffix}", "--rows", rows, "--report", "r.json"]
    assert call(*words, source=f"a{suffix}") == 0
    np.testing.assert_array_equal(read_matrices("x.npy"), solve_ex(A, B).solution[part])
    # The report speaks of the matrices as the file counts them.
    assert [row["index"] for row in report()["matrices"]] == list(range(12))[part]


# --- tables --------------------------------------------------------------------------------------


def test_a_table_has_a_row_for_each_matrix(monkeypatch):
    monkeypatch.setattr("deepmatrixinversion.matrices.reader.BLOCK_BYTES", 72)
    monkeypatch.setattr("deepmatrixinversion.reporting.answers.MOST_ROWS", 2)
    singular = A.copy()
    singular[[0, 7]] = np.ones((3, 3))
    write_matrices("s.npy", singular)
    assert call("--report", "r.csv", source="s.npy") == 1
    with open("r.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == list(range(12))
    assert [row["certified"] for row in rows] == ["0" if i in (0, 7) else "1" for i in range(12)]
    names = ["residual", "residual_bound", "error_bound", "relative_error_bound"]
    assert list(rows[0]) == ["index", "certified", *names, "steps"]
    assert [float(row["error_bound"]) == np.inf for row in rows] == [i in (0, 7) for i in range(12)]


def test_a_table_appears_whole_or_not_at_all(here, monkeypatch):
    monkeypatch.setattr("deepmatrixinversion.matrices.reader.BLOCK_BYTES", 72)
    (here / "r.csv").write_text("old")
    text = "1,2\n3,4\nEND\n5,6\nx,8\nEND\n"
    (here / "bad.mx").write_text(text)
    assert call("--report", "r.csv", source="bad.mx") == 2
    assert (here / "r.csv").read_text() == "old"


def test_rectangular_matrices_are_sent_to_pinv(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.ones((2, 4, 3)))
    words = ["--inputmx", str(tmp_path / "a.npy"), "--inverseout", str(tmp_path / "x.npy")]
    assert command.main(words) == 2
    said = capsys.readouterr().err
    assert "4 x 3" in said
    assert "--kind pinv" in said
    assert command.main([*words, "--kind", "pinv"]) == 0
