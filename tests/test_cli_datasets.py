"""dmxdatasetgenerator and dmxdatasetverify, as a user calls them."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from deepmatrixinversion.cli import dataset_generator, dataset_verify
from deepmatrixinversion.matrices.files import read_matrices, write_matrices

SUFFIXES = (
    "matrices",
    "matrices_inverted",
    "singular_matrices",
    "singular_matrices_pseudoinverted",
)


def names(prefix, size, suffix="mx"):
    return [f"{prefix}_{kind}_{size}x{size}.{suffix}" for kind in SUFFIXES]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def generate(*words):
    return dataset_generator.main([str(word) for word in words])


def verify(*words):
    return dataset_verify.main([str(word) for word in words])


def status(command, *words):
    """The exit status, whether it comes from argparse or from the command."""
    try:
        return command(*words)
    except SystemExit as stop:
        return stop.code


def one_sentence(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    lines = err.strip().splitlines()
    assert lines
    # argparse prints its usage first; the commands print nothing else.
    assert len(lines) == 1 or lines[0].startswith("usage:")
    return lines[-1]


def test_the_reference_call_as_written(here):
    """Positional arguments with a negative MIN, in a process of its own."""
    module = "deepmatrixinversion.cli.dataset_generator"
    call = [sys.executable, "-m", module, "3", "1000", "-1", "1", "test"]
    done = subprocess.run(call, cwd=here, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")  # no progress bar into a pipe
    assert done.stdout.splitlines() == names("test", 3)
    assert sorted(os.listdir(here)) == sorted(names("test", 3))  # nothing else is left behind
    a, x, s, y = (read_matrices(name) for name in [here / n for n in names("test", 3)])
    assert a.shape == x.shape == s.shape == y.shape == (1000, 3, 3)
    assert np.abs(a).max() <= 1
    assert (np.abs(np.linalg.det(a)) > 0.1 - 1e-14).all()
    np.testing.assert_array_equal(np.linalg.matrix_rank(s, rtol=1e-13) < 3, True)
    module = "deepmatrixinversion.cli.dataset_verify"
    for kind, (first, second) in (("invertible", (0, 1)), ("singular", (2, 3))):
        files = [names("test", 3)[i] for i in (first, second)]
        call = [sys.executable, "-m", module, *files, kind]
        done = subprocess.run(call, cwd=here, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[0] == "Dataset valid."
        assert done.stdout.splitlines()[1].startswith(f"1000 {kind} matrices of order 3, worst")


@pytest.mark.parametrize("suffix", dataset_generator.FORMATS)
def test_formats_hold_the_same_matrices(here, suffix):
    assert generate(2, 20, -1, 1, "a", "--format", suffix) == 0
    assert generate(2, 20, -1, 1, "b") == 0
    for one, other in zip(names("a", 2, suffix), names("b", 2), strict=True):
        np.testing.assert_array_equal(read_matrices(one), read_matrices(other))
    a, x, s, y = names("a", 2, suffix)
    assert verify(a, x, "invertible") == 0
    assert verify(s, y, "singular") == 0


def test_same_command_same_files(here):
    def contents(*words):
        assert generate(*words) == 0
        return [(here / name).read_bytes() for name in names(words[4], words[0])]

    first = contents(3, 50, -1, 1, "p")
    assert contents(3, 50, -1, 1, "p") == first  # overwrites
    assert contents(3, 50, -1, 1, "q", "--seed", 0) == first
    other = contents(3, 50, -1, 1, "p", "--seed", 1)
    assert all(a != b for a, b in zip(first, other, strict=True))
    # The filter changes the invertible matrices and leaves the singular ones alone.
    filtered = contents(3, 50, -1, 1, "p", "--det-min", 0.5)
    assert filtered[0] != first[0]
    assert filtered[2:] == first[2:]


def test_range_distribution_and_filter(here):
    assert generate(4, 60, -1e-3, "2.5e-1", "p", "--det_min=0") == 0
    a = read_matrices(names("p", 4)[0])
    assert a.min() >= -1e-3
    assert a.max() <= 0.25
    words = ("--distribution", "spd+orthogonal", "--det_min", "0")
    assert generate(3, 10, -1, 1, "p", *words) == 0
    a = read_matrices(names("p", 3)[0])
    np.testing.assert_array_equal(a[:5], a[:5].swapaxes(1, 2))
    defect = np.linalg.norm(a[5:] @ a[5:].swapaxes(1, 2) - np.eye(3), axis=(1, 2))
    assert defect.max() <= 4 * 3 * 7 * np.finfo(float).eps


@pytest.mark.parametrize("word", ["-1e-3", "-.5", "-5.", "-1E2", "-0"])
def test_every_spelling_of_a_negative_number(here, word):
    assert generate(1, 3, word, 5, "p", "--det_min", 0) == 0
    assert read_matrices(names("p", 1)[0]).min() >= float(word)


def test_the_widest_range(here):
    """No overflow on the way (a RuntimeWarning would fail the test), and valid files."""
    for suffix, words in (("a", ()), ("b", ("--distribution", "nearly_singular+spectrum"))):
        assert generate(4, 20, -1e100, 1e100, suffix, *words) == 0
        assert verify(*names(suffix, 4)[:2], "invertible") == 0
        assert verify(*names(suffix, 4)[2:], "singular") == 0


def test_order_one(here):
    assert generate(1, 5, -1, 1, "p") == 0
    a, x, s, y = (read_matrices(name) for name in names("p", 1))
    np.testing.assert_allclose(a * x, 1, rtol=np.finfo(float).eps)
    assert not s.any()
    assert not y.any()
    assert verify(*names("p", 1)[:2], "invertible") == 0
    assert verify(*names("p", 1)[2:], "singular") == 0


def test_many_blocks_are_one_file(here, monkeypatch):
    from deepmatrixinversion.matrices import datasets

    monkeypatch.setattr(datasets, "BLOCK_ENTRIES", 40)
    assert generate(2, 95, -1, 1, "p") == 0
    assert [len(read_matrices(name)) for name in names("p", 2)] == [95] * 4
    assert verify(*names("p", 2)[:2], "invertible") == 0
    assert verify(*names("p", 2)[2:], "singular") == 0


@pytest.mark.parametrize(
    "words, message",
    [
        (("0", "5", "-1", "1", "p"), "SIZE: 0 is below 1"),
        (("3", "0", "-1", "1", "p"), "SAMPLES: 0 is below 1"),
        (("3", "1.5", "-1", "1", "p"), "SAMPLES: '1.5' is not a whole number"),
        (("3", "5", "1", "1", "p"), "min < max"),
        (("3", "5", "1", "-1", "p"), "min < max"),
        (("3", "5", "nan", "1", "p"), "MIN: 'nan' is not a finite number"),
        (("3", "5", "-inf", "1", "p"), "MIN: '-inf' is not a finite number"),
        (("-3", "5", "-1", "1", "p"), "SIZE: -3 is below 1"),
        (("3", "5", "-0.1", "0.1", "p"), "det_min 0.1 is out of reach"),
        (("3", "5", "-1", "1", "p", "--det_min", "1e9"), "det_min 1e+09 is out of reach"),
        (("3", "5", "-1", "1", "p", "--det_min", "-1"), "det_min must be"),
        (("3", "5", "-1", "1", "p", "--distribution", "cauchy"), "unknown distribution 'cauchy'"),
        (("3", "5", "-1", "1", "p", "--distribution", "low_rank"), "no inverses"),
        (("3", "5", "-1", "1", "p", "--format", "xls"), "invalid choice: 'xls'"),
        (("3", "5", "-1", "1", "nowhere/p"), "no folder 'nowhere'"),
        (("3", "5", "-1", "1"), "required: PREFIX"),
        (("3", "5", "-1e300", "1e300", "p"), "within +-1e+100"),
    ],
)
def test_generator_refuses_in_one_sentence(here, capsys, words, message):
    assert status(generate, *words) == 2
    assert message in one_sentence(capsys)
    assert not list(here.iterdir())


def test_a_failing_run_leaves_the_old_files(here, capsys, monkeypatch):
    assert generate(3, 5, -1, 1, "p") == 0
    before = {path.name: path.read_bytes() for path in here.iterdir()}

    def broken(*args):
        raise OSError(28, "No space left on device")
        yield

    monkeypatch.setattr(dataset_generator, "singular_pairs", broken)
    capsys.readouterr()
    assert generate(3, 7, -1, 1, "p") == 2  # the first two files are complete by then
    assert "No space left on device" in one_sentence(capsys)
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


def test_a_folder_in_the_way(here, capsys):
    (here / names("p", 3)[3]).mkdir()
    assert generate(3, 5, -1, 1, "p") == 2
    assert "is a folder" in one_sentence(capsys)
    assert len(list(here.iterdir())) == 1


@pytest.fixture
def pairs(here):
    rng = np.random.default_rng(5)
    a = rng.uniform(-1, 1, (30, 3, 3)) + 2 * np.eye(3)
    write_matrices("x.npy", a)
    return a, np.linalg.inv(a)


def test_verify_reports_the_worst(pairs, capsys):
    a, x = pairs
    x[4] *= 1.01
    x[17] *= 1.5
    write_matrices("y.mx", x)
    assert verify("x.npy", "y.mx", "invertible") == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert out.isascii()  # any terminal can show it
    assert "Dataset valid." not in out
    assert "Warning: 2 of 30 pairs are not valid. The worst is matrix 17" in out
    assert f"{0.5 * np.sqrt(3):.6g}" in out  # ‖I - 1.5 I‖F
    for entry in np.concatenate([a[17].ravel(), x[17].ravel()]):
        assert f"{entry:.6f}" in out
    assert verify("x.npy", "y.mx", "invertible", "--tol", 1) == 0
    assert "Dataset valid." in capsys.readouterr().out


def test_verify_rounded_files(pairs, capsys):
    """Files rounded to four decimals, as the reference's, fail by default and pass by --tol."""
    a, x = pairs
    write_matrices("x4.mx", a.round(4))
    write_matrices("y4.mx", x.round(4))
    assert verify("x4.mx", "y4.mx", "invertible") == 1
    assert "30 of 30" in capsys.readouterr().out
    # ‖dX‖F ‖Y‖F + ‖X‖F ‖dY‖F, both errors at most half a unit of 1e-4 in 9 entries.
    norms = np.linalg.norm(a, axis=(1, 2)) + np.linalg.norm(x, axis=(1, 2))
    assert verify("x4.mx", "y4.mx", "invertible", f"--tol={1.01 * 1.5e-4 * norms.max()}") == 0


