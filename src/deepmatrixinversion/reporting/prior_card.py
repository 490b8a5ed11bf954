"""The model card of a prior."""

from __future__ import annotations

from string import Template

from deepmatrixinversion.prior.fit import WORTH, Fitted
from deepmatrixinversion.version import version

TEXT = Template("""\
---
license: cc0-1.0
tags: [matrix-inversion]
library_name: deepmatrixinversion
---

# $name

Proposes inverses of matrices of order $order like those of `$data`.
Made by DeepMatrixInversion $version.

    dmxinvert --inputmx matrices.mx --inverseout inverses.mx --model ./$name
    dmxexport --msize $order --model ./$name --out inverse.onnx

## What it does

$what

$verdict

## Measured on this data

$train matrices to learn from, $validation to choose by, and $test, the last ones of the file, for
this table: matrix products of order $order to a residual ‖I - AX‖F of 1e-3, what a start costs
(search, projections, least squares) included. About eight more products polish and certify.

| start | mean | 99 % | of which overhead | never |
| --- | --- | --- | --- | --- |
$rows

## What it is not for

- Other matrices: of a foreign one the guard takes notice, and it starts as if there were no prior,
  having lost the overhead. That costs time, never correctness: what `dmxinvert` writes is
  certified, whatever the start.
- Private data: the weights hold inverses of matrices of the training set.

## Recipe

    $command
""")

WHAT = {
    "generic": "Nothing that was learned paid: it starts as if it knew nothing of the data.",
    "mean": "It starts from the mean inverse of the training set, at its best scale.",
    "local": (
        "It holds $stored inverses of the training set. Keys, $keys principal components of a "
        "sketch of $sketches row combinations, find the $nearest nearest; the start is their best "
        "combination on that sketch, and two rows that it was not fitted to say what it is worth."
    ),
}

NEVER_MIND = "There is nothing to gain here: leave the prior out."
SIMPLE = Template(
    "The $name alone would do: $mean products, as good as anything that was learned, or next to it."
)
GAINED = Template("It takes $factor times fewer products than the best without a store ($name).")


def prior_card(name: str, fitted: Fitted, counts: tuple[int, ...], data: str, command: str) -> str:
    """The Markdown text of a prior's model card."""
    prior = fitted.prior
    what = Template(WHAT[fitted.chosen]).substitute(
        stored=len(prior.inverses),
        keys=len(prior.keys),
        sketches=len(prior.sketch),
        nearest=prior.nearest,
    )
    rows = "\n".join(
        f"| {row.name}{' (this model)' * (row.name == fitted.chosen)} | {row.mean:.1f} | "
        f"{row.most:.1f} | {row.overhead:.2f} | {100 * row.lost:.1f} % |"
        for row in fitted.rows
    )
    train, validation, test = (f"{count:,}" for count in counts)
    return TEXT.substitute(
        name=name,
        order=prior.order,
        data=data,
        version=version(),
        what=what,
        verdict=verdict(fitted),
        train=train,
        validation=validation,
        test=test,
        rows=rows,
        command=command,
    )


def verdict(fitted: Fitted) -> str:
    """In one sentence, whether learning paid."""
    own = fitted.own
    simple = own if fitted.chosen == "mean" else fitted.simplest
    if simple.mean <= WORTH * own.mean:
        if simple.name == "generic":
            return NEVER_MIND
        name = "mean inverse" if simple.name == "mean" else simple.name
        return SIMPLE.substitute(name=name, mean=f"{simple.mean:.1f}")
    return GAINED.substitute(factor=f"{simple.mean / own.mean:.1f}", name=simple.name)
