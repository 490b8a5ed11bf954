"""A static training set is memorised, fresh matrices are not.

    python benchmarks/overfitting.py --markdown docs/overfitting.md --plot docs/overfitting.png

About eight minutes of one core.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from curves import plain_numbers
from deepmatrixinversion.matrices.distributions import NumpySource, sample
from deepmatrixinversion.reporting.figure_files import save_figure
from deepmatrixinversion.training.curve import Look, read_curve
from deepmatrixinversion.training.dataset import data_set
from deepmatrixinversion.training.directory import new_directory
from deepmatrixinversion.training.recipe import Recipe
from deepmatrixinversion.training.run import train
from page import arguments, panels, records, write_page

ORDER = 3
DET_MIN = 0.1
SIZES = (10_000, 100_000, 1_000_000, None)
"""Matrices of a static set; None is a fresh batch for every step."""

NETS = {
    "dense": {"nunits": 128, "nlayers": 4, "lr": 1e-3},
    "resnet": {"nunits": 48, "nlayers": 2, "lr": 1e-3},
}
POINTS = 40


class Run(NamedTuple):
    """One training: the looks at the end of its epochs."""

    net: str
    size: int | None
    looks: list[Look]

    @property
    def name(self) -> str:
        """What it learned from."""
        return "fresh matrices" if self.size is None else f"{self.size:,} matrices"

    def seen(self, batch: int) -> np.ndarray:
        """Matrices seen at each look."""
        return np.array([look.step * batch for look in self.looks], dtype=float)

    def loss(self) -> np.ndarray:
        """Of the batches trained on, the mean of the last looks before each epoch's end."""
        return np.array([look.loss for look in self.looks])

    def held_out(self) -> np.ndarray:
        """On matrices held out."""
        return np.array([look.validation_loss for look in self.looks], dtype=float)


def trained(net: str, size: int | None, steps: int, batch: int, seed: int) -> Run:
    """Train, with a look at the held-out matrices ``POINTS`` times."""
    options = {
        "msize": ORDER,
        "net": net,
        "loss": "frobenius",
        "batch_size": batch,
        "nmx_samples": max(1, steps // POINTS) * batch,
        "epochs": POINTS,
        "seed": seed,
        "device": "cpu",
        "threads": 1,
        **NETS[net],
    }
    data = None
    if size is None:
        options["det_min"] = DET_MIN
    else:
        source = NumpySource(np.random.default_rng([seed, size]))
        A = sample(source, "uniform", size, ORDER, -1.0, 1.0, det_min=DET_MIN)
        data = data_set(A)
        options |= {"data": f"{size} uniform matrices"}
    with tempfile.TemporaryDirectory() as folder:
        directory = new_directory(Path(folder) / net, Recipe.from_options(options), data)
        train(directory, Recipe.from_options(options), quiet=True)
        rows = read_curve(directory / "training.csv")
    return Run(net, size, [_smoothed(rows, k) for k in range(len(rows)) if rows[k].selection])


def _smoothed(rows: list[Look], k: int) -> Look:
    """The look at an epoch's end, with the mean loss of the looks since the last such end."""
    start = k
    while start > 0 and rows[start - 1].selection is None:
        start -= 1
    losses = [row.loss for row in rows[start : k + 1]]
    return rows[k]._replace(loss=float(np.mean(losses)))


def draw(runs: list[Run], batch: int) -> Figure:
    """Training and held-out loss against matrices seen."""
    figure, both = panels(13, 5.6, columns=len(NETS))
    colours = ("#d95f02", "#1f5a99", "#1b9e77", "#000000")
    for axes, net in zip(both, NETS, strict=True):
        for run, colour in zip([r for r in runs if r.net == net], colours, strict=True):
            seen = run.seen(batch)
            axes.loglog(seen, run.held_out(), color=colour, label=f"{run.name}, held out")
            axes.loglog(seen, run.loss(), ":", color=colour, label="the same, trained on")
        axes.set(
            title=f"{net}, uniform {ORDER}x{ORDER}, |det| > {DET_MIN}",
            xlabel="matrices seen",
            ylabel="mean ‖I - AX‖F (dimensionless)",
        )
        plain_numbers(axes.yaxis, (1, 1.5, 2, 3, 4, 6, 8))
        axes.legend(fontsize=8)
    return figure


def row(run: Run, steps: int, batch: int) -> dict[str, str]:
    """A line of the table."""
    loss, held = run.loss()[-1], run.held_out()
    return {
        "network": run.net,
        "learned from": run.name,
        "times that each matrix was seen": "1"
        if run.size is None
        else f"{steps * batch / (0.8 * run.size):.1f}",
        "trained on": f"{loss:.3f}",
        "held out": f"{held[-1]:.3f}",
        "held out, best": f"{held.min():.3f}",
        "held out over trained on": f"{held[-1] / loss:.2f}",
    }


def verdict(runs: list[Run]) -> str:
    """What the table says, in words."""
    lines = []
    for net in NETS:
        held = {run.size: run.held_out()[-1] for run in runs if run.net == net}
        fresh = held.pop(None)
        parts = [f"{loss / fresh:.2f} ({size:,})" for size, loss in held.items()]
        lines.append(
            f"`{net}`: held-out loss over that of the network that learned from fresh matrices: "
            f"{', '.join(parts)}."
        )
    return "\n".join(lines)


def main() -> None:
    """Write the page and its figure."""
    options = arguments(__doc__, steps=5000, batch=256, seed=1).parse_args()
    steps, batch = options.steps, options.batch
    runs = []
    for net in NETS:
        for size in SIZES:
            runs.append(trained(net, size, steps, batch, options.seed))
            print(row(runs[-1], steps, batch), flush=True)
    if options.plot:
        save_figure(draw(runs, batch), options.plot)
    seen = 1e-6 * steps * batch
    said = {"order": ORDER, "det_min": DET_MIN, "steps": steps, "batch": batch, "seen": seen}
    found = records(row(run, steps, batch) for run in runs)
    write_page(options.markdown, "overfitting", table=found, verdict=verdict(runs), **said)


if __name__ == "__main__":
    main()