@pytest.mark.parametrize("kind", ["invertible", "singular"])
@pytest.mark.parametrize("name", ["x.npy", "y.npy"])
def test_nan_is_never_valid(here, capsys, kind, name):
    assert generate(3, 8, -1, 1, "p", "--format", "npy") == 0
    files = names("p", 3, "npy")
    first, second = files[:2] if kind == "invertible" else files[2:]
    x, y = read_matrices(first), read_matrices(second)
    (x if name == "x.npy" else y)[3, 0, 0] = np.nan
    np.save("x.npy", x)
    np.save("y.npy", y)
    capsys.readouterr()
    for tol in ((), ("--tol", "1e9")):
        assert verify("x.npy", "y.npy", kind, *tol) == 1
        out = capsys.readouterr().out
        assert "1 of 8 pairs are not valid. The worst is matrix 3" in out
        assert "not a number" in out


def test_verify_knows_singular_from_invertible(here, capsys):
    assert generate(3, 8, -1, 1, "p") == 0
    a, x, s, y = names("p", 3)
    capsys.readouterr()
    assert verify(a, x, "singular") == 1
    assert "the matrix is not singular: its partner has full rank" in capsys.readouterr().out
    assert verify(s, y, "invertible") == 1
    assert verify(a, s, "invertible") == 1
    assert verify(x, a, "invertible") == 0
    assert verify(y, s, "singular") == 0


