"""A model named by a pattern of directories: the newest of those that match."""

from __future__ import annotations

import glob
import os
import re
import sys
import time
from collections.abc import Sequence

from deepmatrixinversion.models.directory import CONFIG, is_model

_STAMP = re.compile(r"_(\d{14})$")  # the end of a name that a training makes


def newest(words: Sequence[str]) -> str:
    """The model that one or several words name, of several the newest finished one.

    Several are what a shell makes of ``./Model_3x3_*``; a pattern that no shell has expanded is
    expanded here. When more than one model matches, a line on stderr says which was taken.
    """
    names = [name for word in words for name in (_expanded(word) or [word])]
    models = [name for name in names if is_model(name)]
    if len(models) > 1:
        models.sort(key=_made)
        print(f"of {len(models)} models the newest: {models[-1]}", file=sys.stderr)
    if len(names) > 1 and not models:
        raise ValueError(f"none of {', '.join(names[:5])} is the directory of a finished model")
    return models[-1] if len(names) > 1 else names[0]


def _expanded(word: str) -> list[str]:
    return [] if os.path.isdir(word) else glob.glob(os.path.expanduser(word))


def _made(name: str) -> tuple[str, str]:
    """When a model was made: as its name says, else as the file system does."""
    if stamp := _STAMP.search(name.rstrip("/\\")):
        return stamp[1], name
    config = os.path.join(name, CONFIG)
    seconds = os.stat(config if os.path.exists(config) else name).st_mtime
    return time.strftime("%Y%m%d%H%M%S", time.localtime(seconds)), name
