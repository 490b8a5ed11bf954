"""dmxinvert beside targets, block by block, and with files that memory should not hold."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from deepmatrixinversion.cli.aligned import Beside, side_by_side
from deepmatrixinversion.matrices import read_blocks, read_matrices, write_matrices
from inverting import (
    A,
    call,
    one_sentence,
    strict,
)
from models_for_tests import residual_bound


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


def test_targets_that_are_no_inverses_are_said_to_be(here, capsys):
    truth = np.linalg.inv(A)
    for targets, said in ((truth, False), (np.round(truth, 2), True)):
        write_matrices("t.npy", targets)
        assert call("--invtarget", "t.npy") == 0
        assert ("targets of certified matrices leave" in capsys.readouterr().err) == said
