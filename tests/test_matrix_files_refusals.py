"""What matrix files refuse, whatever their format."""

import numpy as np
import pytest

from deepmatrixinversion.errors import MatrixFormatError
from deepmatrixinversion.matrices import (
    MatrixWriter,
    read_blocks,
    read_matrices,
    write_matrices,
)
from file_formats import FORMATS, STACKS


@pytest.mark.parametrize("act", [read_matrices, read_blocks, MatrixWriter])
def test_an_unknown_suffix_is_answered_with_the_known_ones(act):
    with pytest.raises(MatrixFormatError, match=r"a\.xyz: .*'\.xyz'.*\.mx, \."):
        act("a.xyz")
    with pytest.raises(MatrixFormatError, match=r"somewhere/a: .*\.safetensors"):
        act("somewhere/a")


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_missing_file_and_a_directory_are_os_errors(tmp_path, suffix):
    with pytest.raises(FileNotFoundError) as caught:
        read_matrices(tmp_path / f"a{suffix}")
    assert caught.value.filename == str(tmp_path / f"a{suffix}")
    (tmp_path / f"d{suffix}").mkdir()
    with pytest.raises(OSError):
        read_matrices(tmp_path / f"d{suffix}")
    with pytest.raises(OSError):
        write_matrices(tmp_path / f"d{suffix}", np.eye(2))


@pytest.mark.parametrize("suffix", FORMATS)
def test_matrices_that_are_not_square_are_refused_on_demand(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_matrices(path, np.ones((2, 3)))
    assert read_matrices(path).shape == (1, 2, 3)
    with pytest.raises(MatrixFormatError, match=r"matrix 0 .*2 x 3"):
        read_matrices(path, square=True)


@pytest.mark.parametrize(
    "bad, message",
    [
        (np.zeros((0, 2, 2)), "no matrix to write"),
        (np.zeros((2, 0, 0)), "holds no matrix"),
        (np.zeros(3), r"\(3,\) is no stack of matrices"),
        (np.zeros((1, 1, 2, 2)), "reshape it"),
        (np.eye(2) * 1j, r"complex matrices.*\[\[Re, -Im\], \[Im, Re\]\]"),
        (np.array([["a"]]), "type <U1 are not supported"),
        (np.array([[None]]), "type object are not supported"),
        (np.array([[2**53 + 1]]), r"matrix 0 holds an integer beyond 2\^53"),
        (np.array([[2**64 - 1]], np.uint64), r"beyond 2\^53"),
    ],
)
@pytest.mark.parametrize("suffix", [".mx", ".npy"])
def test_what_is_no_stack_of_real_matrices_is_not_written(tmp_path, suffix, bad, message):
    with pytest.raises(ValueError, match=message):
        write_matrices(tmp_path / f"a{suffix}", bad)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", STACKS)
def test_a_file_holds_one_shape_and_one_dtype(tmp_path, suffix):
    with MatrixWriter(tmp_path / f"a{suffix}") as writer:
        writer.write(np.eye(2))
        with pytest.raises(ValueError, match=r"matrix 1 .*3 x 3 float64.* 2 x 2 float64"):
            writer.write(np.eye(3))
        with pytest.raises(ValueError, match=r"matrix 1 .*2 x 2 float32"):
            writer.write(np.eye(2, dtype=np.float32))
    assert read_matrices(tmp_path / f"a{suffix}").shape == (1, 2, 2)


def test_the_writer_must_be_opened():
    with pytest.raises(ValueError, match=r"a\.mx"):
        MatrixWriter("a.mx").write(np.eye(2))
