"""Files that are damaged, made to do harm, or change while they are read."""

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from damaged_files import LARGE_STACK, fails, safetensors
from deepmatrixinversion.errors import MatrixFormatWarning
from deepmatrixinversion.matrices import read_blocks, read_matrices, write_matrices


def invert(*words, **options):
    """``dmxinvert`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "deepmatrixinversion.cli.invert", *map(str, words)],
        capture_output=True,
        check=False,
        timeout=120,
        **options,
    )


READ = """
import os, sys, numpy as np
from deepmatrixinversion.matrices import read_blocks
reader = read_blocks(sys.argv[1], block_matrices=5)
next(reader)
os.truncate(sys.argv[1], 8192)
try:
    list(reader)
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["f.npy", "c.npy", "a.safetensors"])
def test_a_file_that_shrinks_is_an_error_and_not_the_end_of_the_process(tmp_path, name):
    path = tmp_path / name
    if name == "f.npy":
        np.save(path, np.asfortranarray(LARGE_STACK))
    else:
        write_matrices(path, LARGE_STACK)
    done = subprocess.run(
        [sys.executable, "-c", READ, path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert str(path) in done.stdout
    assert "ends here" in done.stdout or "became shorter" in done.stdout


@pytest.mark.parametrize("shape", [(40, 30, 20), (3, 70, 90), (9000, 2, 2), (20_000, 1, 3)])
def test_fortran_order_is_gathered_from_anywhere(tmp_path, shape):
    stack = np.random.default_rng(1).standard_normal(shape)
    np.save(tmp_path / "a.npy", np.asfortranarray(stack))
    for block in (1 + shape[0] // 7, shape[0]):
        with read_blocks(tmp_path / "a.npy", block_matrices=block) as reader:
            assert np.array_equal(np.concatenate(list(reader)), stack)


@pytest.mark.parametrize(
    "name, text, line",
    [
        ("a.mx", "1,2\n3,4\nEND\n5,6\n7,8.2", 5),
        ("a.csv", "1,2\n3,4", 2),
        ("a.mtx", "%%MatrixMarket matrix array real general\n1 2\n1\n2.5", 4),
    ],
)
def test_a_last_line_without_a_newline_is_read_with_a_warning(tmp_path, name, text, line):
    (tmp_path / name).write_text(text)
    said = rf"{name}: line {line}: the file does not end in a newline; if it was cut off"
    with pytest.warns(MatrixFormatWarning, match=said) as caught:
        read_matrices(tmp_path / name)
    assert len(caught) == 1


@pytest.mark.parametrize("end", ["\n", "\nEND", "\nEND\n", "\n\n "])
def test_nothing_is_said_of_text_that_ends(tmp_path, end, recwarn):
    (tmp_path / "a.mx").write_text("1,2\n3,4" + end)
    assert read_matrices(tmp_path / "a.mx").tolist() == [[[1, 2], [3, 4]]]
    assert [w for w in recwarn if w.category is MatrixFormatWarning] == []


@pytest.mark.parametrize("piped", [False, True])
def test_the_command_warns_in_one_line(tmp_path, piped):
    path = tmp_path / "a.mx"
    path.write_text("1,2\n3,4\nEND\n5,6\n7,8.2")
    source = "-" if piped else path
    with open(path) as file:
        done = invert("--inputmx", source, "--inverseout", tmp_path / "x.mx", stdin=file)
    name = "standard input" if piped else str(path)
    assert done.returncode == 0
    (line,) = done.stderr.decode().splitlines()
    assert "warning: " + name + ": line 5: the file does not end in a newline" in line
    path.write_text("1,2\n3,4\nEND\n5,6\n7")
    done = invert("--inputmx", path, "--inverseout", tmp_path / "y.mx")
    assert done.returncode == 2
    assert b"a row of 1 where the rows before have 2" in done.stderr


ESCAPE = "\x1b[2J\x1b]0;owned\x07\u202e"


def test_terminal_escapes_and_long_texts_never_reach_a_message(tmp_path):
    long = ESCAPE + "x" * 900_000
    safe = r"\\x1b\[2J\\x1b\]0;owned\\x07\\u202e"
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(ESCAPE + ".npy", b"")
        archive.writestr("x" * 60_000 + ".npy", b"")
    fails(path, safe)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(ESCAPE + ".npy", b"1,2\n")
    fails(path, "does not begin as a .npy file does")
    for kind in (long, ESCAPE):
        safetensors(tmp_path / "a.safetensors", {kind: 1})
        fails(tmp_path / "a.safetensors", "wrong about '" + safe)
        tensor = {"dtype": "F64", "shape": [1, 1], "data_offsets": [0, 8]}
        safetensors(tmp_path / "a.safetensors", {"m": tensor | {"dtype": kind}}, bytes(8))
        fails(tmp_path / "a.safetensors", "type " + safe)
        two = {kind: tensor, "b": tensor | {"data_offsets": [8, 16]}}
        safetensors(tmp_path / "a.safetensors", two, bytes(16))
        fails(tmp_path / "a.safetensors", "holds 2 tensors .*" + safe)
        for name in ("a.mx", "a.csv"):
            (tmp_path / name).write_text(f"1,2\n{kind},3\n", encoding="utf-8")
            fails(tmp_path / name, r"'\\x1b\[2J")
        banner = "%%MatrixMarket matrix array real general\n"
        for text in (f"{banner}1 1\n{kind}\n", f"{banner}{kind}\n", f"{banner[:-8]}{kind}\n"):
            (tmp_path / "a.mtx").write_text(text, encoding="utf-8")
            fails(tmp_path / "a.mtx", r"(?i)\\x1b\[2J")


def test_nor_do_those_of_a_name(tmp_path):
    name = tmp_path / f"{ESCAPE[:4]}.mx"
    name.write_text("x")
    fails(name, r"\\x1b\[2J\.mx: ")
    done = invert("--inputmx", name, "--inverseout", tmp_path / "x.mx")
    assert done.returncode == 2
    assert b"\x1b" not in done.stderr
    done = invert("--inputmx", tmp_path / f"{ESCAPE[:4]}.csv", "--inverseout", tmp_path / "x.mx")
    assert done.returncode == 2
    assert b"\x1b" not in done.stderr
    name.write_text("1,2\n3,4")
    done = invert("--inputmx", name, "--inverseout", tmp_path / "x.mx")
    assert done.returncode == 0
    assert b"warning" in done.stderr
    assert b"\x1b" not in done.stderr


@pytest.mark.parametrize("suffix", [".mx", ".csv", ".npy", ".npz", ".safetensors"])
@pytest.mark.parametrize("mode", ["", "--invert_mode numpy", "--raw --on_uncertified nan"])
def test_one_nan_in_the_last_block_spoils_its_matrix_alone(tmp_path, suffix, mode):
    count = 1500
    stack = np.random.default_rng(0).standard_normal((count, 3, 3)) + 4 * np.eye(3)
    stack[-1, 1, 2], stack[7, 0, 0] = np.nan, -np.inf
    write_matrices(tmp_path / f"a{suffix}", stack)
    out = tmp_path / f"x{suffix}"
    done = invert("--inputmx", tmp_path / f"a{suffix}", "--inverseout", out, *mode.split())
    assert done.returncode == 1, done.stderr
    assert b"matrices [7, 1499] of 1500 could not be certified" in done.stderr
    X = read_matrices(out)
    good = np.ones(count, bool)
    good[[7, -1]] = False
    assert np.isnan(X[~good]).all()
    assert np.abs(stack[good] @ X[good] - np.eye(3)).max() < 1e-4


def test_targets_that_are_not_finite_are_read(tmp_path):
    stack = np.random.default_rng(0).standard_normal((5, 3, 3)) + 4 * np.eye(3)
    write_matrices(tmp_path / "a.mx", stack)
    truth = np.linalg.inv(stack)
    truth[4] = np.nan
    write_matrices(tmp_path / "t.mx", truth)
    done = invert(
        "--inputmx", tmp_path / "a.mx", "--inverseout", tmp_path / "x.mx",
        "--invtarget", tmp_path / "t.mx", "--report", tmp_path / "r.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"targets that are not finite: 1, left out" in done.stderr
    assert json.loads((tmp_path / "r.json").read_text())["metrics"]["max_abs_error"] < 1e-12
