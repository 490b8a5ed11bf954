"""The model card of an imported ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Template

from deepmatrixinversion.models.config import ModelConfig
from deepmatrixinversion.reporting.card import Measured, measured_row
from deepmatrixinversion.version import version

TEXT = Template("""\
---
tags: [matrix-inversion, onnx]
library_name: deepmatrixinversion
---

# $name

Proposes inverses of ${n}x$n matrices: the mean of $members networks with $layers layers of weights,
the first of width $units, imported from Keras files by DeepMatrixInversion $version.

    dmxinvert --inputmx matrices.mx --inverseout inverses.mx --model ./$name

`model.onnx` maps `A` (batch, $n, $n) to `X` (batch, $n, $n), both float32, in standard
operators. It is the networks as they were trained: it expects entries in [$rmin, $rmax].
DeepMatrixInversion brings each matrix there by a power of two, and undoes that on the answer.

## Imported from

| file | SHA-256 |
| --- | --- |
$files

Whose weights these are and under which license, their source says.

## Measured

Raw answers on $matrices fresh matrices of each kind; ‖I - AX‖F in float64. "failures" have a
residual of 1 or more: such an answer is no inverse.

| matrices | number | R2 | MSE | MAE | ‖I - AX‖F median | 99 % | largest | failures |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
$rows
""")


def imported_card(
    name: str, config: ModelConfig, files: Mapping[str, str], evaluations: Sequence[Measured]
) -> str:
    """The Markdown text; ``files`` maps the files that it was made of to their digests."""
    return TEXT.substitute(
        name=name,
        n=config.net.msize,
        members=config.members,
        layers=config.net.nlayers,
        units=config.net.nunits,
        version=version(),
        rmin=f"{config.data.rmin:g}",
        rmax=f"{config.data.rmax:g}",
        files="\n".join(f"| `{file}` | `{value}` |" for file, value in files.items()),
        matrices=f"{evaluations[0].matrices:,}",
        rows="\n".join(map(measured_row, evaluations)),
    )