def test_verify_refuses_what_it_cannot_compare(here, capsys):
    for n, count in ((2, 5), (2, 7), (3, 5)):
        write_matrices(f"{n}_{count}.mx", np.tile(np.eye(n), (count, 1, 1)))
    write_matrices("wide.mx", np.ones((5, 2, 3)))
    for words, message in (
        (("2_5.mx", "2_7.mx", "invertible"), "2_5.mx ends after 5 matrices, but 2_7.mx goes on"),
        (("2_7.mx", "2_5.mx", "invertible"), "2_5.mx ends after 5 matrices, but 2_7.mx goes on"),
        (("2_5.mx", "3_5.mx", "invertible"), "order 2 and 3_5.mx of order 3"),
        (("wide.mx", "wide.mx", "singular"), "square"),
        (("2_5.mx", "absent.mx", "invertible"), "absent.mx: No such file"),
        (("2_5.mx", "2_5.mx", "regular"), "invalid choice: 'regular'"),
        (("2_5.mx", "2_5.mx", "invertible", "--tol", "0"), "0 is not above 0"),
        (("2_5.mx", "2_5.mx", "invertible", "--tol", "nan"), "not a finite number"),
        (("2_5.mx", "2_5.mx"), "required: "),
    ):
        assert status(verify, *words) == 2
        assert message in one_sentence(capsys)


# --- exact ---------------------------------------------------------------------------------------


def test_entries_that_are_correctly_rounded_are_counted(here, capsys):
    A = np.array([[[3.0, 0.0], [0.0, 7.0]], [[1.0, 1.0], [0.0, 1.0]]])
    X = np.array([[[1 / 3, 0.0], [0.0, 1 / 7]], [[1.0, -1.0], [0.0, 1.0]]])
    write_matrices("a.npy", A)
    write_matrices("x.npy", X)
    assert verify("a.npy", "x.npy", "invertible", "--exact") == 0
    assert "8 of 8 entries are correctly rounded" in capsys.readouterr().out
    X[0, 1, 1] = np.nextafter(X[0, 1, 1], 1)
    write_matrices("x.npy", X)
    assert verify("a.npy", "x.npy", "invertible", "--exact") == 0
    assert "7 of 8 entries are correctly rounded" in capsys.readouterr().out
    assert verify("a.npy", "x.npy", "singular", "--exact") == 2
    assert "--exact" in one_sentence(capsys)
