"""dmxinvert --resume: nothing that was finished is computed twice, and nothing else is trusted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from deepmatrixinversion.cli import invert as command
from deepmatrixinversion.cli import kinds
from deepmatrixinversion.matrices import read_matrices, write_matrices
from models_for_tests import well_conditioned

A = well_conditioned(10, seed=6)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("deepmatrixinversion.matrices.reader.BLOCK_BYTES", 144)  # two matrices
    write_matrices("a.npy", A)
    assert call(out="whole.npy") == 0
    return tmp_path


def call(*words, out="x.npy"):
    return command.main(["--inputmx", "a.npy", "--inverseout", out, "--quiet", *map(str, words)])


class Counting:
    """Inverses that are interrupted at the block before which ``blocks`` have been answered."""

    def __init__(self, monkeypatch, blocks=10**9):
        self.blocks = blocks
        self.answered = 0
        answer = kinds.Inverses.answer

        def counted(kind, A, B):
            if self.answered == self.blocks:
                raise KeyboardInterrupt
            self.answered += 1
            return answer(kind, A, B)

        monkeypatch.setattr(kinds.Inverses, "answer", counted)


def interrupted(monkeypatch, blocks):
    with monkeypatch.context() as patch:
        Counting(patch, blocks)
        assert call("--resume") == 130


@pytest.mark.parametrize("blocks", [0, 1, 3, 4])
def test_only_what_is_left_is_computed(here, monkeypatch, capsys, blocks):
    interrupted(monkeypatch, blocks)
    assert "x.npy.pieces" in capsys.readouterr().err
    assert not (here / "x.npy").exists()
    counting = Counting(monkeypatch)
    assert call("--resume", "--report", "r.csv") == 0
    assert counting.answered == 5 - blocks
    assert (here / "x.npy").read_bytes() == (here / "whole.npy").read_bytes()
    assert call("--report", "s.csv") == 0
    assert (here / "r.csv").read_bytes() == (here / "s.csv").read_bytes()
    assert not (here / "x.npy.pieces").exists()


def test_without_resume_nothing_is_kept(here, monkeypatch):
    Counting(monkeypatch, 3)
    before = sorted(os.listdir())
    assert call() == 130
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "other"])
def test_a_damaged_piece_is_computed_again(here, monkeypatch, damage):
    interrupted(monkeypatch, 3)
    piece = sorted((here / "x.npy.pieces").glob("*.npz"))[1]
    data = bytearray(piece.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "changed":
        at = data.index(b"\x93NUMPY") + 140  # within the first array's numbers
        data[at] ^= 0xFF
    elif damage == "empty":
        data = b""
    else:
        data = (here / "a.npy").read_bytes()
    piece.write_bytes(data)
    counting = Counting(monkeypatch)
    assert call("--resume") == 0
    assert counting.answered == 3
    assert (here / "x.npy").read_bytes() == (here / "whole.npy").read_bytes()


@pytest.mark.parametrize("change", ["input", "rtol", "model", "rows"])
def test_another_job_does_not_take_the_pieces(here, monkeypatch, capsys, change):
    interrupted(monkeypatch, 2)
    capsys.readouterr()
    words = {
        "input": [],
        "rtol": ["--rtol", "1e-9"],
        "model": ["--model", "spectral"],
        "rows": ["--rows", "1:"],
    }[change]
    if change == "input":
        write_matrices("a.npy", A[::-1])
    assert call("--resume", *words) == 2
    err = capsys.readouterr().err
    assert "another job" in err
    assert change in err
    assert len(list((here / "x.npy.pieces").glob("*.npz"))) == 2


def test_a_folder_of_something_else_stays_as_it_is(here, capsys):
    (here / "x.npy.pieces").mkdir()
    (here / "x.npy.pieces" / "thesis.tex").write_text("mine")
    assert call("--resume") == 2
    assert "move it out of the way" in capsys.readouterr().err
    assert os.listdir("x.npy.pieces") == ["thesis.tex"]


def test_streams_do_not_resume(capsys):
    assert call("--resume", out="-") == 2
    assert "--resume" in capsys.readouterr().err


def test_after_kill_9(here):
    """A process that had no chance to say anything."""
    code = """
import sys, time
import deepmatrixinversion.matrices.reader as reader
from deepmatrixinversion.cli import invert, kinds
reader.BLOCK_BYTES = 144
answer = kinds.Inverses.answer
def slow(self, A, B):
    time.sleep(0.2)
    return answer(self, A, B)
kinds.Inverses.answer = slow
sys.exit(invert.main(sys.argv[1:]))
"""
    words = ["--inputmx", "a.npy", "--inverseout", "x.npy", "--quiet", "--resume"]
    process = subprocess.Popen([sys.executable, "-c", code, *words])
    deadline = time.monotonic() + 60
    while len(list(Path("x.npy.pieces").glob("0*.npz"))) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Path("x.npy").exists()
    assert call("--resume") == 0
    np.testing.assert_array_equal(read_matrices("x.npy"), read_matrices("whole.npy"))
