"""dmxinvert, as a user calls it."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.matrices import read_matrices, write_matrices
from inverting import (
    SINGULAR,
    SINGULAR_FOR_LAPACK,
    SUFFIXES,
    A,
    call,
    one_sentence,
    program,
    strict,
    table,
)
from models_for_tests import make_model, residual_bound, well_conditioned
from truth import residuals

# --- inverses ------------------------------------------------------------------------------------


def test_refined_by_default(here, capsys):
    assert call() == 0
    X = read_matrices("x.npy")
    np.testing.assert_array_equal(X, Inverter.from_pretrained("./m")(A))
    assert (residuals(A, X) <= residual_bound(A, X)).all()
    out, err = capsys.readouterr()
    assert err == ""
    assert "23 of order 3" in out
    assert "small, refined" in out


def test_raw(here, capsys):
    assert call("--raw", "--report", "r.json") == 0
    X = read_matrices("x.npy")
    np.testing.assert_array_equal(X, Inverter.from_pretrained("./m").guess(A))
    assert not (residuals(A, X) <= residual_bound(A, X)).any()  # float32 it is
    assert strict("r.json")["raw"] is True
    assert "small, raw" in capsys.readouterr().out


def test_the_bundled_model_is_the_default(here, capsys):
    assert call("--report", "r.json", model=None) == 0
    assert strict("r.json")["model"] == "feedback-3"
    X = read_matrices("x.npy")
    assert (residuals(A, X) <= residual_bound(A, X)).all()
    assert call("--report", "s.json", model="feedback-3") == 0
    assert strict("s.json")["model"] == "feedback-3"


@pytest.mark.parametrize("first", SUFFIXES)
@pytest.mark.parametrize("second", SUFFIXES)
def test_every_pair_of_formats(here, first, second):
    write_matrices(f"in{first}", A)
    assert call(source=f"in{first}", out=f"out{second}") == 0
    np.testing.assert_array_equal(read_matrices(f"out{second}"), Inverter.from_pretrained("./m")(A))


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".mtx"])
def test_matrix_market(here, suffix):
    """It holds one matrix a file."""
    pytest.importorskip("scipy")
    write_matrices("in.mtx", A[0])
    write_matrices(f"in{suffix}", A[0])
    assert call(source="in.mtx", out=f"out{suffix}") == 0
    assert call(source=f"in{suffix}", out="back.mtx") == 0
    X = Inverter.from_pretrained("./m")(A[:1])
    np.testing.assert_array_equal(read_matrices(f"out{suffix}"), X)
    np.testing.assert_array_equal(read_matrices("back.mtx"), X)


def test_several_matrices_do_not_go_into_matrix_market(here, capsys):
    assert call(out="x.mtx") == 2
    one_sentence(capsys, "x.mtx", "one matrix")
    assert not os.path.exists("x.mtx")


def test_float32_stays_float32(here):
    write_matrices("f.npy", A.astype(np.float32))
    write_matrices("t32.npy", np.linalg.inv(A).astype(np.float32))
    assert call("--invtarget", "t32.npy", source="f.npy") == 0
    assert read_matrices("x.npy").dtype == np.float32
    assert call("--invert_mode", "numpy", source="f.npy", model=None) == 0
    assert read_matrices("x.npy").dtype == np.float32


@pytest.mark.parametrize("size", [1, 2, 22, 23, 24, 10**9])
def test_batch_size(here, size):
    assert call("--batch_size", size) == 0
    X = read_matrices("x.npy")
    assert (residuals(A, X) <= residual_bound(A, X)).all()


def test_other_orders(here, tmp_path, capsys):
    make_model(tmp_path / "five", order=5)
    B = well_conditioned(5, order=5)
    write_matrices("b.mx", B)
    assert call("--report", "r.json", source="b.mx", model="./five") == 0
    X = read_matrices("x.npy")
    assert (residuals(B, X) <= residual_bound(B, X)).all()
    assert strict("r.json")["order"] == 5
    capsys.readouterr()
    assert call("--raw", source="b.mx", model="./m", out="y.npy") == 2
    one_sentence(capsys, "b.mx", "order 5", "small is of order 3", "dmxtrain --msize 5")
    assert not os.path.exists("y.npy")
    for model in ("./m", None):  # a Schur recursion over leaves of order 3
        assert call(source="b.mx", model=model, out="y.npy") == 0
        X = read_matrices("y.npy")
        assert (residuals(B, X) <= residual_bound(B, X)).all()


# --- LAPACK --------------------------------------------------------------------------------------


def test_numpy_mode(here, capsys):
    assert call("--invert_mode", "numpy", "--report", "r.json", model=None) == 0
    np.testing.assert_array_equal(read_matrices("x.npy"), np.linalg.inv(A))
    report = strict("r.json")
    assert (report["mode"], report["model"]) == ("numpy", None)
    assert "refined" not in capsys.readouterr().out


def test_numpy_mode_marks_singular_matrices_and_keeps_the_others(here, capsys):
    B = A.copy()
    singular = [0, 7, 8, 22]
    B[singular] = SINGULAR_FOR_LAPACK
    write_matrices("b.npy", B)
    words = ["--invert_mode", "numpy", "--report", "r.json", "--invtarget", "t.npy"]
    assert call(*words, source="b.npy", out="x.mx", model=None) == 1
    X = read_matrices("x.mx", finite=False)
    regular = np.setdiff1d(np.arange(23), singular)
    assert np.isnan(X[singular]).all()
    np.testing.assert_array_equal(X[regular], np.linalg.inv(B[regular]))
    report = strict("r.json")
    assert report["residual"]["max"] is None
    assert report["residual"]["median"] < 1e-10
    assert report["residual"]["below_one"] == pytest.approx(19 / 23)
    assert report["certified"] == 19
    # Of what was written as a number; the rest is NaN and says so.
    assert report["metrics"] == {"r2": 1, "mse": 0, "mae": 0, "max_abs_error": 0}
    assert "matrices [0, 7, 8, 22] of 23" in capsys.readouterr().err


def test_numpy_mode_with_nothing_but_singular_matrices(here, capsys):
    write_matrices("s.mx", np.broadcast_to(SINGULAR_FOR_LAPACK, (50, 3, 3)))
    words = ["--invert_mode", "numpy", "--plotout", "p.png"]
    assert call(*words, source="s.mx", model=None) == 1
    assert np.isnan(read_matrices("x.npy", finite=False)).all()
    assert table(capsys.readouterr().out)["share below 1"] == "0.0000 %"


def test_singular_matrices_by_network_are_finite_and_honest(here, capsys):
    write_matrices("s.npy", np.broadcast_to(SINGULAR, (50, 3, 3)))
    assert call("--report", "r.json", "--on_uncertified", "keep", source="s.npy") == 1
    assert np.isfinite(read_matrices("x.npy")).all()
    assert strict("r.json")["residual"]["median"] >= 1 - 1e-9
    assert strict("r.json")["certified"] == 0
    assert call(source="s.npy") == 1
    assert np.isnan(read_matrices("x.npy", finite=False)).all()
    assert call("--on_uncertified", "pinv", source="s.npy", out="p.npy") == 0
    # An error of the pseudo-inverse is about eps kappa, with kappa below 10 on the range.
    expected = np.broadcast_to(np.linalg.pinv(SINGULAR), (50, 3, 3))
    np.testing.assert_allclose(read_matrices("p.npy"), expected, atol=1e-13)


@pytest.mark.parametrize("mode", ["nn", "numpy"])
def test_nothing_certified_and_so_nothing_to_compare(here, mode):
    """With a target: no metrics, and a plot of the residuals."""
    write_matrices("s.npy", np.broadcast_to(SINGULAR_FOR_LAPACK, (5, 3, 3)))
    words = ["--invert_mode", mode, "--report", "r.json", "--plotout", "p.png"]
    write_matrices("p.npy", np.linalg.pinv(np.broadcast_to(SINGULAR_FOR_LAPACK, (5, 3, 3))))
    assert call(*words, "--invtarget", "p.npy", source="s.npy", model=None) == 1
    assert set(strict("r.json")["metrics"].values()) == {None}
    assert os.path.getsize("p.png") > 1000


# --- pipes ---------------------------------------------------------------------------------------


def test_from_pipe_to_pipe(here):
    rows = [",".join(map(repr, row)) for row in A.reshape(-1, 3).tolist()]
    source = "".join("\r\n".join(rows[k : k + 3]) + "\nEND\r\n\n" for k in range(0, 69, 3))
    words = ["--inputmx", "-", "--inverseout", "-", "--model", "./m", "--invtarget", "t.npy"]
    done = program(*words, input=source.encode(), cwd=here)
    assert done.returncode == 0, done.stderr
    (here / "out.mx").write_bytes(done.stdout)
    np.testing.assert_array_equal(read_matrices("out.mx"), Inverter.from_pretrained("./m")(A))
    rows = table(done.stderr.decode())
    assert rows["matrices"] == "23 of order 3"
    assert float(rows["MAE"]) < 1e-10


def test_the_target_may_come_from_the_pipe(here):
    write_matrices("t.mx", read_matrices("t.npy"))
    words = ["--inputmx", "a.npy", "--inverseout", "x.npy", "--model", "./m", "--invtarget", "-"]
    done = program(*words, input=(here / "t.mx").read_bytes(), cwd=here)
    assert (done.returncode, done.stderr) == (0, b"")
    assert float(table(done.stdout.decode())["MAE"]) < 1e-10


def test_a_reader_that_goes_away_is_no_error(here):
    write_matrices("many.mx", np.tile(A, (400, 1, 1)))
    words = "--inputmx many.mx --inverseout - --invert_mode numpy"
    shell = f"{sys.executable} -m deepmatrixinversion.cli.invert {words} | head -n 1"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, cwd=here, check=False)
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr
    assert len(done.stdout.splitlines()) == 1
