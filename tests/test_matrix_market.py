"""Matrix Market: every kind that scipy reads, and what damage is told."""

import os
import subprocess

import numpy as np
import pytest

from damaged_files import STACK, fails
from deepmatrixinversion.errors import MatrixFormatError
from deepmatrixinversion.matrices import MatrixWriter, read_matrices, write_matrices

BANNER = b"%%MatrixMarket matrix "


def test_matrix_market_of_other_kinds_is_read(tmp_path):
    path = tmp_path / "a.mtx"
    path.write_bytes(BANNER + b"coordinate real symmetric\n% note\n2 2 2\n1 1 5\n2 1 0.5\n")
    assert read_matrices(path).tolist() == [[[5.0, 0.5], [0.5, 0.0]]]
    path.write_bytes(BANNER + b"array integer general\n1 2\n3\n-4\n")
    assert read_matrices(path).tolist() == [[[3.0, -4.0]]]
    path.write_bytes(BANNER.upper() + b"Array Double SYMMETRIC\n\n2 2\n1\n% note\n\n 2 \r\n3\n")
    assert read_matrices(path).tolist() == [[[1.0, 2.0], [2.0, 3.0]]]
    path.write_bytes(BANNER + b"array real skew-symmetric\n3 3\n1\n2\n3\n")
    assert read_matrices(path).tolist() == [[[0, -1, -2], [1, 0, -3], [2, 3, 0]]]
    path.write_bytes(BANNER + b"coordinate pattern general\n2 2 2\n1 2\n2 1\n")
    assert read_matrices(path).tolist() == [[[0.0, 1.0], [1.0, 0.0]]]
    path.write_bytes(BANNER + b"coordinate real general\n1 2 3\n1 2 1\n1 1 -0\n1 2 0.5\n")
    matrix = read_matrices(path)
    assert matrix.tolist() == [[[0.0, 1.5]]]
    assert np.signbit(matrix[0, 0, 0])
    path.write_bytes(BANNER + b"array real general\n1 3\nnan\n-inf\n1e400\n")
    assert np.array_equal(read_matrices(path), [[[np.nan, -np.inf, np.inf]]], equal_nan=True)


@pytest.mark.parametrize("layout", ["array", "coordinate"])
@pytest.mark.parametrize("field", ["real", "integer", "pattern"])
@pytest.mark.parametrize("symmetry", ["general", "symmetric", "skew-symmetric"])
def test_matrix_market_means_what_scipy_says(tmp_path, layout, field, symmetry):
    scipy_io = pytest.importorskip("scipy.io")
    scipy_sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(0)
    matrix = rng.integers(-3, 4, (6, 6)) * (0.1 if field == "real" else 1)
    if symmetry != "general":
        matrix = matrix + matrix.T if symmetry == "symmetric" else matrix - matrix.T
    if field == "pattern":
        if layout == "array" or symmetry == "skew-symmetric":
            pytest.skip("there is no such kind")
        matrix = (matrix != 0).astype(float)
    stored = scipy_sparse.coo_array(matrix) if layout == "coordinate" else matrix
    path = tmp_path / "a.mtx"
    scipy_io.mmwrite(path, stored, field=field, symmetry=symmetry, precision=17)
    assert np.array_equal(read_matrices(path)[0], matrix)
    write_matrices(path, matrix)
    assert np.array_equal(scipy_io.mmread(path), matrix)


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "no valid Matrix Market file"),
        (b"1,2\n3,4\n", "no valid Matrix Market file.*banner"),
        (b"\x00\xff" * 50, "no valid Matrix Market file"),
        (BANNER + b"array real\n1 1\n1\n", "no valid Matrix Market file"),
        (BANNER + b"array real hermitian\n1 1\n1\n", "'array real hermitian' is no kind"),
        (BANNER + b"array pattern general\n1 1\n1\n", "'array pattern general' is no kind"),
        (BANNER + b"dense real general\n1 1\n1\n", "'dense real general' is no kind"),
        (BANNER + b"array real general\n", "line 1.*stands where rows, columns should"),
        (BANNER + b"array real general\n2 2 4\n1\n", "line 2.*'2 2 4' stands where rows, columns"),
        (BANNER + b"array real general\n2 2\n1\n2\n3\n", "ends after 3 of the 4 entries"),
        (BANNER + b"array real general\n1 1\n1\n2\n", "line 4.*more than the 1 entries"),
        (BANNER + b"array real general\n2 2\n1\nx\n3\n4\n", r"\(line 4\): 'x' is not a number"),
        (BANNER + b"array real general\n1 1\n1_0\n", "'1_0' is not a number"),
        (BANNER + b"array real general\n1 1\n4e", "'4e' is not a number"),
        (BANNER + b"array real general\n1 1\n4e- 1\n", "'4e- 1' is not one entry"),
        (BANNER + b"array real general\n1 2\n1 2\n", "'1 2' is not one entry"),
        (BANNER + b"array integer general\n1 1\n1.5\n", "'1.5' is not a whole number"),
        (BANNER + b"array integer general\n1 1\n9007199254740993\n", r"beyond 2\^53"),
        (BANNER + b"array integer general\n1 1\n" + b"9" * 5000, r"beyond 2\^53"),
        (BANNER + b"array complex general\n1 1\n1 1\n", "complex matrices are not supported"),
        (BANNER + b"array real symmetric\n1 2\n1\n2\n", "no 1 x 2 matrix is symmetric"),
        (BANNER + b"coordinate real general\n9999999 9999999 1\n1 1 1\n", "leave rows or columns"),
        (BANNER + b"coordinate real general\n12000 12000 1\n1 1 1\n", "leave rows or columns"),
        (BANNER + b"array real general\n12000 12000\n1\n", "144000000 entries are declared, more"),
        (BANNER + b"array real general\n99999999999999999999 1\n1\n", "stands where rows, columns"),
        (BANNER + b"coordinate real general\n2 2 1\n9 9 1\n", "row 9, column 9 is outside a 2 x 2"),
        (BANNER + b"coordinate real general\n2 2 1\n0 1 1\n", "row 0, column 1 is outside a 2 x 2"),
        (BANNER + b"coordinate real general\n2 2 1\n-1 1 1\n", "'-1 1' is no row and column"),
        (BANNER + b"coordinate real symmetric\n2 2 1\n1 2 1\n", "only what is below the diagonal"),
        (BANNER + b"coordinate real skew-symmetric\n2 2 1\n1 1 1\n", "only what is below"),
        (BANNER + b"coordinate real general\n" + b"% x\n" * 600_000, "a megabyte of comments"),
    ],
)
def test_damage_to_matrix_market_is_named(tmp_path, data, message):
    path = tmp_path / "a.mtx"
    path.write_bytes(data)
    fails(path, message)


def test_matrix_market_is_read_from_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.mtx")
    write_matrices(tmp_path / "a.mtx", STACK[0])
    with subprocess.Popen(f"cat {tmp_path}/a.mtx > {tmp_path}/pipe.mtx", shell=True):
        assert np.array_equal(read_matrices(tmp_path / "pipe.mtx"), STACK[:1])


def test_matrix_market_holds_one_matrix(tmp_path):
    path = tmp_path / "a.mtx"
    with pytest.raises(MatrixFormatError, match=r"\.mx.*\.npy"):
        write_matrices(path, STACK)
    assert list(tmp_path.iterdir()) == []
    with MatrixWriter(path) as writer:
        writer.write(STACK[0])
        with pytest.raises(MatrixFormatError, match=r"\.mtx"):
            writer.write(STACK[1])
    assert np.array_equal(read_matrices(path), STACK[:1])
