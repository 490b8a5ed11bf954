"""The page of your matrices: its text, tables and figure."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from curves import plain_numbers
from page import panels, table
from your_cases import Case
from your_families import FAMILIES, FEW, MANY, SEQUENCE

AIMS = {
    FEW: {16: 2, 32: 4, 64: 7},
    MANY: {16: 1.2, 32: 1.3, 64: 1.5},
    SEQUENCE: {16: 4, 32: 5, 64: 4},
}


METHODS = ("greedy", "Chebyshev", "low rank", "mean", "nearest", "previous", "tracker", "prior")


def products(cases: list[Case]) -> str:
    """Products of every method."""
    rows = []
    for case in cases:
        figures = [case.costs.get(name) for name in METHODS]
        cells = ["" if f is None else f"{f[0]:.1f} ({f[1]:.0f})" for f in figures]
        rows.append([case.family.name, case.n, *cells, case.chosen])
    return table(["family", "n", *METHODS, "start"], rows)


def gains(cases: list[Case]) -> str:
    """Where it pays, and where there is nothing to gain."""
    heads = ["family", "kind", "n", "fewer than the best classical", "aim"]
    heads += [
        "fewer than the best simple start",
        "with polish",
        "certified",
        "fit, s of CPU",
        "µs here",
    ]
    rows = [
        [
            case.family.name,
            case.family.kind,
            case.n,
            f"{case.classical / case.own:.1f} times",
            AIMS.get(case.family.kind, {}).get(case.n, ""),
            f"{case.simple / case.own:.1f} times",
            f"{case.total:.1f}",
            f"{100 * case.certified:.1f} %",
            f"{case.seconds:.1f}",
            f"{case.ours_us:.0f}",
            f"{case.lapack_us:.0f}",
            f"{case.breaks_even:,.0f}" if np.isfinite(case.breaks_even) else "never",
        ]
        for case in cases
    ]
    return table([*heads, "µs LAPACK", "breaks even after"], rows)


def aims(cases: list[Case]) -> str:
    """How many of the aims are reached, by kind of family."""
    parts = []
    for kind, by_order in AIMS.items():
        own = [case for case in cases if case.family.kind == kind and case.n in by_order]
        reached = sum(case.classical >= by_order[case.n] * case.own for case in own)
        parts.append(f"{kind} {reached} of {len(own)}")
    return "Aims reached: " + ", ".join(parts) + "."


def nothing_to_gain(cases: list[Case]) -> str:
    """In words, family by family."""
    lines = []
    for family in FAMILIES:
        own = [case for case in cases if case.family is family]
        for verdict, there in (
            ("nothing to gain", [c.n for c in own if c.classical <= 1.1 * c.own]),
            (
                "a simple start does as well",
                [c.n for c in own if c.classical > 1.1 * c.own >= c.simple],
            ),
        ):
            if there:
                orders = ", ".join(map(str, there))
                lines.append(f"- {family.name}, n = {orders}: {verdict}.")
    return "\n".join(lines or ["- None of these."])


def draw(cases: list[Case]) -> Figure:
    """Products by family and order."""
    families = [f for f in FAMILIES if any(c.family is f for c in cases)]
    figure, axes = panels(14, 8, 3, 5, shared=True)
    ours = {"linewidth": 5, "alpha": 0.5, "zorder": 1}  # shows what lies upon it
    styles: dict[str, tuple[str, str, dict[str, Any]]] = {
        "greedy": ("o-", "#777777", {}),
        "Chebyshev": ("s--", "#777777", {}),
        "mean": ("^-", "#1f5a99", {}),
        "previous": ("v:", "#1f5a99", {}),
        "tracker": ("D-", "#1b9e77", ours),
        "prior": ("o-", "#d95f02", ours),
    }
    for panel, family in zip(axes, families, strict=False):
        own = [c for c in cases if c.family is family]
        for name, (style, colour, more) in styles.items():
            points = [(c.n, c.costs[name][0]) for c in own if name in c.costs]
            if points:
                panel.loglog(
                    *zip(*points, strict=True), style, color=colour, label=name, markersize=4,
                    **more,
                )  # fmt: skip
        orders = sorted({c.n for c in own})
        panel.set_xticks(orders, [str(n) for n in orders])
        panel.minorticks_off()
        plain_numbers(panel.yaxis)
        panel.set_title(family.name, fontsize=8)
    for panel in axes[len(families) :]:
        panel.set_axis_off()
    handles = {h.get_label(): h for panel in axes for h in panel.get_lines()}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(styles))
    figure.supxlabel("order n")
    figure.supylabel("mean products to ‖I - AX‖F = 1e-3")
    return figure


TEXT = """# Your matrices

What a network can know that no classical method can is where *your* matrices come from. `prior`
(`dmxtrain --net prior --data FILE`, `deepmatrixinversion.training.fit`) learns it in seconds, and a
`Tracker` from the last few matrices of a sequence. Measured on {families} families of matrices,
each of one origin, against what a sceptic would name. All of it in products of order n to a
residual of 1e-3 on the last 10 % of {count:,} matrices ({small:,} at n = 64) in the order in which
they come, the overhead of every start included (search, projections, least squares).{missing}

![Products by order, family by family](your-matrices.png)

## Where it pays

"best classical" is the cheaper of greedy minimal residual steps and Chebyshev iteration on the
training set's spectral interval; "best simple start" the cheapest of the mean inverse, the nearest
training inverse (found by keys, as a store finds it) and the previous inverse. Ours is the prior,
on sequences the tracker where that is cheaper. "with polish" adds the products from the prior's
guess to the certificate. The break-even is the number of matrices after which the products that the
prior saves over the greedy iteration are worth the time of the fit, products timed in NumPy.

On a CPU with LAPACK none of this saves time: up to order 64 the compiled kernel inverts from
nothing faster than NumPy multiplies from a start. A prior pays where products are the currency: in
ONNX graphs, on devices without LAPACK. The last columns say so.

{aims}

Counted alike for all: wherever A is definite but for rounding, what knows nothing starts from a
multiple of the identity, where neither the first residual nor the first step takes a product; no
last step computes the residual that it leaves. A start's residual need not be computed either where
two random rows of it, 4/n products, say that it is below 1e-3: the priors, the tracker and the
simple starts go by these rows, and where they were wrong, what mends it is counted.

{gains}

### Nothing to gain, or no more than something simple would

{nothing}

## Products, method by method

Mean (99 %). "low rank" inverts each matrix's own randomised approximation of rank n/8; 60 stands
for never. "start" is what the prior chose: the mean inverse, its store (local), or to do nothing
(generic).

{table}

## Foreign matrices

Each prior on the test matrices of all other families of its order: how many products more than
without it, its overhead included, and how many did not get to 1e-3 that would have without.

{foreign}

## Drift

The prior of the GP kernel on a grid, n = {drift_order}, where its origin moves: mean products.

{drift}

Measured by `python benchmarks/your_matrices.py` in {minutes:.1f} minutes of one core.
"""
