"""dmxinvert's options: what is refused, and how; models by a pattern; interruptions."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from deepmatrixinversion.cli import invert as command
from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.matrices import read_matrices, write_matrices
from deepmatrixinversion.reporting import progress
from inverting import (
    SINGULAR,
    A,
    call,
    one_sentence,
    strict,
)

# --- usage ---------------------------------------------------------------------------------------


def test_quiet_prints_nothing_but_warnings(here, capsys):
    assert call("--quiet", "--report", "r.json") == 0
    assert capsys.readouterr() == ("", "")
    assert strict("r.json")["count"] == 23
    write_matrices("s.npy", SINGULAR[None])
    assert call("--quiet", source="s.npy") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_a_log_gets_a_line_now_and_then(here, capsys, monkeypatch, quiet):
    clock = iter(range(0, 10**6, 40))  # seconds
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    write_matrices("a.mx", A)
    assert call("--invert_mode", "numpy", *quiet, source="a.mx", model=None) == 0
    lines = capsys.readouterr().err.splitlines()
    assert bool(lines) != bool(quiet)
    for line in lines:
        assert re.fullmatch(r"inverting: \d+\.\d of \d+\.\d MB, \d+ %", line)


# --- models named by a pattern -------------------------------------------------------------------


@pytest.fixture
def several(here, small):
    for stamp in ("20250101000000", "20260101000000", "20250601000000"):
        shutil.copytree(small, f"Model_3x3_{stamp}")
    os.mkdir("Model_3x3_20270101000000")  # a training that is not finished
    return sorted(p.name for p in here.glob("Model*"))


@pytest.mark.parametrize("expanded", [False, True])
def test_of_several_models_the_newest(several, capsys, expanded):
    words = [f"./{name}" for name in several] if expanded else ["./Model_3x3_*"]
    assert call("--report", "r.json", "--model", *words, model=None) == 0
    assert strict("r.json")["model"] == "Model_3x3_20260101000000"
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "of 3 models the newest: ./Model_3x3_20260101000000"


def test_a_pattern_without_a_finished_model(here, capsys):
    os.mkdir("M_1")
    os.mkdir("M_2")
    assert call("--model", "./M_*", model=None) == 2
    one_sentence(capsys, "none of ./M_", "finished model")
    assert call("--model", "./N_*", model=None) == 2
    one_sentence(capsys, "no model directory")


def test_without_a_stamp_the_newest_is_the_one_written_last(here, small, capsys):
    for age, name in ((300, "b"), (100, "a"), (200, "c")):
        config = shutil.copytree(small, here / "all" / name) / "config.json"
        os.utime(config, (1e9 - age, 1e9 - age))
    assert call("--report", "r.json", "--model", "all/*", model=None) == 0
    assert strict("r.json")["model"] == "a"


def test_hyphens_for_underscores(here):
    assert call("--invert-mode", "numpy", "--batch-size=7", model=None) == 0
    assert call("--invert-mode=numpy", model=None) == 0


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--surprise"], "unrecognized arguments"),
        (["--rep", "r.json"], "unrecognized arguments"),  # no abbreviations
        (["--batch_size", "0"], "below 1"),
        (["--batch_size", "-1"], "below 1"),
        (["--batch_size", "many"], "not a whole number"),
        (["--batch_size", "1.5"], "not a whole number"),
        (["--invert_mode", "magic"], "invalid choice"),
        (["--report"], "expected one argument"),
        (["more.mx"], "unrecognized arguments"),
    ],
)
def test_bad_usage(here, capsys, words, expected):
    assert call(*words) == 2
    one_sentence(capsys, expected)
    assert not os.path.exists("x.npy")


@pytest.mark.parametrize("words", [[], ["--inputmx", "a.npy"], ["--inverseout", "x.npy"]])
def test_what_is_required(here, capsys, words):
    with pytest.raises(SystemExit) as stop:
        command.main(words)
    assert stop.value.code == 2
    one_sentence(capsys, "required")


def test_help_and_version_name_everything(capsys):
    for word in ("--help", "--version"):
        with pytest.raises(SystemExit) as stop:
            command.main([word])
        assert stop.value.code == 0
    out = capsys.readouterr().out
    options = "inputmx inverseout model invtarget plotout invert_mode raw report batch_size"
    for option in options.split():
        assert f"--{option}" in out


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--invert_mode", "numpy"], "uses no network"),  # with --model
        (["--report", "x.npy"], "different files"),
        (["--report", "./x.npy"], "different files"),
        (["--report", "p.png", "--plotout", "p.png"], "different files"),
        (["--report", "a.npy"], "must not overwrite"),
        (["--report", "t.npy", "--invtarget", "t.npy"], "must not overwrite"),
        (["--invtarget", "x.npy"], "must not overwrite"),
        (["--report", "nowhere/r.json"], "nowhere"),
        (["--report", "m"], "directory"),
        (["--invtarget", "none.npy"], "none.npy: No such file"),
        (["--invtarget", "m"], "m"),
        (["--model", "neither"], "neither"),
        (["--model", ""], "neither a model directory"),  # a shell variable that is not set
        (["--model", "a.npy"], "neither a model directory"),
    ],
)
def test_what_cannot_end_well_is_refused_first(here, capsys, words, expected):
    model = None if "--model" in words else "./m"
    assert call(*words, model=model) == 2
    one_sentence(capsys, expected)
    assert not os.path.exists("x.npy")
    np.testing.assert_array_equal(read_matrices("a.npy"), A)


def test_raw_makes_no_sense_with_lapack(here, capsys):
    assert call("--invert_mode", "numpy", "--raw", model=None) == 2
    one_sentence(capsys, "uses no network")


def test_two_inputs_from_one_pipe(here, capsys):
    assert call("--invtarget", "-", source="-") == 2
    one_sentence(capsys, "standard input")


@pytest.mark.parametrize(
    "source, out, words",
    [
        ("none.npy", "x.npy", "none.npy: No such file"),
        ("folder.npy", "x.npy", "folder.npy: Is a directory"),
        ("a.npy", "nowhere/x.npy", "nowhere/x.npy: No such file"),
        ("a.npy", "folder.npy", "folder.npy: Is a directory"),
        ("a.npy", "a.npy", "must not overwrite"),
        ("a.xyz", "x.npy", "a.xyz"),
        ("a.npy", "x.xyz", "x.xyz"),
        ("empty.mx", "x.npy", "empty.mx"),
        ("ragged.mx", "x.npy", "ragged.mx"),
        ("wide.mx", "x.npy", "2 x 3"),
        ("complex.npy", "x.npy", "complex"),
    ],
)
def test_files_that_will_not_do(here, capsys, source, out, words):
    os.mkdir("folder.npy")
    (here / "empty.mx").write_text("")
    (here / "ragged.mx").write_text("1,2,3\n4,5\n6,7,8\nEND\n")
    (here / "wide.mx").write_text("1,2,3\n4,5,6\nEND\n")
    np.save("complex.npy", np.eye(3) + 0j)
    before = sorted(os.listdir())
    assert call(source=source, out=out) == 2
    one_sentence(capsys, words)
    assert sorted(os.listdir()) == before
    np.testing.assert_array_equal(read_matrices("a.npy"), A)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_without_permission(here, capsys):
    os.mkdir("locked", 0o500)
    assert call(out="locked/x.npy") == 2
    one_sentence(capsys, "locked/x.npy: Permission denied")


def test_a_full_disk(here):
    """/dev/full takes the open and refuses the bytes."""
    words = ["--inputmx", "a.npy", "--model", "./m", "--inverseout", "-"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "deepmatrixinversion.cli.invert", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr


def test_an_interruption_leaves_nothing(here, monkeypatch, capsys):
    def interrupted(*words, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Inverter, "inv_ex", interrupted)
    before = sorted(os.listdir())
    assert call() == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert sorted(os.listdir()) == before


def test_one_matrix_without_a_stack(here, capsys):
    np.save("one.npy", A[0])
    (here / "one.csv").write_text("2,0,0\n0,4,0\n0,0,-8\n")
    assert call(source="one.npy", out="y.npy") == 0
    assert call(source="one.csv", out="y.csv") == 0
    np.testing.assert_array_equal(read_matrices("y.csv")[0], np.diag([0.5, 0.25, -0.125]))
    assert "1 of order 3" in capsys.readouterr().out
