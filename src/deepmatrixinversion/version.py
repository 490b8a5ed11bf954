"""The package's version: the tag that it was built from."""

from functools import cache


@cache
def version() -> str:
    """What the installed distribution says; ``0+unknown`` in a tree that was never installed."""
    # Imported when asked for: it takes longer than all the rest of this package.
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("deepmatrixinversion")
    except PackageNotFoundError:
        return "0+unknown"
