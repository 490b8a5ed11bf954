"""dmxinvert, as a user calls it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from onnx import helper

from deepmatrixinversion.cli.aligned import Beside, side_by_side
from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.matrices.files import read_blocks, read_matrices, write_matrices
from inverting import (
    SINGULAR,
    SINGULAR_FOR_LAPACK,
    SUFFIXES,
    A,
    call,
    one_sentence,
    program,
    residuals,
    strict,
    table,
)
from models_for_tests import graph, make_model, replace, residual_bound, well_conditioned


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture
def here(tmp_path, monkeypatch, model):
    """A folder with a.npy (matrices), t.npy (their inverses), m (the model)."""
    monkeypatch.chdir(tmp_path)
    write_matrices("a.npy", A)
    write_matrices("t.npy", np.linalg.inv(A))
    (tmp_path / "m").symlink_to(model)
    return tmp_path


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


def test_a_network_whose_answers_are_not_finite(here, model, capsys):
    """Strict JSON even so, and no figure that looks good."""
    shutil.copytree(model, "nan")
    minus = helper.make_tensor("minus", 1, [], [-1.0])
    nodes = [helper.make_node("Log", ["minus"], ["nan"]), helper.make_node("Mul", ["A", "nan"], ["X"])]  # fmt: skip # noqa: E501
    replace(here / "nan", "model.onnx", graph(nodes, initializers=[minus]))
    assert call("--raw", "--report", "r.json", "--invtarget", "t.npy", model="./nan") == 0
    report = strict("r.json")
    assert report["residual"]["median"] is None
    assert report["residual"]["below_one"] == 0
    assert set(report["metrics"].values()) == {None}
    assert "inf" in capsys.readouterr().out


def test_names_and_pipes_of_another_encoding(here, model):
    """A table in a pipe whose encoding lacks some of its letters; the work is done all the same."""
    shutil.copytree(model, "modèle-♥")
    environment = os.environ | {"PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}
    words = ["--inputmx", "a.npy", "--inverseout", "x.npy", "--model", "./modèle-♥"]
    done = program(*words, cwd=here, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"|I - AX|F median" in done.stdout
    assert b"mod\\xe8le-\\u2665" in done.stdout


def test_a_long_name_is_not_cut_short(here, model, capsys):
    name = "m" * 200
    shutil.copytree(model, name)
    assert call(model=f"./{name}") == 0
    assert capsys.readouterr().out.count("m") > 200


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


# --- targets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape, words",
    [
        ((22, 3, 3), "t2.npy ends after 22 matrices"),
        ((24, 3, 3), "a.npy ends after 23 matrices"),
        ((1, 3, 3), "t2.npy ends after 1 matrices"),
        ((23, 4, 4), "4 x 4"),
        ((23, 3, 4), "3 x 4"),
    ],
)
def test_a_target_that_does_not_fit(here, capsys, shape, words):
    (here / "x.npy").write_bytes(b"old")
    (here / "r.json").write_bytes(b"old")
    write_matrices("t2.npy", np.zeros(shape))
    assert call("--invtarget", "t2.npy", "--report", "r.json", "--plotout", "p.png") == 2
    one_sentence(capsys, words)
    assert (here / "x.npy").read_bytes() == (here / "r.json").read_bytes() == b"old"
    assert not os.path.exists("p.png")
    assert not [name for name in os.listdir() if name.endswith(".tmp")]


@pytest.mark.parametrize("first", [1, 4, 23, 100])
@pytest.mark.parametrize("second", [1, 3, 5, 22, 100])
def test_blocks_of_source_and_target_need_not_agree(here, first, second):
    with (
        read_blocks("a.npy", block_matrices=first) as source,
        read_blocks("t.npy", block_matrices=second) as target,
    ):
        pairs = [
            (M, T)
            for M, T in side_by_side(source, [Beside(target, source, "target")])
            if M is not None and T is not None
        ]
    assert [len(M) for M, _ in pairs] == [len(T) for _, T in pairs]
    np.testing.assert_array_equal(np.concatenate([M for M, _ in pairs]), A)
    np.testing.assert_array_equal(np.concatenate([T for _, T in pairs]), np.linalg.inv(A))


@pytest.mark.parametrize("bytes_", [72, 500, 10_000])
def test_many_blocks_give_what_one_gives(here, monkeypatch, bytes_):
    assert call("--invtarget", "t.npy", "--report", "one.json", out="one.npy") == 0
    write_matrices("t.csv", read_matrices("t.npy"))
    monkeypatch.setattr("deepmatrixinversion.matrices.reader.BLOCK_BYTES", bytes_)
    assert call("--invtarget", "t.csv", "--report", "many.json", out="many.npy") == 0
    one, many = read_matrices("one.npy"), read_matrices("many.npy")
    bound = residual_bound(A, one) * np.linalg.norm(one, axis=(1, 2))
    assert (np.linalg.norm(one - many, axis=(1, 2)) <= 2 * bound).all()
    one, many = strict("one.json"), strict("many.json")
    assert one["count"] == many["count"] == 23
    assert one["metrics"]["r2"] == pytest.approx(many["metrics"]["r2"], abs=1e-12)


@pytest.mark.parametrize("what", ["source", "target"])
def test_nothing_is_left_when_a_file_goes_bad_late(here, monkeypatch, capsys, what):
    """The first blocks have been inverted and written by then."""
    monkeypatch.setattr("deepmatrixinversion.matrices.reader.BLOCK_BYTES", 72)
    (here / "x.npy").write_bytes(b"old")
    write_matrices("a.mx", A)
    write_matrices("t.mx", A)
    bad = "a.mx" if what == "source" else "t.mx"
    text = (here / bad).read_text()
    (here / bad).write_text(text[:-60] + "garbage\nEND\n")
    before = sorted(os.listdir())
    words = ["--invtarget", "t.mx", "--report", "r.json", "--plotout", "p.png"]
    assert call(*words, source="a.mx") == 2
    one_sentence(capsys, bad)
    assert (here / "x.npy").read_bytes() == b"old"
    assert sorted(os.listdir()) == before


def test_a_large_file_streams(here):
    """A million matrices (72 MB) through blocks of 1 MiB: far below what the whole would take."""
    code = """
import resource, sys
import deepmatrixinversion.matrices.reader as reader
from deepmatrixinversion.cli.invert import main
reader.BLOCK_BYTES = 2**20
words = ["--inputmx", sys.argv[1], "--inverseout", "x.npy", "--invert_mode", "numpy"]
status = main([*words, "--invtarget", sys.argv[1]])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
sys.exit(status)
"""
    write_matrices("large.npy", np.tile(A, (1_000_000 // 23 + 1, 1, 1)))
    size = os.path.getsize("large.npy")
    assert size > 71_000_000
    peaks = []
    for name in ("a.npy", "large.npy"):
        done = subprocess.run(
            [sys.executable, "-c", code, name], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout.split()[-1]))
    # 8 bytes a matrix for the residuals, a copy of them to sort, blocks and the sample.
    assert peaks[1] - peaks[0] < 2.5 * 8 * 1_000_000 + 30 * 2**20 < size
    x = np.load("x.npy", mmap_mode="r")
    assert x.shape == np.load("large.npy", mmap_mode="r").shape
    np.testing.assert_array_equal(x[-23:], np.linalg.inv(A))
