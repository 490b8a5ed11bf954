"""The model card of a prior."""

from __future__ import annotations

from deepmatrixinversion.prior.fit import WORTH, Fitted
from deepmatrixinversion.reporting.card import filled

WHAT = {
    "generic": "Nothing that was learned paid: it starts as if it knew nothing of the data.",
    "mean": "It starts from the mean inverse of the training set, at its best scale.",
    "local": (
        "It holds {stored} inverses of the training set. Keys, {keys} principal components of a "
        "sketch of {sketches} row combinations, find the {nearest} nearest; the start is their "
        "best combination on that sketch, and two rows that it was not fitted to say what it is "
        "worth."
    ),
}

NEVER_MIND = "There is nothing to gain here: leave the prior out."
SIMPLE = (
    "The {name} alone would do: {mean:.1f} products, as good as anything that was learned, or next "
    "to it."
)
GAINED = "It takes {factor:.1f} times fewer products than the best without a store ({name})."


def prior_card(name: str, fitted: Fitted, counts: tuple[int, ...], data: str, command: str) -> str:
    """The Markdown text of a prior's model card."""
    prior = fitted.prior
    what = WHAT[fitted.chosen].format(
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
    return filled(
        "prior",
        name=name,
        prior=prior,
        data=data,
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
        return SIMPLE.format(name=name, mean=simple.mean)
    return GAINED.format(factor=simple.mean / own.mean, name=simple.name)
