"""Files of other programs' tables: .tsv and .txt, MATLAB's .mat, .parquet, and what is refused."""

import re
import sys

import numpy as np
import pytest

from deepmatrixinversion import inv
from deepmatrixinversion.errors import MatrixFormatError
from deepmatrixinversion.matrices import (
    FORMATS,
    MatrixWriter,
    read_blocks,
    read_matrices,
    write_matrices,
)
from deepmatrixinversion.matrices import memory as module
from deepmatrixinversion.matrices.formats import REMEDIES

STACK = np.random.default_rng(0).standard_normal((5, 3, 4))


def fails(path, message):
    with pytest.raises(MatrixFormatError, match=message) as caught:
        read_matrices(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("suffix, delimiter", [(".txt", None), (".tsv", "\t")])
def test_text_is_written_as_others_read_it(tmp_path, suffix, delimiter):
    write_matrices(tmp_path / f"a{suffix}", STACK[0])
    assert np.array_equal(np.loadtxt(tmp_path / f"a{suffix}", delimiter=delimiter), STACK[0])
    np.savetxt(tmp_path / f"b{suffix}", STACK[0], fmt="%.17g", delimiter=delimiter or " ")
    assert np.array_equal(read_matrices(tmp_path / f"b{suffix}"), STACK[:1])


# --- .mat ----------------------------------------------------------------------------------------


def test_mat_is_read_as_matlab_means_it(tmp_path):
    io = pytest.importorskip("scipy.io")
    sparse = pytest.importorskip("scipy.sparse")
    path = tmp_path / "a.mat"
    for compressed in (False, True):
        io.savemat(path, {"A": STACK.transpose(1, 2, 0)}, do_compression=compressed)
        with read_blocks(path, block_matrices=2) as reader:
            assert np.array_equal(np.concatenate(list(reader)), STACK)
    io.savemat(path, {"A": STACK[0], "note": "of the left leg"})
    assert np.array_equal(read_matrices(path), STACK[:1])
    io.savemat(path, {"A": np.eye(2), "matrices": np.array([[1.5]], dtype=np.float32)})
    assert read_matrices(path).dtype == np.float32
    io.savemat(path, {"A": sparse.csc_matrix([[0, 1.5], [2, 0]])})
    assert read_matrices(path).tolist() == [[[0, 1.5], [2, 0]]]
    io.savemat(path, {"A": np.array([[True, False]])})
    assert read_matrices(path).tolist() == [[[1, 0]]]


def test_mat_is_written_as_matlab_reads_it(tmp_path):
    io = pytest.importorskip("scipy.io")
    with MatrixWriter(tmp_path / "a.mat") as writer:
        for matrix in STACK:
            writer.write(matrix)
    assert np.array_equal(io.loadmat(tmp_path / "a.mat")["matrices"][:, :, 3], STACK[3])


def test_mat_of_any_types_is_read(tmp_path):
    io = pytest.importorskip("scipy.io")
    path = tmp_path / "a.mat"
    for dtype in ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">f8"):
        for compressed in (False, True):
            stack = (9 * np.abs(STACK)).astype(dtype)
            io.savemat(path, {"A": stack.transpose(1, 2, 0)}, do_compression=compressed)
            result = read_matrices(path)
            assert np.array_equal(result, stack)
            assert result.dtype == (np.float32 if dtype == "f4" else np.float64)
    io.savemat(path, {"A": np.array([[7]], dtype=np.uint8)})  # within its tag
    assert read_matrices(path).tolist() == [[[7.0]]]


def test_mat_files_that_will_not_do(tmp_path, monkeypatch):
    io = pytest.importorskip("scipy.io")
    path = tmp_path / "a.mat"
    path.write_bytes(b"")
    fails(path, "no valid .mat file: it does not begin as one of version 5 to 7 does")
    path.write_bytes(b"1,2\n" * 100)
    fails(path, "no valid .mat file: it does not begin")
    version = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    path.write_bytes(version + bytes(500))
    fails(path, r"7.3 is HDF5\); in MATLAB: save\('a.mat', 'A', '-v7'\)")
    io.savemat(path, {"A": np.eye(2), "B": np.eye(2)})
    fails(path, r"holds 2 numeric arrays \(A, B\); name the one to be read 'matrices'")
    io.savemat(path, {"A": "text"})
    fails(path, r"holds 0 numeric arrays \(none\)")
    io.savemat(path, {"A": 1j * np.eye(2)})
    fails(path, "complex matrices are not supported")
    for compressed in (False, True):
        io.savemat(path, {"A": STACK}, do_compression=compressed)
        path.write_bytes(path.read_bytes()[:-100])
        fails(path, "no valid .mat file: it ends within an element")
    io.savemat(path, {"A": np.zeros((2000, 2000))}, do_compression=True)
    monkeypatch.setattr(module, "free_memory", lambda: 20 * 2**20)
    fails(path, "one matrix of 2000 x 2000 takes .* GiB, more than the free")
    monkeypatch.setattr("deepmatrixinversion.matrices.mat_writer._MOST", 100)
    with pytest.raises(MatrixFormatError, match=r"2 GiB.*\.npy"):
        write_matrices(tmp_path / "b.mat", STACK)
    assert not (tmp_path / "b.mat").exists()


