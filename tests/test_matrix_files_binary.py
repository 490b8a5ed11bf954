"""Binary formats: what other programs write, and what damage is told."""

import contextlib
import io
import json
import struct
import zipfile

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from damaged_files import STACK, fails
from deepmatrixinversion.errors import MatrixFormatError
from deepmatrixinversion.matrices import MatrixWriter, read_blocks, read_matrices, write_matrices


def npy_bytes(array, version=None):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    return file.getvalue()


def npy_header(text, version=b"\1\0", width="<H"):
    text = text.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack(width, len(text)) + text


def header_of(shape, descr="<f8"):
    return npy_header(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}")


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", ">f4", "<f2", ">i2", "<u8", "?"])
@pytest.mark.parametrize("packed", [None, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_any_npy_layout_is_read(tmp_path, version, order, dtype, packed):
    stack = np.asarray(np.abs(STACK * 9).astype(dtype), order=order)
    data = npy_bytes(stack, version)
    path = tmp_path / ("a.npz" if packed is not None else "a.npy")
    if packed is None:
        path.write_bytes(data)
    else:
        with zipfile.ZipFile(path, "w", packed) as archive:
            archive.writestr("matrices.npy", data)
    want = np.float32 if dtype[1:] in ("f4", "f2") else np.float64
    for size in (1, 2, 5, 9):
        with read_blocks(path, block_matrices=size) as reader:
            result = np.concatenate(list(reader))
        assert result.dtype == want
        assert result.dtype.isnative
        assert np.array_equal(result, stack)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_two_dimensional_array_is_one_matrix(tmp_path, order, suffix):
    path = tmp_path / f"a{suffix}"
    matrix = np.asarray(STACK[0], order=order)
    if suffix == ".npy":
        np.save(path, matrix)
    else:
        np.savez_compressed(path, matrix)
    assert np.array_equal(read_matrices(path), STACK[:1])


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_other_programs_read_what_is_written(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with MatrixWriter(path) as writer:
        for matrix in STACK:
            writer.write(matrix)
    loaded = {
        ".npy": np.load,
        ".npz": lambda path: np.load(path)["matrices"],
        ".safetensors": lambda path: load_file(path)["matrices"],
    }[suffix](path)
    assert np.array_equal(loaded, STACK)


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "does not begin as a .npy file does"),
        (b"1,2\n3,4\n", "does not begin as a .npy file does"),
        (b"\x93NUMPY\x09\x00", "does not begin as a .npy file does"),
        (b"\x93NUMPY\x01\x00", "ends within its .npy header"),
        (b"\x93NUMPY\x01\x00\xff\x00{'descr'", "the .npy header is malformed"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "a .npy header of 4294967295 bytes"),
        (npy_header("hello"), "header is malformed"),
        (npy_header("{'descr': __import__('os'), 'shape': (1,)}"), "header is malformed"),
        (npy_header("(" * 9000), "header is malformed"),
        (header_of("(1, 2, 2)", "nonsense"), "header is malformed"),
        (header_of("(3, 3, 3)") + bytes(100), "declares 216 bytes of numbers, but 100 bytes"),
        (header_of("(1, 1)") + bytes(16), "declares 8 bytes of numbers, but 16 bytes follow"),
        (header_of("(10**6, 10**6)"), "header is malformed"),
        (header_of("(1, 1000000000, 1000000000)"), "declares 8000000000000000000 bytes"),
        (header_of("(99999999999999999999999, 3, 3)"), "declares 7199999999"),
        (header_of("(-1, 3, 3)"), r"impossible shape \(-1, 3, 3\)"),
        (header_of("(0, 3, 3)"), "holds no matrix"),
        (header_of("(4611686018427387904, 0, 0)"), "holds no matrix"),
        (header_of("(9,)") + bytes(72), r"shape \(9,\) is no stack of matrices; reshape it"),
        (header_of("()") + bytes(8), "is no stack of matrices"),
        (header_of("(1, 1, 1, 1)") + bytes(8), "is no stack of matrices"),
        (header_of("(1, 1)", "<c16") + bytes(16), "complex matrices are not supported"),
        (header_of("(1, 1)", "|O") + b"cos\nsystem\n", "type object are not supported"),
        (header_of("(1, 1)", "<U4") + bytes(16), "are not supported; store float64 or float32"),
        (header_of("(1, 1)", "<M8[s]") + bytes(8), "are not supported"),
        (npy_bytes(np.zeros((1, 1), [("a", "<f8")])), "are not supported"),
        (npy_bytes(np.array([[[1]], [[-(2**53) - 1]]])), r"matrix 1 holds an integer beyond 2\^53"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_damage_to_npy_is_named(tmp_path, data, message, packed):
    if packed and "declares" in message:
        message = message.split(" bytes")[0]
    path = tmp_path / ("a.npz" if packed else "a.npy")
    path.write_bytes(data)
    if packed:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", data)
    fails(path, message)


def test_objects_are_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    np.save(tmp_path / "a.npy", np.array([[Bomb()]]), allow_pickle=True)
    fails(tmp_path / "a.npy", "type object")
    assert not (tmp_path / "exploded").exists()


def test_a_file_that_shrinks_while_it_is_read_names_the_matrix(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((10, 100, 100)))
    with read_blocks(path, block_matrices=2) as reader:
        next(reader)
        with open(path, "r+b") as file:
            file.truncate(128 + 7 * 80_000)
        with pytest.raises(MatrixFormatError, match="matrix 7"):
            list(reader)


def test_npz_reads_matrices_or_the_only_array(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, other=np.eye(7), matrices=STACK)
    assert np.array_equal(read_matrices(path), STACK)
    np.savez(path, anything=STACK)
    assert np.array_equal(read_matrices(path), STACK)
    np.savez(path, a=STACK, b=STACK)
    fails(path, r"holds 2 arrays \(a, b\); name the one to be read 'matrices'")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    fails(path, r"holds 0 arrays \(none\)")


def test_damage_to_npz_is_named(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, matrices=np.random.default_rng(0).standard_normal((100, 9, 9)))
    good = path.read_bytes()
    damaged = bytearray(good)
    damaged[len(good) // 2] ^= 0xFF
    for data in (b"", b"PK", b"1,2\n", good[: len(good) // 2], good[5:], bytes(damaged)):
        path.write_bytes(data)
        fails(path, "the .npz archive is damaged")


def test_any_single_damaged_byte_ends_in_a_format_error_or_not_at_all(tmp_path):
    for suffix in (".npz", ".npy", ".safetensors"):
        path = tmp_path / f"a{suffix}"
        write_matrices(path, np.ones((1, 2, 2)))
        good = path.read_bytes()
        for position in range(len(good)):
            for flip in (0x01, 0x80):
                data = bytearray(good)
                data[position] ^= flip
                path.write_bytes(data)
                with contextlib.suppress(MatrixFormatError):
                    read_matrices(path)


def test_a_checksum_that_is_wrong_is_noticed(tmp_path):
    path = tmp_path / "a.npz"
    write_matrices(path, np.ones((3, 2, 2)))
    data = path.read_bytes()
    path.write_bytes(data.replace(np.float64(1).tobytes(), np.float64(2).tobytes(), 1))
    fails(path, "archive is damaged.*CRC")


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("matrices.npy", header_of("(1000000, 1000, 1000)") + bytes(10**6))
    fails(path, "the header of matrices.npy declares 8000000000000 bytes of numbers, but 1000000")
    # An archive that lies about the size in the same way is caught by what deflate can do.
    data = path.read_bytes()
    size = struct.pack("<I", 10**6 + len(header_of("(1000000, 1000, 1000)")))
    assert data.count(size) == 2
    path.write_bytes(data.replace(size, struct.pack("<I", 2**32 - 2)))
    fails(path, "claims to unpack .* which is impossible")


def test_other_compressions_and_encryption_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("matrices.npy", npy_bytes(STACK))
    fails(path, "not one that NumPy writes")
    np.savez(path, matrices=STACK)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    fails(path, "matrices.npy is encrypted")


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i4", "?"])
def test_safetensors_of_any_real_type_are_read(tmp_path, dtype):
    path = tmp_path / "a.safetensors"
    stack = (STACK * 9).astype(dtype)
    save_file({"other": np.zeros(3), "matrices": stack}, path)
    assert np.array_equal(read_matrices(path), stack)
    save_file({"anything": stack[0]}, path)
    assert np.array_equal(read_matrices(path), stack[:1])


def test_damage_to_safetensors_is_named(tmp_path):
    path = tmp_path / "a.safetensors"

    def write(header, data=b"", length=None):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)

    def tensor(shape, size, dtype="F64"):
        return {"matrices": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}

    invalid = "no valid .safetensors file"
    path.write_bytes(b"")
    fails(path, invalid)
    write(b"{}", length=2**62)
    fails(path, invalid)
    write(b"not json")
    fails(path, invalid)
    write(tensor([1, 2, 2], 32), bytes(31))
    fails(path, invalid)
    write(tensor([10**6, 10**4, 10**4], 8 * 10**14), bytes(32))
    fails(path, invalid)
    write(tensor([4], 32), bytes(32))
    fails(path, r"shape \(4,\) is no stack")
    write(tensor([0, 2, 2], 0))
    fails(path, "holds no matrix")
    write(tensor([1, 2, 2], 8, "BF16"), bytes(8))
    fails(path, "type BF16 are not supported; store F64 or F32")
    write({})
    fails(path, r"holds 0 tensors \(none\)")
    save_file({"a": STACK, "b": STACK}, path)
    fails(path, r"holds 2 tensors \(a, b\); name the one to be read 'matrices'")
