"""What a prior gains on matrices of one origin: writes docs/your-matrices.md.

    python benchmarks/your_matrices.py            # two minutes of one core, more on a busy one
    python benchmarks/your_matrices.py --orders 8 --count 200 --out build/quick

Needs the extra ``benchmarks`` for the families that come out of packages; without, it names them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from matplotlib.figure import Figure

from deepmatrixinversion import Inverter, Tracker
from deepmatrixinversion.inference.leaf import PriorLeaf
from deepmatrixinversion.linalg.greedy import GREEDY, improved, norm
from deepmatrixinversion.linalg.scaling import Scaled, normalise
from deepmatrixinversion.linalg.stack import Stack
from deepmatrixinversion.prior.costs import NEAREST
from deepmatrixinversion.prior.driver import generic_start, prior_guess
from deepmatrixinversion.prior.store import Prior, propose
from deepmatrixinversion.reporting.figure_files import save_figure
from deepmatrixinversion.training.dataset import data_set
from deepmatrixinversion.training.directory import new_directory
from deepmatrixinversion.training.fit import recipe_for
from deepmatrixinversion.training.prior import fit_and_finish
from your_baselines import cheapest, chebyshev, low_rank
from your_families import FAMILIES, FEW, MANY, SEQUENCE, Family, kernel_on_a_grid

ORDERS = (8, 16, 32, 64)
COUNT = 1_500
AIMS = {
    FEW: {16: 2, 32: 4, 64: 7},
    MANY: {16: 1.2, 32: 1.3, 64: 1.5},
    SEQUENCE: {16: 4, 32: 5, 64: 4},
}


class Case(NamedTuple):
    """A family at an order: mean and 99 % of products to 1e-3 by method, and the rest."""

    family: Family
    n: int
    chosen: str
    costs: dict[str, tuple[float, float]]
    total: float
    certified: float
    seconds: float
    lapack_us: float
    ours_us: float
    breaks_even: float
    inverter: Inverter
    test: np.ndarray

    @property
    def own(self) -> float:
        """The prior's mean, or the tracker's on sequences where that is less."""
        return min(self.costs[name][0] for name in ("prior", "tracker") if name in self.costs)

    @property
    def classical(self) -> float:
        """The cheaper of greedy and Chebyshev."""
        return min(self.costs["greedy"][0], self.costs["Chebyshev"][0])

    @property
    def simple(self) -> float:
        """The cheapest of mean inverse, nearest and previous one."""
        return min(self.costs[name][0] for name in ("mean", "nearest", "previous"))


def measure(family: Family, n: int, count: int, folder: Path) -> Case:
    """Fit to the first 80 %, choose by the next 10, measure on the last."""
    A = family.draw(np.random.default_rng([1, n]), count, n)
    data = data_set(A)
    recipe = recipe_for(data, {"net": "prior", "data": family.name}, has_targets=False)
    directory = new_directory(folder / "m", recipe, data)
    start = time.perf_counter()
    fitted = fit_and_finish(directory, recipe, command="benchmarks/your_matrices.py")
    seconds = time.perf_counter() - start
    inverter = Inverter.from_pretrained(directory)
    train, _, test = (part.A for part in data.blocks())
    S, T = (Scaled.of(np.ascontiguousarray(M)).S.matrices() for M in (train, test))
    S, T = S / norm(S)[:, None, None], T / norm(T)[:, None, None]
    names = {
        "generic": "greedy",
        "mean": "mean",
        NEAREST: "nearest",
        "inverse of the matrix before": "previous",
    }
    costs = {names[row.name]: (row.mean, row.most) for row in fitted.rows if row.name in names}
    costs["Chebyshev"] = _figures(chebyshev(S, T))
    costs["low rank"] = _figures(low_rank(T))
    prior = prior_of(inverter)
    guess = prior_guess(prior, T)
    costs["prior"] = _figures(guess.products + prior.overhead())
    if family.kind == SEQUENCE:
        costs["tracker"] = _figures(tracked(test))
    polish, certified = polished(inverter, test)
    saved = costs["greedy"][0] - costs["prior"][0]
    product = _seconds(lambda: np.matmul(T, T)) / len(T)
    return Case(
        family,
        n,
        fitted.chosen,
        costs,
        costs["prior"][0] + polish,
        certified,
        seconds,
        1e6 * _seconds(lambda: np.linalg.inv(test)) / len(test),
        1e6 * _seconds(lambda: inverter.inv_ex(test)) / len(test),
        seconds / (saved * product) if saved > 0 else np.inf,
        inverter,
        T,
    )


def prior_of(inverter: Inverter) -> Prior:
    """What an inverter has learned."""
    assert isinstance(inverter.leaf, PriorLeaf)
    return inverter.leaf.prior


def _figures(costs: np.ndarray) -> tuple[float, float]:
    return float(np.mean(costs)), float(np.quantile(costs, 0.99, method="higher"))


def _seconds(work: Any, rounds: int = 3) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def tracked(test: np.ndarray) -> np.ndarray:
    """Products of each matrix of a sequence but the first, from the tracker's start."""
    tracker, costs = Tracker(), []
    for A in test:
        S, _ = normalise(A[None])
        start = tracker.propose(S)
        if start is None:
            costs.append(improved(S, generic_start(S)[0], degrees=GREEDY).products[0])
        else:
            costs.append(improved(S, start.X).products[0] + start.cost[0])
        tracker(A)
    return np.array(costs[1:], dtype=float)


