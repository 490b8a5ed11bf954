"""dmxinvert's report, table and plots."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from onnx import helper

from deepmatrixinversion.matrices import read_matrices
from inverting import (
    A,
    call,
    one_sentence,
    program,
    strict,
    table,
)
from models_for_tests import graph, replace
from truth import residuals

# --- report and table ----------------------------------------------------------------------------


@pytest.mark.parametrize("target", [False, True])
def test_report_and_table_say_the_same_and_the_truth(here, capsys, target):
    words = ["--invtarget", "t.npy"] if target else []
    assert call("--raw", "--report", "r.json", *words) == 0
    report = strict("r.json")
    X = read_matrices("x.npy")
    R = np.sort(residuals(A, X))
    assert report.keys() >= {"count", "mode", "model", "residual", "metrics"}
    assert (report["count"], report["mode"], report["model"]) == (23, "nn", "small")
    assert report["residual"]["median"] == pytest.approx(R[11], rel=1e-6)
    assert report["residual"]["p99"] == pytest.approx(R[22], rel=1e-6)
    assert report["residual"]["max"] == pytest.approx(R[22], rel=1e-6)
    assert report["residual"]["below_one"] == 1
    assert report["seconds"] > 0
    rows = table(capsys.readouterr().out)
    assert rows["matrices"] == "23 of order 3"
    assert rows["|I - AX|F median"] == f"{report['residual']['median']:.3e}"
    assert rows["|I - AX|F 99 %"] == f"{report['residual']['p99']:.3e}"
    assert rows["|I - AX|F largest"] == f"{report['residual']['max']:.3e}"
    metrics = report["metrics"]
    assert list(metrics) == ["r2", "mse", "mae", "max_abs_error"]
    if not target:
        assert set(metrics.values()) == {None}
        assert not any("target" in label for label in rows)
        return
    T = np.linalg.inv(A)
    assert metrics["mse"] == pytest.approx(((X - T) ** 2).mean(), rel=1e-9)
    assert metrics["mae"] == pytest.approx(np.abs(X - T).mean(), rel=1e-9)
    assert metrics["max_abs_error"] == np.abs(X - T).max()
    assert metrics["r2"] == pytest.approx(
        1 - ((X - T) ** 2).sum() / ((T - T.mean()) ** 2).sum(), abs=1e-12
    )
    assert rows["R2 against target"] == f"{metrics['r2']:.9f}"
    assert rows["MSE"] == f"{metrics['mse']:.3e}"
    assert rows["MAE"] == f"{metrics['mae']:.3e}"
    assert rows["largest error"] == f"{metrics['max_abs_error']:.3e}"


def test_a_network_whose_answers_are_not_finite(here, small, capsys):
    """Strict JSON even so, and no figure that looks good."""
    shutil.copytree(small, "nan")
    minus = helper.make_tensor("minus", 1, [], [-1.0])
    nodes = [helper.make_node("Log", ["minus"], ["nan"]), helper.make_node("Mul", ["A", "nan"], ["X"])]  # fmt: skip # noqa: E501
    replace(here / "nan", "model.onnx", graph(nodes, initializers=[minus]))
    assert call("--raw", "--report", "r.json", "--invtarget", "t.npy", model="./nan") == 0
    report = strict("r.json")
    assert report["residual"]["median"] is None
    assert report["residual"]["below_one"] == 0
    assert set(report["metrics"].values()) == {None}
    assert "inf" in capsys.readouterr().out


def test_names_and_pipes_of_another_encoding(here, small):
    """A table in a pipe whose encoding lacks some of its letters; the work is done all the same."""
    shutil.copytree(small, "modèle-♥")
    environment = os.environ | {"PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}
    words = ["--inputmx", "a.npy", "--inverseout", "x.npy", "--model", "./modèle-♥"]
    done = program(*words, cwd=here, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"|I - AX|F median" in done.stdout
    assert b"mod\\xe8le-\\u2665" in done.stdout


def test_a_long_name_is_not_cut_short(here, small, capsys):
    name = "m" * 200
    shutil.copytree(small, name)
    assert call(model=f"./{name}") == 0
    assert capsys.readouterr().out.count("m") > 200


# --- plots ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [False, True])
@pytest.mark.parametrize(
    "suffix, start", [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
)
def test_plots(here, suffix, start, target):
    words = ["--invtarget", "t.npy"] if target else []
    assert call("--plotout", f"p.{suffix}", *words) == 0
    data = (here / f"p.{suffix}").read_bytes()
    assert data.startswith(start)
    assert len(data) > 5000


def test_a_plot_to_the_screen_where_there_is_none(here):
    environment = {k: v for k, v in os.environ.items() if "DISPLAY" not in k and k != "MPLBACKEND"}
    words = ["--inputmx", "a.npy", "--inverseout", "x.npy", "--model", "./m", "--plotout", "screen"]
    done = program(*words, cwd=here, env=environment)
    assert done.returncode == 2
    assert done.stdout == b""
    assert len(done.stderr.decode().strip().splitlines()) == 1
    assert b"no screen to show the plot on" in done.stderr


@pytest.mark.parametrize("name", ["p.jpg", "p", "nowhere/p.png"])
def test_a_plot_that_cannot_be_written_is_refused_before_the_work(here, capsys, name):
    assert call("--plotout", name) == 2
    one_sentence(capsys, name)
    assert not os.path.exists("x.npy")
