"""Write a file completely or not at all: no reader ever sees half of it."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
import stat
from collections.abc import Iterator
from typing import BinaryIO, cast

try:
    import fcntl
except ImportError:  # Windows: what a killed process leaves stays there
    fcntl = None

# What only a write can meet: the error does not say by itself which file it was.
NO_SPACE = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}

# Opening one of these means writing to an open stream of a process, which a rename would miss.
_STREAMS = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/")


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open ``path`` for writing so that it changes in one step, when the block ends well.

    The bytes go to a temporary file in the same directory, which is flushed to disk and then
    renamed over the target. Where the block raises, the temporary file is removed and what was
    at ``path`` stays as it was. What a killed process leaves is removed by the next one that
    writes to ``path``.

    Parameters
    ----------
    path : path-like
        The file to write. A symbolic link is followed: the link stays and its target is
        replaced. A pipe, a device or ``/dev/stdout`` is written directly, as it cannot be
        replaced. A file that is replaced keeps its permission bits; a new one has those that
        the umask leaves.

    Yields
    ------
    file : binary file object
        Readable, writable and seekable, unless the target is written directly; its ``name`` is
        that of the temporary file.

    Raises
    ------
    OSError
        The directory is missing or not writable, ``path`` is a directory or a read-only file,
        the disk is full. ``filename`` is the path that was asked for.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "answer.txt"
    ...     with atomic_write(path) as file:
    ...         _ = file.write(b"42")
    ...     path.read_bytes()
    b'42'
    """
    name = os.fsdecode(path)
    mode = _mode(name)
    try:
        if name.startswith(_STREAMS) or (mode is not None and not stat.S_ISREG(mode)):
            with open(name, "wb") as file:  # a directory fails here, with the right message
                yield file
            return
        if mode is not None and not os.access(name, os.W_OK):
            # A rename would replace a read-only file without asking.
            raise PermissionError(errno.EACCES, "Permission denied", name)
        with _replacement(name, mode) as file:
            yield file
    except OSError as error:
        if error.filename is None and error.errno in NO_SPACE:
            error.filename = name
        raise


@contextlib.contextmanager
def _replacement(name: str, mode: int | None) -> Iterator[BinaryIO]:
    """A file beside ``name`` that takes its place when the block ends well."""
    target = os.path.realpath(name)
    folder, own = os.path.split(target)
    # Named after its target, cut to what file systems allow, so that one left behind by a power
    # cut says whose it is.
    own = own.encode(errors="ignore")[:200].decode(errors="ignore")
    own = os.path.join(folder, f".{own}.")
    _sweep(own)
    temporary = f"{own}{secrets.token_hex(8)}.tmp"
    try:
        try:
            descriptor = _created(temporary)
        except OSError as error:
            error.filename = name
            raise
        # By name, so that other processes can write to it as well.
        with open(temporary, "w+b", opener=lambda *_: descriptor) as file:
            yield cast(BinaryIO, file)
            file.flush()
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(temporary)
        raise
    _sync_directory(folder)


def _created(temporary: str) -> int:
    """The descriptor of a new file, locked as long as it is open."""
    # Not mkstemp, whose files are private (0600) whatever the umask says.
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)
    if fcntl is not None:
        with contextlib.suppress(OSError):  # some network file systems know no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not os.fstat(descriptor).st_nlink:  # swept before it was locked
                os.close(descriptor)
                return _created(temporary)
    return descriptor


def _sweep(beginning: str) -> None:
    """Remove temporary files that no living process holds locked."""
    if fcntl is None:
        return
    for path in glob.glob(f"{glob.escape(beginning)}{'[0-9a-f]' * 16}.tmp"):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
            finally:
                os.close(descriptor)


def atomic_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to ``path`` as :func:`atomic_write` does."""
    with atomic_write(path) as file:
        file.write(data)


def atomic_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` to ``path`` in UTF-8, line ends as they are, as :func:`atomic_write` does."""
    atomic_bytes(path, text.encode())


def _mode(name: str) -> int | None:
    """Type and permission bits of what ``name`` leads to, or None where nothing is there."""
    try:
        # Not of the resolved path: /dev/stdout resolves to a name that does not exist.
        return os.stat(name).st_mode
    except FileNotFoundError:
        return None


def _sync_directory(directory: str) -> None:
    """Make a rename last through a power cut, on systems where a directory can be flushed."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    with contextlib.suppress(OSError):  # some network file systems refuse; the file is there
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
