"""How much memory is free for this process, and the refusal of what would not fit.

A process that takes more than there is gets killed without a word, and on a shared machine it may
be another one that dies. So what a file declares is compared with what is free before it is
allocated.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from deepmatrixinversion.errors import MatrixFormatError

_ROOT = Path("/")


def check_memory(name: str, size: int, what: str, advice: str = "") -> None:
    """Refuse to allocate more than is free.

    Parameters
    ----------
    name : str
        The file, for the message.
    size : int
        Bytes about to be allocated.
    what : str
        What takes them, for the message.
    advice : str
        How to go on, for the message.

    Raises
    ------
    MatrixFormatError
        ``size`` exceeds :func:`free_memory` (on systems that tell it).
    """
    if size < 2**20:
        return  # asking the system takes longer than what this could save
    free = free_memory()
    if free is not None and size > free:
        raise MatrixFormatError(
            f"{name}: {what} takes {size / 2**30:.4g} GiB, more than the free"
            f" {free / 2**30:.4g} GiB of memory{advice}"
        )


def free_memory(root: Path = _ROOT) -> int | None:
    """Bytes that this process may still take, or None where the system does not tell.

    The least of what the machine has available and of what the control groups that the process
    is in (versions 1 and 2, each of their ancestors) leave below their limits. Cached files count
    as free: the system gives their memory up.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are found.
    """
    amounts = [*_machine(root), *_control_groups(root)]
    return max(0, min(amounts)) if amounts else None


def _machine(root: Path) -> Iterator[int]:
    available = _table(root / "proc/meminfo").get("MemAvailable:")
    if available is not None:
        yield 1024 * available
        return
    with contextlib.suppress(AttributeError, ValueError, OSError):
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if memory > 0:
            yield memory


def _control_groups(root: Path) -> Iterator[int]:
    mount = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers == "":
            folders, files = (mount, mount / "unified"), ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            folders = (mount / "memory",)
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        inside = PurePosixPath(path.lstrip("/"))
        # Within a container the path may be the host's, and the mount the group itself: each
        # ancestor that exists is asked, the mount included.
        for folder in folders:
            for group in (inside, *inside.parents):
                yield from _group(folder / group, *files)


def _group(folder: Path, limit: str, usage: str) -> Iterator[int]:
    with contextlib.suppress(ValueError):  # "max", or no such file
        most, used = int(_text(folder / limit)), int(_text(folder / usage))
        stat = _table(folder / "memory.stat")
        # Version 1 has its descendants' share in entries of their own.
        prefix = "total_" if "total_inactive_file" in stat else ""
        cached = sum(stat.get(f"{prefix}{kind}_file", 0) for kind in ("inactive", "active"))
        yield most - max(0, used - cached)


def _table(path: Path) -> dict[str, int]:
    """First and second word of each line, where the second is a number."""
    words = (line.split() for line in _text(path).splitlines())
    return {w[0]: int(w[1]) for w in words if len(w) > 1 and w[1].isdecimal()}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
