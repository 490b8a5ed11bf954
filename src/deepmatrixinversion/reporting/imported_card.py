"""The model card of an imported ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deepmatrixinversion.models.config import ModelConfig
from deepmatrixinversion.reporting.card import filled, measured_row
from deepmatrixinversion.reporting.metrics import Evaluation


def imported_card(
    name: str, config: ModelConfig, files: Mapping[str, str], evaluations: Sequence[Evaluation]
) -> str:
    """The Markdown text; ``files`` maps the files that it was made of to their digests."""
    return filled(
        "imported",
        name=name,
        config=config,
        files="\n".join(f"| `{file}` | `{value}` |" for file, value in files.items()),
        matrices=evaluations[0].matrices,
        rows="\n".join(map(measured_row, evaluations)),
    )
