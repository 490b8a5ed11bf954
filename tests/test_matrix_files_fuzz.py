"""Accidents to files of every format end in matrices or in one sentence, never in a crash."""

import contextlib

import numpy as np
import pytest

from deepmatrixinversion.errors import MatrixFormatError
from deepmatrixinversion.matrices import FORMATS, read_matrices, write_matrices

pytestmark = pytest.mark.filterwarnings("ignore::deepmatrixinversion.errors.MatrixFormatWarning")


def originals(folder):
    """One small valid file of each kind: name -> bytes."""
    stack = np.random.default_rng(2).standard_normal((3, 2, 2))
    for suffix in FORMATS:
        with contextlib.suppress(ImportError):
            write_matrices(folder / f"a{suffix}", stack[:1] if suffix == ".mtx" else stack)
    np.save(folder / "fortran.npy", np.asfortranarray(stack))
    np.savez_compressed(folder / "packed.npz", a=stack)
    with contextlib.suppress(ImportError):
        import scipy.io
        import scipy.sparse

        sparse = scipy.sparse.csc_matrix([[0, 1.5], [2, 0]])
        scipy.io.savemat(folder / "sparse.mat", {"A": sparse, "note": "x"})
        scipy.io.savemat(folder / "packed.mat", {"A": stack}, do_compression=True)
    (folder / "sparse.mtx").write_text(
        "%%MatrixMarket matrix coordinate integer symmetric\n% x\n3 3 3\n1 1 4\n3 2 -1\n3 3 5\n"
    )
    (folder / "people.csv").write_text('"x";y\n# note\n"1,5";2\n3;4e-1\n')
    (folder / "windows.csv").write_bytes("a\tb\r\n1,5\t2\r\n3\t4\r\n".encode("utf-16"))
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


TOKENS = [b"4e", b"e", b"-", b"nan", b"END", b"\n", b",", b";", b"\t", b'"', b"\x00", b"\xff\xfe"]
TOKENS += [b"99999999999999999999", b"%", b"#", b"_", b"\r", b"(", b"[[", b"{", b"1e400", b" "]


def mutated(data, rng):
    """``data`` after one to three small accidents."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at, end = sorted(rng.integers(0, len(data) + 1, 2).tolist())
        match int(rng.integers(6)):
            case 0 if data:
                data[min(at, len(data) - 1)] ^= 1 << int(rng.integers(8))
            case 1:
                del data[at:]
            case 2:
                del data[at : min(end, at + 8)]
            case 3:
                data[at:at] = TOKENS[rng.integers(len(TOKENS))]
            case 4:
                data[at:end] = data[at:end] * 2
            case _ if data:
                data[min(at, len(data) - 1)] = int(rng.integers(256))
    return bytes(data)


def fuzz(folder, rounds, seed):
    rng = np.random.default_rng(seed)
    files = originals(folder)
    outcomes, messages = {"read": 0, "refused": 0}, []
    for _ in range(rounds):
        for name, data in files.items():
            path = folder / name
            path.write_bytes(mutated(data, rng))
            try:
                stack = read_matrices(path, square=bool(rng.integers(2)))
                assert stack.ndim == 3
                assert stack.dtype in (np.float32, np.float64)
                outcomes["read"] += 1
            except MatrixFormatError as error:
                outcomes["refused"] += 1
                messages.append(str(error))
    assert all(message.isprintable() and len(message) < 2100 for message in messages)
    return outcomes


def test_accidents_to_files_end_in_matrices_or_in_one_sentence(tmp_path):
    outcomes = fuzz(tmp_path, 300, seed=0)
    assert min(outcomes.values()) > 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_many_more_accidents(tmp_path, seed):
    fuzz(tmp_path, 1000, seed)


def test_matrix_market_survives_every_cut_and_every_byte(tmp_path):
    path = tmp_path / "a.mtx"
    text = b"%%MatrixMarket matrix coordinate real general\n2 2 2\n1 1 1.5e-1\n2 2 4e2\n"
    cuts = [text[:i] for i in range(len(text))]
    bytes_ = [bytes([byte]) for byte in b"e-+ .%\n0\xff"]
    changes = [text[:i] + byte + text[i + 1 :] for i in range(len(text)) for byte in bytes_]
    for data in cuts + changes:
        path.write_bytes(data)
        with contextlib.suppress(MatrixFormatError):
            read_matrices(path)
