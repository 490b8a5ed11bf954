"""dmxdatasetgenerator and dmxdatasetverify, as a user calls them."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from data_sets import generate, names, status, verify
from deepmatrixinversion.cli import dataset_generator
from deepmatrixinversion.matrices import read_matrices
from inverting import one_sentence


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


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
