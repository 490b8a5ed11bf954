"""What holds for every file format: bitwise round trips, blocks, all-or-nothing writing."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deepmatrixinversion.errors import MatrixFormatError, MatrixFormatWarning
from deepmatrixinversion.matrices import (
    MatrixReader,
    MatrixWriter,
    read_blocks,
    read_matrices,
    write_matrices,
)
from file_formats import BINARY, FORMATS, STACKS, TEXT, same_bits

# Where decimals go wrong: signed zero, subnormals, the ends of the range, integers, 17 digits.
AWKWARD = [
    [0.0, -0.0, 5e-324, -2.2250738585072009e-308],
    [2.2250738585072014e-308, 1.7976931348623157e308, -1e308, 1 / 3],
    [9007199254740993.0, 1e16, 1e22, 123456789.0],
    [0.1 + 0.2, 1e-5, -1.0, 3.0],
]


def stacks(dtype: type[np.floating] = np.float64):
    width = 64 if dtype == np.float64 else 32
    return hnp.arrays(
        dtype,
        st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4)),
        elements=st.floats(allow_nan=False, allow_infinity=False, width=width),
    )


@pytest.mark.parametrize("suffix", STACKS)
def test_float64_comes_back_bit_by_bit(tmp_path_factory, suffix):
    path = tmp_path_factory.mktemp("files") / f"a{suffix}"

    @settings(max_examples=60, deadline=None)
    @given(stacks())
    def check(stack):
        write_matrices(path, stack)
        assert same_bits(read_matrices(path), stack)

    check()


@pytest.mark.parametrize("suffix", BINARY)
def test_float32_comes_back_bit_by_bit(tmp_path_factory, suffix):
    path = tmp_path_factory.mktemp("files") / f"a{suffix}"

    @settings(max_examples=30, deadline=None)
    @given(stacks(np.float32))
    def check(stack):
        write_matrices(path, stack)
        assert same_bits(read_matrices(path), stack)

    check()


@pytest.mark.parametrize("suffix", [*TEXT, ".mtx"])
def test_text_holds_float32_as_the_float64_of_the_same_value(tmp_path, suffix):
    stack = np.random.default_rng(0).standard_normal((1, 5, 5)).astype(np.float32)
    write_matrices(tmp_path / f"a{suffix}", stack)
    assert same_bits(read_matrices(tmp_path / f"a{suffix}"), stack.astype(np.float64))


def test_matrix_market_comes_back_bit_by_bit(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "a.mtx"

    @settings(max_examples=60, deadline=None)
    @given(stacks())
    def check(stack):
        write_matrices(path, stack[0])
        assert same_bits(read_matrices(path), stack[:1])

    check()


@pytest.mark.parametrize("suffix", FORMATS)
def test_awkward_numbers_come_back_bit_by_bit(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_matrices(path, AWKWARD)
    result = read_matrices(path)
    assert same_bits(result, np.array([AWKWARD]))
    assert result.flags.writeable
    assert result.flags.c_contiguous


@pytest.mark.parametrize("suffix", FORMATS)
def test_nan_and_infinities_pass_unless_they_are_forbidden(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    stack = np.array([[[1.0, 2.0], [np.nan, -np.inf]]])
    write_matrices(path, stack)
    assert np.array_equal(read_matrices(path), stack, equal_nan=True)
    with pytest.raises(MatrixFormatError, match=r"matrix 0.*nan"):
        read_matrices(path, finite=True)


@pytest.mark.parametrize("suffix", STACKS)
def test_the_first_matrix_that_is_not_finite_is_named(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    stack = np.ones((10, 2, 2))
    stack[7, 1, 0] = np.inf
    write_matrices(path, stack)
    where = r"matrix 7 \(line 23\)" if suffix in TEXT else r"matrix 7: inf in row 1, column 0"
    for block in (1, 3, None):
        with (
            pytest.raises(MatrixFormatError, match=where),
            read_blocks(path, block_matrices=block, finite=True) as reader,
        ):
            list(reader)


@pytest.mark.parametrize("suffix", STACKS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_blocks_put_together_are_the_whole(tmp_path, suffix, size):
    path = tmp_path / f"a{suffix}"
    stack = np.random.default_rng(1).standard_normal((7, 3, 2))
    write_matrices(path, stack)
    progress = []
    with read_blocks(
        path, block_matrices=size, progress=lambda *numbers: progress.append(numbers)
    ) as reader:
        assert (reader.rows, reader.cols) == (3, 2)
        assert reader.count == (None if suffix in TEXT else 7)
        blocks = list(reader)
    assert [len(block) for block in blocks] == [size] * (7 // size) + [7 % size] * (7 % size > 0)
    assert same_bits(np.concatenate(blocks), stack)
    reads = [done for done, _ in progress]
    assert len(progress) == len(blocks)
    assert reads == sorted(reads)
    assert {total for _, total in progress} == {path.stat().st_size}
    assert 0 < reads[-1] <= path.stat().st_size
    assert reader.bytes_read == reads[-1]


def test_a_block_is_about_64_mib_by_default(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((9, 1024, 1024), np.float32))
    assert [len(block) for block in read_blocks(path)] == [8, 1]
    assert read_matrices(path).shape == (9, 1024, 1024)


@pytest.mark.parametrize("suffix", STACKS)
def test_writing_in_blocks_gives_the_same_file(tmp_path, suffix):
    stack = np.random.default_rng(2).standard_normal((9, 2, 3))
    write_matrices(tmp_path / f"a{suffix}", stack)
    with MatrixWriter(tmp_path / f"b{suffix}") as writer:
        writer.write(stack[:4])
        writer.write(stack[4:4])
        writer.write(stack[4])
        writer.write(np.asfortranarray(stack[5:]))
        assert writer.count == 9
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_failure_while_writing_leaves_what_was_there(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")

    def write():
        with MatrixWriter(path) as writer:
            writer.write(np.eye(3))
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", FORMATS)
def test_one_matrix_may_come_without_a_stack(tmp_path, suffix):
    write_matrices(tmp_path / f"a{suffix}", np.eye(2))
    assert same_bits(read_matrices(tmp_path / f"a{suffix}"), np.eye(2)[np.newaxis])


def test_suffixes_are_read_in_either_case(tmp_path):
    write_matrices(tmp_path / "a.NPY", np.eye(2))
    assert np.load(tmp_path / "a.NPY").shape == (1, 2, 2)


@pytest.mark.parametrize("suffix", FORMATS)
def test_integers_and_booleans_become_float64(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_matrices(path, [[2**53, -1], [True, 0]])
    assert same_bits(read_matrices(path), np.array([[[2.0**53, -1], [1, 0]]]))


def test_a_reader_that_is_closed_has_ended(tmp_path):
    write_matrices(tmp_path / "a.mx", np.ones((5, 2, 2)))
    reader = MatrixReader(tmp_path / "a.mx", block_matrices=2)
    assert len(next(reader)) == 2
    reader.close()
    assert list(reader) == []
    with pytest.raises(ValueError, match=r"block_matrices.*0"):
        MatrixReader(tmp_path / "a.mx", block_matrices=0)


def test_a_hyphen_is_standard_input_and_output(monkeypatch, capfdbinary):
    stdin = io.TextIOWrapper(io.BytesIO(b"1,2\r\n3,4\r\nEND\r\n5,6\n7,8"))
    monkeypatch.setattr(sys, "stdin", stdin)
    cut = r"standard input: line 5: the file does not end in a newline"
    with pytest.warns(MatrixFormatWarning, match=cut):
        stack = read_matrices("-")
    assert not stdin.closed
    write_matrices("-", stack)
    assert capfdbinary.readouterr().out == b"1.0,2.0\n3.0,4.0\nEND\n5.0,6.0\n7.0,8.0\nEND\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_is_read_from_a_pipe(tmp_path, order):
    stack = np.random.default_rng(3).standard_normal((200, 3, 3))
    np.save(tmp_path / "a.npy", np.asarray(stack, order=order))
    os.mkfifo(tmp_path / "pipe.npy")
    with subprocess.Popen(f"cat {tmp_path}/a.npy > {tmp_path}/pipe.npy", shell=True):
        assert same_bits(read_matrices(tmp_path / "pipe.npy"), stack)
