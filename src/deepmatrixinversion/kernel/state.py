"""Whether the compiled kernel is there, and what of it runs."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


def _load() -> Any:
    """The compiled module; None without one, or where DMX_WITHOUT_KERNEL says to do without."""
    if os.environ.get("DMX_WITHOUT_KERNEL", "0") not in ("", "0"):
        return None
    try:
        module = importlib.import_module("deepmatrixinversion.kernel._kernel")
    except ModuleNotFoundError:  # built without a compiler: NumPy code serves
        return None
    return module if module.instruction_sets() else None


compiled = _load()


def available() -> bool:
    """Whether the compiled kernel was built and this processor can run it."""
    return compiled is not None


def built() -> Any:
    """The compiled module; ``ValueError`` where there is none."""
    if compiled is None:
        raise ValueError("the compiled kernel was not built: install again with a C++ compiler")
    return compiled


def use(instruction_set: str) -> None:
    """Run the code for another instruction set from now on, in this whole process.

    Parameters
    ----------
    instruction_set : str
        one of ``show_config()["instruction_sets"]``

    Raises
    ------
    ValueError
        for one that this processor, or this build, does not have
    """
    built().use(instruction_set)


_threads: ContextVar[int | None] = ContextVar("threads", default=None)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let the kernel take so many threads, for calls from this thread within the block."""
    token = _threads.set(count)
    try:
        yield
    finally:
        _threads.reset(token)


def default_threads() -> int:
    """Threads where a call says nothing: `threads`, OMP_NUM_THREADS, or the processors at hand."""
    within = _threads.get()
    if within is not None:
        return within
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def show_config() -> dict[str, Any]:
    """What the compiled kernel is.

    Returns
    -------
    dict
        ``kernel`` (bool), and where True: ``instruction_set`` that runs, ``instruction_sets`` that
        could, ``compiler``, ``largest_order``, ``threads`` (the default number)
    """
    if compiled is None:
        return {"kernel": False}
    return {
        "kernel": True,
        "instruction_set": compiled.instruction_set(),
        "instruction_sets": compiled.instruction_sets(),
        "compiler": compiled.COMPILER,
        "largest_order": compiled.LARGEST_ORDER,
        "threads": default_threads(),
    }
