"""A file is replaced completely or not at all."""

import os
import stat
import subprocess
import sys

import pytest

from deepmatrixinversion.atomic import atomic_bytes, atomic_text, atomic_write


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_file_appears_only_at_the_end(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_write(path) as file:
        file.write(b"one")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"one"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")

    def write():
        with atomic_write(path) as file:
            file.write(b"new" * 10**5)
            raise error

    with pytest.raises(error):
        write()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.txt"]


KILLED = """\
import os, signal, sys
from deepmatrixinversion.atomic import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_leaves_is_removed_by_the_next(tmp_path):
    pytest.importorskip("fcntl")
    path, other = tmp_path / "a[1].txt", tmp_path / "b.txt"
    for target in (path, other):
        subprocess.run([sys.executable, "-c", KILLED, target], check=False)
    assert len(names(tmp_path)) == 2
    with atomic_write(path) as living:
        living.write(b"one")
        atomic_text(path, "two")  # by another writer, meanwhile
        assert len(names(tmp_path)) == 3  # the other's, the file and the living one's
    assert path.read_text() == "one"
    assert names(tmp_path)[1:] == ["a[1].txt"]
    assert names(tmp_path)[0].startswith(".b.txt.")


def test_an_exception_leaves_no_file_where_there_was_none(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "a.txt"):
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_the_file_can_be_sought_and_read_while_written(tmp_path):
    with atomic_write(tmp_path / "a") as file:
        file.write(b"????rest")
        file.seek(0)
        file.write(b"head")
        file.seek(0)
        assert file.read() == b"headrest"
    assert (tmp_path / "a").read_bytes() == b"headrest"


def test_bytes_and_text_are_written_as_they_are(tmp_path):
    atomic_bytes(tmp_path / "a", b"\r\n\x00")
    atomic_text(tmp_path / "b", "κ\n")
    assert (tmp_path / "a").read_bytes() == b"\r\n\x00"
    assert (tmp_path / "b").read_bytes() == "κ\n".encode()


@pytest.mark.skipif(os.name == "nt", reason="POSIX permission bits")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_bits_that_the_umask_leaves(tmp_path, umask):
    before = os.umask(umask)
    try:
        atomic_bytes(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert mode(tmp_path / "a") == 0o666 & ~umask


@pytest.mark.skipif(os.name == "nt", reason="POSIX permission bits")
def test_a_replaced_file_keeps_its_bits(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o640)
    atomic_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o640


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege there")
def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "target"
    target.write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to(os.path.join("there", "target"))
    atomic_bytes(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert not target.is_symlink()


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege there")
def test_a_link_to_nothing_makes_its_target(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("target")
    atomic_bytes(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_errors_name_the_file_that_was_asked_for(tmp_path):
    path = tmp_path / "missing" / "a.txt"
    with pytest.raises(FileNotFoundError) as caught:
        atomic_bytes(path, b"")
    assert caught.value.filename == str(path)


@pytest.mark.skipif(os.name == "nt", reason="a PermissionError there")
def test_a_directory_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError) as caught:
        atomic_bytes(tmp_path, b"")
    assert caught.value.filename == str(tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anything")
def test_a_read_only_file_is_not_replaced(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(PermissionError):
        atomic_bytes(path, b"new")
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="no /dev/stdout")
@pytest.mark.parametrize("redirected", [False, True])
def test_dev_stdout_is_written_directly(tmp_path, redirected):
    code = "from deepmatrixinversion.atomic import atomic_bytes; atomic_bytes('/dev/stdout', b'hi')"
    command = [sys.executable, "-c", code]
    if redirected:
        with open(tmp_path / "out", "wb") as out:
            subprocess.run(command, check=True, stdout=out)
        assert (tmp_path / "out").read_bytes() == b"hi"
    else:
        assert subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout == b"hi"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_named_pipe_is_written_directly(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    atomic_bytes(pipe, b"through")
    assert reader.communicate(timeout=20)[0] == b"through"
    assert names(tmp_path) == ["pipe"]
