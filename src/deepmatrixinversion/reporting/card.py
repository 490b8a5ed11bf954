"""The model card: the README.md of a model directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from deepmatrixinversion.models.config import ModelConfig
from deepmatrixinversion.reporting.metrics import Evaluation
from deepmatrixinversion.version import version

FRESH = """\
Matrices of the distribution `{0.distribution}` over [{0.rmin:g}, {0.rmax:g}]{1},
made fresh for every step and never stored."""

STATIC = """\
The matrices of `{0.distribution}`, entries in [{0.rmin:g}, {0.rmax:g}]: the first 80 % to train on,
10 % to choose the weights by, the last 10 % for the table below. A static set can be memorised:
compare the curves in `training.png` on the batches trained on and on matrices held out."""


def filled(card: str, **values: Any) -> str:
    """A text of ``cards`` with its fields; the version is one of them."""
    text = resources.files("deepmatrixinversion.reporting").joinpath("cards", f"{card}.md")
    return text.read_text("utf-8").format(version=version(), **values)


def model_card(
    name: str,
    config: ModelConfig,
    parameters: int,
    recipe: Mapping[str, Any],
    command: str,
    steps: Sequence[int],
    kept: Sequence[int],
    skipped: Sequence[int],
    evaluations: Sequence[Evaluation],
) -> str:
    """The Markdown text of a model card.

    Parameters
    ----------
    name : str
        Heading.
    config : ModelConfig
        The model.
    parameters : int
        Weights of one member.
    recipe, command : mapping, str
        Every setting of the training, and the command that repeats it.
    steps, kept, skipped : sequence of int
        Optimiser steps of each member, after which of them it had the weights that were kept, and
        how many were left out because the gradient was not finite.
    evaluations : sequence
        What was measured.
    """
    n, least = config.net.msize, config.data.det_min
    square, m = (f"{n}x{n}", n) if n else ("n x n", "n")
    filtered = f", kept where |det| > {least:g}" if least else ", none left out"

    def numbers(values: Sequence[int]) -> str:
        return ", ".join(f"{v:,}" for v in values)

    return filled(
        "network",
        name=name,
        square=square,
        m=m,
        config=config,
        plural="network" if config.members == 1 else "networks, whose answers are averaged",
        parameters=parameters,
        origin=(STATIC if recipe.get("data") else FRESH).format(config.data, filtered),
        how="in float32" if n else "in float64 at 20 matrix products",
        rows="\n".join(map(measured_row, evaluations)),
        other=f"\n- Other orders than {n} in a graph of its own." if n else "",
        command=command,
        steps=numbers(steps),
        kept=numbers(kept),
        skipped=numbers(skipped),
        settings="\n".join(f"| `{k}` | {v} |" for k, v in recipe.items()),
    )


def measured_row(e: Evaluation) -> str:
    """A line of the table of what was measured."""
    r, m, kind = e.residual, e.errors, e.kind.replace("|", "\\|")
    deficit = f"1 - {1 - m.r2:.1e}" if m.r2 > 0.999 else f"{m.r2:.4f}"
    return (
        f"| {kind} | {e.matrices:,} | {deficit} | {m.mse:.1e} | {m.mae:.1e} | {r.median:.1e} | "
        f"{r.p99:.1e} | {r.max:.1e} | {100 * (1 - r.below_one):.4f} % |"
    )