# --- .parquet ------------------------------------------------------------------------------------


def test_a_parquet_table_is_a_matrix_and_a_column_of_lists_a_stack(tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"

    def write(**columns):
        parquet.write_table(pa.table(columns), path)

    write(x=[1.5, 2.0], y=[3, 4], __index_level_0__=["a", "b"])
    assert read_matrices(path).tolist() == [[[1.5, 3], [2, 4]]]
    write(anything=STACK.tolist())
    assert np.array_equal(read_matrices(path), STACK)
    write(matrices=STACK.tolist(), label=list("abcde"))
    assert np.array_equal(read_matrices(path), STACK)
    write_matrices(path, STACK)
    assert parquet.read_table(path).column("matrices").to_pylist() == STACK.tolist()


def test_parquet_is_written_in_groups(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("deepmatrixinversion.matrices.parquet_file._GROUP", 2 * 96)
    write_matrices(tmp_path / "a.parquet", STACK)
    assert parquet.ParquetFile(tmp_path / "a.parquet").num_row_groups == 3
    assert np.array_equal(read_matrices(tmp_path / "a.parquet"), STACK)


def test_parquet_files_that_will_not_do(tmp_path, monkeypatch):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    path.write_bytes(b"")
    fails(path, "no valid .parquet file")

    def refused(message, **columns):
        parquet.write_table(pa.table(columns), path)
        fails(path, message)

    refused("neither numbers nor the lists of lists of a stack: note", x=[1.0], note=["a"])
    refused("neither numbers nor the lists of lists of a stack: x", x=[[1.0, 2.0]])
    refused(r"1 entries are missing \(null\)", x=[1.0, None])
    refused(r"1 entries are missing \(null\)", x=[[[1.0, None]]])
    refused("differ in their number of rows", x=[[[1.0]], [[1.0], [2.0]]])
    refused("differ in their number of columns", x=[[[1.0], [2.0, 3.0]]])
    refused("holds no matrix|no valid|differ", x=pa.array([], pa.float64()))
    monkeypatch.setattr(module, "free_memory", lambda: 20 * 2**20)
    refused("its table takes .* GiB, more than the free", x=np.zeros(4_000_000))


# --- remedies ------------------------------------------------------------------------------------


def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"x")
    for name in [n for n in sys.modules if n.split(".")[0] == "pyarrow"] + ["pyarrow"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"deepmatrixinversion\[parquet\]"):
        read_matrices(tmp_path / "a.parquet")
    with pytest.raises(ImportError, match=r"deepmatrixinversion\[parquet\]"):
        MatrixWriter(tmp_path / "b.parquet").__enter__()  # before anything is computed
    assert not (tmp_path / "b.parquet").exists()


@pytest.mark.parametrize("suffix", [*REMEDIES, ".unheard"])
def test_files_of_other_kinds_are_told_how_to_go_on(suffix):
    assert suffix not in FORMATS
    remedy = re.escape(REMEDIES.get(suffix, "numpy.save('a.npy', A)"))
    with pytest.raises(MatrixFormatError, match=rf"'\{suffix}'.*{remedy}"):
        read_matrices(f"a{suffix}")


def test_what_is_no_array_of_numbers_is_told_the_remedy_that_works(tmp_path):
    path = tmp_path / "a.npy"
    column = np.empty(2, object)
    column[:] = [np.eye(3), 2 * np.eye(3)]
    with pytest.raises(ValueError, match=r"numpy.stack\(A\)"):
        inv(column)
    with pytest.raises(ValueError, match="float64"):
        inv(np.eye(2).astype(object))
    with pytest.raises(ValueError, match="float32 or float64"):
        inv(np.eye(2, dtype=np.float16))
    with pytest.raises(ValueError, match=r"numpy.stack"):
        write_matrices(path, column)
    write_matrices(path, np.stack(list(column)))
    assert inv(np.stack(list(column))).shape == (2, 3, 3)
    write_matrices(path, np.eye(2, dtype=np.float16))  # as float32, which holds it
    assert inv(read_matrices(path)).tolist() == [np.eye(2).tolist()]


def test_a_sparse_matrix_is_told_the_remedy_that_works(tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    A = sparse.csr_array(np.eye(2))
    with pytest.raises(ValueError, match=r"A\.toarray\(\)"):
        write_matrices(tmp_path / "a.npy", A)
    with pytest.raises(ValueError, match=r"A\.toarray\(\)"):
        inv(A)
    assert inv(A.toarray()).tolist() == np.eye(2).tolist()


def test_a_column_of_a_table_is_told_the_remedy_that_works(tmp_path):
    pandas = pytest.importorskip("pandas")
    A = pandas.Series([np.eye(2), np.eye(2)])
    with pytest.raises(ValueError, match=r"numpy.stack\(A\)"):
        inv(A)
    assert inv(np.stack(A)).shape == (2, 2, 2)
