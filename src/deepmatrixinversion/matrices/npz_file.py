"""Read and write stacks of matrices as NumPy's ``.npz``, without unpacking it first."""

from __future__ import annotations

import contextlib
import errno
import io
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

import numpy as np

from deepmatrixinversion.errors import MatrixFormatError, printable
from deepmatrixinversion.matrices.elements import KEY, chosen
from deepmatrixinversion.matrices.input_file import InputFile
from deepmatrixinversion.matrices.npy_file import ArrayBlocks, NpySink, check_size, read_header
from deepmatrixinversion.matrices.sinks import Sink

_MOST_DEFLATE = 1032  # deflate makes a kilobyte of at least one byte, never more
_MOST_SQUEEZED = 200  # what stacks of sparse matrices reach; beyond, almost all of it is zero
_LARGE = 2**30
_LONGEST_TAIL = 2**16 + 256  # the end of the directory, with a comment
_LONGEST_DIRECTORY = 2**20  # some ten thousand members


class NpzBlocks(ArrayBlocks):
    """The matrices of a ``.npz`` file: its array "matrices", or the only one it has."""

    def __init__(self, source: InputFile) -> None:
        self._source = source
        size = source.whole_size(".npz")
        with _readable(source.name), contextlib.ExitStack() as stack:
            _check_directory(source, size)
            archive = stack.enter_context(zipfile.ZipFile(source.file))
            member = _choose(archive, source.name)
            stream = cast(BinaryIO, stack.enter_context(archive.open(member)))
            header = read_header(stream, source.name)
            left = member.file_size - stream.tell()
            check_size(header, left, source.name, f" of {printable(member.filename)}")
            super().__init__(stream, header, source.name, seekable=False)
            self._archive = stack.pop_all()

    @property
    def position(self) -> int:
        return self._source.file.tell()

    def read(self, limit: int) -> np.ndarray:
        with _readable(self._source.name):
            return super().read(limit)

    def close(self) -> None:
        super().close()
        self._archive.close()


@contextlib.contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn the many exceptions of a damaged archive into one."""
    try:
        yield
    except MatrixFormatError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        ValueError,  # an offset beyond the file, a name in no encoding
        OverflowError,
        NotImplementedError,  # a version or a compression of tomorrow
    ) as error:
        raise MatrixFormatError(
            f"{name}: the .npz archive is damaged ({printable(error)})"
        ) from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # A directory that points before the beginning of the file.
        raise MatrixFormatError(f"{name}: the .npz archive is damaged") from error


def _check_directory(source: InputFile, whole: int) -> None:
    """Refuse a directory of very many members, which takes much more memory than file."""
    tail_size = min(whole, _LONGEST_TAIL)
    source.file.seek(-tail_size, io.SEEK_END)
    tail = source.file.read(tail_size)
    at, at64 = tail.rfind(b"PK\5\6"), tail.rfind(b"PK\6\6")
    size = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    if size == 2**32 - 1 and at64 >= 0:
        size = int.from_bytes(tail[at64 + 40 : at64 + 48], "little")
    source.file.seek(0)
    if size > _LONGEST_DIRECTORY:
        raise MatrixFormatError(
            f"{source.name}: the archive's directory takes {size} bytes, too many for one of arrays"
        )


def _choose(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Find the member that holds the matrices and check that its sizes are possible."""
    members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    names = [info.filename.removesuffix(".npy") for info in members]
    member = members[chosen(names, "arrays", name)]
    shown = printable(member.filename)
    if member.flag_bits & 1:
        raise MatrixFormatError(f"{name}: {shown} is encrypted")
    most = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: _MOST_DEFLATE}.get(member.compress_type)
    if most is None:
        raise MatrixFormatError(f"{name}: the compression of {shown} is not one that NumPy writes")
    if member.file_size > most * member.compress_size:
        raise MatrixFormatError(
            f"{name}: {shown} claims to unpack {member.compress_size} bytes to"
            f" {member.file_size}, which is impossible"
        )
    if member.file_size > max(_LARGE, _MOST_SQUEEZED * member.compress_size):
        raise MatrixFormatError(
            f"{name}: {shown} would unpack {member.compress_size} bytes to {member.file_size}; if"
            " these are matrices, and not a trap, save them uncompressed, with numpy.savez"
        )
    return member


class NpzSink(Sink):
    """A ``.npz`` file with one array "matrices", not compressed, as ``numpy.savez`` writes it."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        super().__init__(file, name)
        # The checksum and the shape come before the numbers, so these wait in a file of their own.
        self._copy = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115
        self._array = NpySink(self._copy, name)

    def write(self, stack: np.ndarray) -> None:
        """Append matrices (b, rows, cols) of one dtype."""
        self._array.write(stack)

    def finish(self) -> None:
        """Pack the archive."""
        self._array.finish()
        self._copy.seek(0)
        # A fixed date, so that the same matrices give the same file.
        member = zipfile.ZipInfo(f"{KEY}.npy")
        member.external_attr = 0o644 << 16
        with (
            zipfile.ZipFile(self._file, "w") as archive,
            archive.open(member, "w", force_zip64=True) as stream,
        ):
            shutil.copyfileobj(self._copy, stream, 2**20)

    def close(self) -> None:
        """Remove the temporary file."""
        self._copy.close()