def polished(inverter: Inverter, test: np.ndarray) -> tuple[float, float]:
    """Products from a residual of 1e-3 to the certificate, and the share certified."""
    A = test[:50]
    guess, counted = inverter.guess(A), [0]
    plain = Stack.__matmul__

    def counting(self: Stack, other: Stack) -> Stack:
        counted[0] += len(self)
        return plain(self, other)

    with mock.patch.object(Stack, "__matmul__", counting):
        inverter.inv_ex(A, start=guess)
    found = inverter.inv_ex(test)
    return counted[0] / len(A), float(found.certificate.certified.mean())


STRANGERS = 20
"""Matrices of each other family that a prior is tried on."""


def foreign(cases: list[Case]) -> list[str]:
    """What each prior costs on all other families of its order, beside what they cost without."""
    lines = [
        "| prior of | n | start | foreign matrices | taken for its own | mean, products more "
        "| largest | lost |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    pairs = dearer = all_lost = 0
    for n in sorted({case.n for case in cases}):
        same = [case for case in cases if case.n == n]
        S = np.concatenate([case.test[:STRANGERS] for case in same])
        home = np.concatenate([np.full(len(c.test[:STRANGERS]), k) for k, c in enumerate(same)])
        without = improved(S, generic_start(S)[0], degrees=GREEDY)
        for k, case in enumerate(same):
            prior = prior_of(case.inverter)
            other = home != k
            if not prior.guard or not other.any():
                continue
            guess = prior_guess(prior, S[other])
            more = guess.products - without.products[other] + prior.overhead()
            lost = int(((guess.residual > 1e-3) & (without.residual[other] <= 1e-3)).sum())
            pairs, all_lost = pairs + len(more), all_lost + lost
            dearer += int((more > 1.0).sum())
            own = float(propose(prior, S[other]).familiar(prior).mean())
            lines.append(
                f"| {case.family.name} | {n} | {case.chosen} | {other.sum():,} | "
                f"{100 * own:.1f} % | {more.mean():+.2f} | {more.max():+.1f} | {lost} |"
            )
    summary = (
        f"Of {pairs:,} pairs of a prior and a foreign matrix {dearer:,} cost more than one product "
    )
    return [summary + f"more, and {all_lost} were lost.", "", *lines]


def drift(case: Case, count: int = 150) -> list[str]:
    """The kernel's prior where the origin moves."""
    n, rng = case.n, np.random.default_rng(5)

    def gaussian(D: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * (D / scale) ** 2)

    def rough(D: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return np.exp(-D / scale)

    changes: dict[str, dict[str, Any]] = {
        "none": {},
        "length scales 0.5 to 1 instead of 0.05 to 0.5": {"scales": (0.5, 1.0)},
        "length scales 0.02 to 0.05": {"scales": (0.02, 0.05)},
        "noise 0.1 to 0.3 instead of 0.001 to 0.1": {"noises": (0.1, 0.3)},
        "exponential kernel instead of Matérn 5/2": {"kernel": rough},
        "Gaussian kernel": {"kernel": gaussian, "noises": (1e-2, 1e-1)},
        "inputs jittered by 1 % of their spacing": {"jitter": 0.01},
        "inputs jittered by 10 %": {"jitter": 0.1},
    }
    prior = prior_of(case.inverter)
    lines = ["| change | with the prior | without |", "| --- | --- | --- |"]
    for name, options in changes.items():
        A = kernel_on_a_grid(rng, count, n, **options)
        S = A / norm(A)[:, None, None]
        own = prior_guess(prior, S).products.mean() + prior.overhead()
        lines.append(f"| {name} | {own:.1f} | {cheapest(S, generic_start(S)[0]).mean():.1f} |")
    return lines


METHODS = ("greedy", "Chebyshev", "low rank", "mean", "nearest", "previous", "tracker", "prior")


def table(cases: list[Case]) -> list[str]:
    """Products of every method."""
    lines = [f"| family | n | {' | '.join(METHODS)} | start |", "| --- " * (len(METHODS) + 3) + "|"]
    for case in cases:
        figures = [case.costs.get(name) for name in METHODS]
        cells = ["" if f is None else f"{f[0]:.1f} ({f[1]:.0f})" for f in figures]
        lines.append(f"| {case.family.name} | {case.n} | {' | '.join(cells)} | {case.chosen} |")
    return lines


def gains(cases: list[Case]) -> list[str]:
    """Where it pays, and where there is nothing to gain."""
    lines = [
        "| family | kind | n | fewer than the best classical | aim | fewer than the best simple "
        "start | with polish | certified | fit, s | µs here | µs LAPACK | breaks even after |",
        "| --- " * 12 + "|",
    ]
    for case in cases:
        aim = AIMS.get(case.family.kind, {}).get(case.n, "")
        even = f"{case.breaks_even:,.0f}" if np.isfinite(case.breaks_even) else "never"
        lines.append(
            f"| {case.family.name} | {case.family.kind} | {case.n} | "
            f"{case.classical / case.own:.1f} times | {aim} | {case.simple / case.own:.1f} times | "
            f"{case.total:.1f} | {100 * case.certified:.1f} % | {case.seconds:.1f} | "
            f"{case.ours_us:.0f} | {case.lapack_us:.0f} | {even} |"
        )
    return lines


def aims(cases: list[Case]) -> str:
    """How many of the aims are reached, by kind of family."""
    parts = []
    for kind, by_order in AIMS.items():
        own = [case for case in cases if case.family.kind == kind and case.n in by_order]
        reached = sum(case.classical >= by_order[case.n] * case.own for case in own)
        parts.append(f"{kind} {reached} of {len(own)}")
    return "Aims reached: " + ", ".join(parts) + "."


def nothing_to_gain(cases: list[Case]) -> list[str]:
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
    return lines or ["- None of these."]


def draw(cases: list[Case]) -> Figure:
    """Products by family and order."""
    families = [f for f in FAMILIES if any(c.family is f for c in cases)]
    figure = Figure(figsize=(14, 8), layout="constrained")
    axes = figure.subplots(3, 5).ravel()
    styles = {
        "greedy": ("o-", "#777777"),
        "Chebyshev": ("s--", "#777777"),
        "mean": ("^-", "#1f5a99"),
        "previous": ("v:", "#1f5a99"),
        "tracker": ("D-", "#1b9e77"),
        "prior": ("o-", "#d95f02"),
    }
    for panel, family in zip(axes, families, strict=False):
        own = [c for c in cases if c.family is family]
        for name, (style, colour) in styles.items():
            points = [(c.n, c.costs[name][0]) for c in own if name in c.costs]
            if points:
                panel.plot(
                    *zip(*points, strict=True), style, color=colour, label=name, markersize=4
                )
        panel.set_xscale("log", base=2)
        panel.set_ylim(0, 32)
        panel.set_title(family.name, fontsize=8)
        panel.grid(alpha=0.3)
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

Two things that `spectral` does today make the classical iterations cheaper than they are counted
here: from a multiple of the identity neither the first residual nor the first step takes a
product, which is two fewer wherever A is definite, and matrices that are symmetric but for rounding
(Kalman, MIMO over subcarriers) start there as well. With both taken off, few parameters reach 7 of
their aims, shared structure 3 and smooth sequences 1.

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


def main() -> None:
    """Write the page and its figure."""
    p = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    p.add_argument("--orders", type=int, nargs="+", default=ORDERS)
    p.add_argument("--count", type=int, default=COUNT)
    p.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "docs")
    options = p.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    begun = time.process_time()
    cases, missing = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for family in FAMILIES:
            for n in options.orders:
                count = options.count if n < 64 else max(200, options.count // 2)
                try:
                    case = measure(family, n, count, Path(folder) / f"{len(cases)}")
                except ImportError as error:
                    missing[family.name] = error.name
                    break
                cases.append(case)
                print(table([case])[-1], flush=True)
        kernels = [c for c in cases if c.family is FAMILIES[0]]
        moved = kernels[min(2, len(kernels) - 1)]
        save_figure(draw(cases), options.out / "your-matrices.png")
        absent = "; ".join(f"{name} (needs {module})" for name, module in missing.items())
        text = TEXT.format(
            families=len({c.family.name for c in cases}),
            count=options.count,
            small=max(200, options.count // 2),
            missing=f"\n\nMissing in this run: {absent}." if missing else "",
            aims=aims(cases),
            gains="\n".join(gains(cases)),
            nothing="\n".join(nothing_to_gain(cases)),
            table="\n".join(table(cases)),
            foreign="\n".join(foreign(cases)),
            drift="\n".join(drift(moved)),
            drift_order=moved.n,
            minutes=(time.process_time() - begun) / 60,
        )
    (options.out / "your-matrices.md").write_text(text, encoding="utf-8")
    print(json.dumps({"missing": missing, "cases": len(cases)}))


if __name__ == "__main__":
    main()
