"""Files that are damaged, made to do harm, or change while they are read."""

import contextlib
import io
import itertools
import json
import os
import struct
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from deepmatrixinversion.cli import invert as command
from deepmatrixinversion.errors import MatrixFormatError, MatrixFormatWarning
from deepmatrixinversion.matrices import memory as module
from deepmatrixinversion.matrices import read_blocks, read_matrices, write_matrices

STACK = np.random.default_rng(0).standard_normal((40, 30, 20))


def fails(path, message, **options):
    with pytest.raises(MatrixFormatError, match=message) as caught:
        read_matrices(path, **options)
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 2100
    return text


def invert(*words, **options):
    """``dmxinvert`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "deepmatrixinversion.cli.invert", *map(str, words)],
        capture_output=True,
        check=False,
        timeout=120,
        **options,
    )


# --- files that shrink ---------------------------------------------------------------------------

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
        np.save(path, np.asfortranarray(STACK))
    else:
        write_matrices(path, STACK)
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


# --- text that was cut ---------------------------------------------------------------------------


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


# --- sizes ---------------------------------------------------------------------------------------


def quickly(seconds=5.0):
    @contextlib.contextmanager
    def measure():
        start = time.perf_counter()
        yield
        assert time.perf_counter() - start < seconds  # of many minutes, or without end

    return measure()


def test_a_few_bytes_that_unpack_to_gigabytes_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (16000, 16000)}\n"
    data = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        member = zipfile.ZipInfo("matrices.npy")
        member.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(member, "w", force_zip64=True) as file:
            file.write(data + np.random.default_rng(0).bytes(2**21))
    # What it claims to unpack to, in the directory: as much as deflate can make of 2 MB.
    size, claimed = len(data) + 2**21, len(data) + 8 * 16000**2
    text = path.read_bytes()
    at = text.rindex(struct.pack("<I", size))
    path.write_bytes(text[:at] + struct.pack("<I", claimed) + text[at + 4 :])
    with quickly():
        fails(path, "would unpack .* to 2048000.* save them uncompressed")


def test_a_directory_of_many_members_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}.npy", b"")
    fails(path, "the archive's directory takes .* bytes, too many")


def test_a_long_safetensors_header_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 84_000_000))
        file.truncate(84_000_100)
    with quickly(1):
        fails(path, "no valid .safetensors file: it declares a header of 84000000 bytes")


def safetensors(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_safetensors_headers_that_make_no_sense(tmp_path):
    path = tmp_path / "a.safetensors"

    def tensor(**changes):
        return {"dtype": "F64", "shape": [1, 1], "data_offsets": [0, 8]} | changes

    safetensors(path, b"[" * 100_000)
    fails(path, "nested too deep|is no JSON")
    safetensors(path, b'{"a":{"dtype":"F64","shape":[1,1],"data_offsets":[0,8]},"a":1}', bytes(8))
    fails(path, "a key occurs twice")
    for wrong in (
        tensor(shape=[1, -1]),
        tensor(shape=[True, True]),
        tensor(shape="11"),
        tensor(data_offsets=[0]),
        tensor(data_offsets=[0, 2**64]),
        tensor(more=1),
        [],
    ):
        safetensors(path, {"matrices": wrong}, bytes(8))
        fails(path, "its header is wrong about 'matrices'")
    safetensors(path, {"matrices": tensor(), "b": tensor()}, bytes(8))
    fails(path, "overlap or leave gaps")
    safetensors(path, {"matrices": tensor()}, bytes(16))
    fails(path, "declares 8 bytes of numbers, 16 follow")
    safetensors(path, [1])
    fails(path, "is no table")
    safetensors(path, {"__metadata__": {"by": "me"}, "matrices": tensor()}, struct.pack("<d", 2.5))
    assert read_matrices(path).tolist() == [[[2.5]]]


@pytest.mark.parametrize("line", ["1,2\n", "1,2,3\n"])
def test_endless_rows_are_given_up(tmp_path, line):
    command = [sys.executable, "-m", "deepmatrixinversion.cli.invert", "--inputmx", "-"]
    command += ["--inverseout", str(tmp_path / "x.mx")]
    with subprocess.Popen(["yes", line.strip()], stdout=subprocess.PIPE) as endless:
        done = subprocess.run(
            command, stdin=endless.stdout, capture_output=True, text=True, timeout=60, check=False
        )
        endless.kill()
    assert done.returncode == 2
    assert "more rows than" in done.stderr
    assert "is END missing?" in done.stderr


def test_endless_rows_of_any_shape_end_where_memory_does(monkeypatch):
    class Endless(io.RawIOBase):
        def read(self, size=-1):
            return b"1,2\n" * (size // 4)

    monkeypatch.setattr(module, "free_memory", lambda: 20 * 2**20)
    monkeypatch.setattr(sys, "stdin", type("Input", (), {"buffer": Endless()}))
    with pytest.raises(MatrixFormatError, match=r"matrix 0 so far takes .* of memory"):
        read_matrices("-")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_pipe_that_is_longer_than_its_header_says(tmp_path, order):
    np.save(tmp_path / "a.npy", np.asarray(STACK, order=order))
    os.mkfifo(tmp_path / "pipe.npy")
    endless = f"cat {tmp_path}/a.npy /dev/zero > {tmp_path}/pipe.npy"
    with subprocess.Popen(endless, shell=True, stderr=subprocess.DEVNULL), quickly(20):
        fails(tmp_path / "pipe.npy", "bytes follow the end of the array that its header declares")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_that_would_fill_the_disk(tmp_path):
    header = {"descr": "<f8", "fortran_order": True, "shape": (10**6, 10**4, 10**4)}
    with open(tmp_path / "head", "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    os.mkfifo(tmp_path / "pipe.npy")
    endless = f"cat {tmp_path}/head /dev/zero > {tmp_path}/pipe.npy"
    with subprocess.Popen(endless, shell=True, stderr=subprocess.DEVNULL), quickly():
        fails(tmp_path / "pipe.npy", r"more than the \d+ that are free .* save it in C order")


# --- memory --------------------------------------------------------------------------------------

GIB = 2**30


def machine(root, groups, **files):
    """A directory tree with what a system tells of its memory."""
    files = {"proc/meminfo": f"MemTotal: 9 kB\nMemAvailable: {8 * GIB // 1024} kB\n", **files}
    files["proc/self/cgroup"] = groups
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(str(text))


def group(folder, version, limit, usage, stat):
    names = {1: ("limit_in_bytes", "usage_in_bytes"), 2: ("max", "current")}[version]
    values = zip((*names, "stat"), (limit, usage, stat), strict=True)
    return {f"{folder}/memory.{name}": value for name, value in values}


def test_free_memory_is_the_least_of_what_is_left(tmp_path):
    root = itertools.count()

    def free(groups, **files):
        folder = tmp_path / str(next(root))
        machine(folder, groups, **files)
        return module.free_memory(folder)

    assert free("") == 8 * GIB
    v2 = "sys/fs/cgroup"
    assert free("0::/a/b\n", **group(f"{v2}/a/b", 2, "max", GIB, "")) == 8 * GIB
    stat = f"inactive_file {GIB // 4}\nactive_file {GIB // 4}\n"
    inner = group(f"{v2}/a/b", 2, 4 * GIB, GIB, stat)
    assert free("0::/a/b\n", **inner) == 3 * GIB + GIB // 2
    outer = group(f"{v2}/a", 2, 2 * GIB, GIB, "")
    assert free("0::/a/b\n", **inner, **outer) == GIB
    # In a container the mount is the group itself, and its path the host's.
    assert free("0::/host/xyz\n", **group(v2, 2, GIB, 0, "")) == GIB
    v1 = "sys/fs/cgroup/memory"
    stat = f"inactive_file 1\ntotal_inactive_file {GIB}\ntotal_active_file 0\n"
    lines = "5:cpu:/x\n4:memory:/job\n0::/\n"
    assert free(lines, **group(f"{v1}/job", 1, 3 * GIB, 2 * GIB, stat)) == 2 * GIB
    assert free("4:memory,cpu:/job\n", **group(v1, 1, GIB, 3 * GIB, "")) == 0


def test_free_memory_where_it_is_not_told(tmp_path):
    machine = module.free_memory(tmp_path)  # from the standard library, or not at all
    assert machine is None or machine > 2**20


def test_what_is_not_free_is_not_allocated(tmp_path, monkeypatch):
    write_matrices(tmp_path / "a.npy", np.zeros((40, 300, 300)))
    monkeypatch.setattr(module, "free_memory", lambda: 20 * 2**20)
    fails(tmp_path / "a.npy", "takes 0.0268.* GiB, more than the free .* read it in blocks")
    assert sum(len(block) for block in read_blocks(tmp_path / "a.npy", block_matrices=9)) == 40
    write_matrices(tmp_path / "b.npy", np.zeros((1, 3000, 3000)))
    fails(tmp_path / "b.npy", "one matrix of 3000 x 3000 takes")


def test_what_would_take_too_much_to_invert_is_refused_first(tmp_path, monkeypatch, capsys):
    write_matrices(tmp_path / "a.npy", np.eye(400))
    monkeypatch.setattr(module, "free_memory", lambda: 20 * 2**20)
    words = ["--inputmx", str(tmp_path / "a.npy"), "--inverseout", str(tmp_path / "x.npy")]
    assert command.main(words) == 2
    said = capsys.readouterr().err
    assert "a.npy: inverting a matrix of order 400 takes 0.02861 GiB, more than the free" in said
    assert not (tmp_path / "x.npy").exists()


# --- what messages quote -------------------------------------------------------------------------

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


# --- entries that are not finite -----------------------------------------------------------------


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
