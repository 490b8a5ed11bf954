"""The model card: the README.md of a model directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Template
from typing import Any, Protocol

from deepmatrixinversion.models.config import ModelConfig
from deepmatrixinversion.reporting.metrics import ErrorStatistics, ResidualStatistics
from deepmatrixinversion.version import version


class Measured(Protocol):
    """What the card needs of an evaluation (``training.evaluation.Evaluation``)."""

    @property
    def order(self) -> int: ...
    @property
    def distribution(self) -> str: ...
    @property
    def det_min(self) -> float: ...
    @property
    def rmin(self) -> float: ...
    @property
    def rmax(self) -> float: ...
    @property
    def matrices(self) -> int: ...
    @property
    def residual(self) -> ResidualStatistics: ...
    @property
    def errors(self) -> ErrorStatistics: ...


TEXT = Template("""\
---
license: cc0-1.0
tags: [matrix-inversion, onnx]
library_name: deepmatrixinversion
---

# $name

Proposes inverses of $square matrices: $members `$net` $plural,
$layers layers or blocks of width $units, $parameters parameters each.
Made by DeepMatrixInversion $version.

    dmxinvert --inputmx matrices.mx --inverseout inverses.mx --model $name

`model.onnx` maps `A` (batch, $m, $m) to `X` (batch, $m, $m), both float32, and needs standard
ONNX operators only.

## Training data

$origin The network sees each matrix scaled to ‖A‖F = 1, so the
range describes where it was trained and does not limit what it takes.

## Measured

Raw answers, $how, on matrices that training never saw; ‖I - AX‖F in float64. R2, MSE and MAE
compare entries with the float64 inverses of LAPACK. "failures" have a residual of 1 or more: such
an answer is no inverse.

| matrices | number | R2 | MSE | MAE | ‖I - AX‖F median | 99 % | largest | failures |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
$rows

## What it is not for

- Matrices that are singular, or so close to it that the arithmetic makes them so (in float32
  condition numbers of about 1e6 and more): the answer is not an inverse, and only its residual says
  so. Check the residual, or let `dmxinvert` refine in float64 and certify it.$other
- Raw answers where float32 is too coarse: refine them, as `dmxinvert` does without `--raw`.

## Recipe

    $command

Steps taken by each member: $steps; the weights kept are those after
step $kept (0: untrained, where training could not improve on that).
Steps left out because a gradient was not finite: $skipped.

| setting | value |
| --- | --- |
$settings

The weights and the graph are dedicated to the public domain (CC0-1.0).
""")


FRESH = Template("""\
Matrices of the distribution `$distribution` over [$rmin, $rmax]$filtered,
made fresh for every step and never stored.""")

STATIC = Template("""\
The matrices of `$distribution`, entries in [$rmin, $rmax]: the first 80 % to train on, 10 % to
choose the weights by, the last 10 % for the table below. A static set can be memorised: compare
the curves in `training.png` on the batches trained on and on matrices held out.""")


def model_card(
    name: str,
    config: ModelConfig,
    parameters: int,
    recipe: Mapping[str, Any],
    command: str,
    steps: Sequence[int],
    kept: Sequence[int],
    skipped: Sequence[int],
    evaluations: Sequence[Measured],
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
    n, net, data = config.net.msize, config.net, config.data
    square, m = (f"{n}x{n}", n) if n else ("n x n", "n")
    how = "in float32" if n else "in float64 at 20 matrix products"
    other = f"\n- Other orders than {n} in a graph of its own." if n else ""
    origin = STATIC if recipe.get("data") else FRESH
    origin = origin.substitute(
        distribution=data.distribution,
        rmin=f"{data.rmin:g}",
        rmax=f"{data.rmax:g}",
        filtered=f", kept where |det| > {data.det_min:g}" if data.det_min else ", none left out",
    )
    rows = "\n".join(measured_row(e) for e in evaluations)
    settings = "\n".join(f"| `{k}` | {v} |" for k, v in recipe.items())
    plural = "network" if config.members == 1 else "networks, whose answers are averaged"

    def numbers(values: Sequence[int]) -> str:
        return ", ".join(f"{v:,}" for v in values)

    return TEXT.substitute(
        name=name,
        square=square,
        m=m,
        members=config.members,
        net=net.net,
        plural=plural,
        layers=net.nlayers,
        units=net.nunits,
        parameters=f"{parameters:,}",
        version=version(),
        origin=origin,
        how=how,
        rows=rows,
        other=other,
        command=command,
        steps=numbers(steps),
        kept=numbers(kept),
        skipped=numbers(skipped),
        settings=settings,
    )


def measured_row(e: Measured) -> str:
    """A line of the table of what was measured."""
    kind = f"order {e.order}, {e.distribution} [{e.rmin:g}, {e.rmax:g}]"
    if e.det_min:
        kind += f", \\|det\\| > {e.det_min:g}"
    r, m = e.residual, e.errors
    deficit = f"1 - {1 - m.r2:.1e}" if m.r2 > 0.999 else f"{m.r2:.4f}"
    return (
        f"| {kind} | {e.matrices:,} | {deficit} | {m.mse:.1e} | {m.mae:.1e} | {r.median:.1e} | "
        f"{r.p99:.1e} | {r.max:.1e} | {100 * (1 - r.below_one):.4f} % |"
    )
