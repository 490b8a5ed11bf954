"""Files that unpack to more than there is: sizes, memory, and refusing before allocating."""

import contextlib
import io
import itertools
import os
import struct
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from damaged_files import LARGE_STACK, fails, safetensors
from deepmatrixinversion.cli import invert as command
from deepmatrixinversion.errors import MatrixFormatError
from deepmatrixinversion.matrices import memory as module
from deepmatrixinversion.matrices import read_blocks, read_matrices, write_matrices


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
    with pytest.raises(MatrixFormatError, match="matrix 0 "):
        read_matrices("-")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_pipe_that_is_longer_than_its_header_says(tmp_path, order):
    np.save(tmp_path / "a.npy", np.asarray(LARGE_STACK, order=order))
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
    assert all(fact in said for fact in ("a.npy: ", "order 400", "0.02861 GiB"))
    assert not (tmp_path / "x.npy").exists()
