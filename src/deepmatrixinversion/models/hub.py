"""Models on the Hugging Face Hub (extra ``hub``)."""

from __future__ import annotations

from pathlib import Path

from deepmatrixinversion.errors import ModelError

# Data only: no Python, no pickles, whatever else the repository holds.
PATTERNS = ["config.json", "model.onnx", "member_*.safetensors", "config.toml", "*.keras"]

# By the names of the client's exceptions, and of what they derive from.
REASONS = {
    "RevisionNotFoundError": "the hub has no such revision of this repository",
    "GatedRepoError": "access must be granted on the hub first",
    "RepositoryNotFoundError": "the hub has no such repository, or it is private and you are not "
    "logged in",
    "HFValidationError": "not a repository's name",
    "LocalEntryNotFoundError": "the hub cannot be reached, and this model is not in its cache yet",
}


def fetch(repo: str, revision: str | None = None) -> tuple[Path, str]:
    """Download a model repository, or find it in the cache when the hub cannot be reached.

    Parameters
    ----------
    repo : str
        ``user/repo``.
    revision : str, optional
        Branch, tag or commit; the default branch when None.

    Returns
    -------
    path : Path
        The snapshot in the hub's cache.
    commit : str
        The commit that the revision resolved to.

    Raises
    ------
    ImportError
        When huggingface_hub is not installed.
    ModelError
        When the repository or revision does not exist, holds no model, or is neither reachable
        nor cached.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.utils import disable_progress_bars
    except ImportError:
        raise ImportError(
            f"'{repo}' would come from the Hugging Face Hub, which needs huggingface_hub: "
            "pip install 'deepmatrixinversion[hub]'"
        ) from None
    disable_progress_bars()
    name = repo if revision is None else f"{repo}@{revision}"
    try:
        path = Path(snapshot_download(repo, revision=revision, allow_patterns=PATTERNS))
    except Exception as error:  # which ones depends on the HTTP library of the client's release
        said = next((REASONS[c.__name__] for c in type(error).mro() if c.__name__ in REASONS), None)
        if said is None and isinstance(error, OSError) and error.errno is not None:
            raise  # the disk is full, the cache is not writable
        said = said or f"the hub did not deliver it ({type(error).__name__}: {error})"
        raise ModelError(f"{name}: {said}") from None
    if not path.is_dir():  # the client makes no folder for a repository without such files
        raise ModelError(f"{name}: the repository holds no model ({', '.join(PATTERNS)})")
    return path, path.name
