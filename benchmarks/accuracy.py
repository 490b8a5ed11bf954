"""The accuracy report: docs/accuracy.md and its plots, every figure measured in this run.

python benchmarks/accuracy.py                 # writes docs/accuracy.md, about 17 minutes
python benchmarks/accuracy.py --only every_order        # one part of it, the others kept
python benchmarks/accuracy.py --quick --out report      # the same with few matrices
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import accuracy_ablations as ablations
import accuracy_families as families
import accuracy_networks as networks
import accuracy_spectral as spectral
from deepmatrixinversion import Inverter
from deepmatrixinversion.atomic import atomic_text
from deepmatrixinversion.reporting.figure_files import save_figure
from deepmatrixinversion.reporting.metrics import ErrorAccumulator
from deepmatrixinversion.reporting.plots import (
    predicted_against_true,
    residual_histogram,
    training_curves,
)
from deepmatrixinversion.reporting.worst import Worst
from deepmatrixinversion.training.curve import read_curve

SEED = 20261


def curves(report: Report) -> None:
    """Training curves of feedback-3 and spectral, from their bundled CSV."""
    for name, batch in (("feedback-3", 1024), ("spectral", 512)):
        rows = read_curve(Inverter.from_pretrained(name).model.path / "training.csv")
        data = [row._asdict() | {"matrices": row.step * batch} for row in rows]
        title = f"{name}: training"
        if name == "spectral":  # steps take the orders in turn: show those of order 64
            data = [d for d in data if d["step"] % 11 in (4, 10)]
            title += ", batches of order 64 (all distributions, nearly singular matrices included)"
        report.plot(training_curves(data, title=title), name)


def raw_predictions(matrices: int) -> Figure:
    """Raw predictions of feedback-5 against the truth."""
    A = np.random.default_rng([SEED, 1]).uniform(-1, 1, (matrices, 5, 5))
    A = A[np.abs(np.linalg.det(A)) > 0.1]
    truth, X = np.linalg.inv(A), Inverter.from_pretrained("feedback-5").guess(A)
    errors = ErrorAccumulator()
    errors.add(X, truth)
    worst = Worst()
    worst.add(1, A, X, truth, np.abs(X - truth).max(axis=(1, 2)))
    title = "feedback-5, raw float32, unseen 5x5 matrices with |det| > 0.1"
    return predicted_against_true(
        truth.ravel(),
        X.ravel(),
        errors.statistics(),
        title=title,
        matrices=len(A),
        example=worst.example,
    )


class Report:
    """The sections of the page, where their plots go, and by how much fewer matrices to use."""

    def __init__(self, out: Path, few: int, keep: bool) -> None:
        self.out, self.few = out, few
        self.sections: dict[str, str] = {}
        if keep:
            _, *old = (out / "accuracy.md").read_text().split("\n## ")
            self.sections = dict(part.strip().split("\n\n", 1) for part in old)

    def section(self, title: str, *text: str) -> None:
        """Write or replace a section."""
        self.sections[title] = "\n".join(text)

    def plot(self, figure: Figure, name: str) -> None:
        """Save a figure beside the page."""
        save_figure(figure, self.out / f"accuracy-{name}.png")

    def save(self) -> None:
        """Write the page."""
        head = "# Accuracy\n\nMade by `python benchmarks/accuracy.py`; nothing here is trained on."
        parts = [f"## {title}\n\n{text}" for title, text in self.sections.items()]
        atomic_text(self.out / "accuracy.md", "\n\n".join([head, *parts]) + "\n")


def one_order(report: Report) -> None:
    """The networks of one order."""
    few = report.few
    lines, kept = networks.bundled(200_000 // few, SEED)
    report.section(
        "Networks of one order",
        "Entries uniform in [-1, 1], none left out but for the MAE; raw float32 answers, residual "
        "‖I - AX‖F in float64. *Untrained* is the same network before its first step: the greedy "
        "minimal residual iteration.\n",
        *lines,
        "\n" + networks.tolerance(200_000 // few, SEED),
        "\n![](accuracy-raw.png)\n\n![](accuracy-residuals.png)",
    )
    report.plot(residual_histogram(kept[8], title="feedback-8, raw, none left out"), "residuals")
    report.plot(raw_predictions(40_000 // few), "raw")
    lines, figure = networks.low_precision(40_000 // few, SEED)
    report.plot(figure, "precision")
    report.section(
        "Low precision",
        "feedback-4, the factors of every matrix product rounded, accumulation and the rest in "
        "float32; 4x4 matrices with log-uniform condition numbers from 1 to 1e6. The network takes "
        "the format's unit roundoff u for the noise of a product. Ratios where kappa u < 0.1.\n",
        *lines,
        "\n![](accuracy-precision.png)",
    )


def every_order(report: Report) -> None:
    """The network for every order, its baselines, and the training curves."""
    few = report.few
    report.section(
        "One network for every order",
        "Normal matrices, 20 products (the residual's included), float64. The classical methods "
        "are in exact arithmetic, on the spectra of the same matrices; scaled Newton and the "
        "oracle know each matrix's smallest and largest singular value. The fixed learned schedule "
        "has five steps of degree 5, trained on normal matrices of that order alone, the same for "
        "every matrix.\n",
        *spectral.table(SEED),
        "",
        *spectral.flops(),
        "\n![](accuracy-products.png)\n\n![](accuracy-condition.png)\n\n![](accuracy-order.png)",
    )
    report.plot(spectral.by_products(SEED, k=1_000 // few), "products")
    report.plot(spectral.by_order(SEED, k=2_000 // few), "order")
    report.plot(spectral.by_condition(SEED, k=6_000 // few), "condition")
    report.section(
        "Families held out of training",
        "20 products.\n",
        *spectral.held_out(SEED, k=2_000 // few),
    )
    report.section(
        "Products to a residual of 1e-3",
        "Mean over normal matrices, each left as soon as it is there.\n",
        *spectral.early_exit(SEED),
    )
    report.section("Divergence", spectral.divergences(1_000_000 // few, SEED))
    curves(report)
    report.section("Training", "![](accuracy-feedback-3.png)\n\n![](accuracy-spectral.png)")


def origins(report: Report) -> None:
    """Where matrices come from: products to 1e-3 of every method."""
    found, missing = families.rows(SEED, report.few)
    absent = "; ".join(f"{name} (needs {module})" for name, module in missing.items())
    report.section(
        "Where matrices come from",
        "Mean products to a residual of 1e-3, each matrix left as soon as it is there, 60 where it "
        "never is. None of these families is trained on; training sees random ones of the same "
        "kinds (`matrices/origins.py`). *Greedy* takes minimal residual steps of degrees 3, 3, 3 "
        "and an open one from the start that `spectral` takes, Aᵀ, or I where A is definite: there "
        "neither the first residual nor the first step costs a product. The oracle Chebyshev "
        "iteration and scaled Newton know each matrix's extreme singular values; started as "
        "`spectral` is, also its definiteness and extreme eigenvalues. Oracles do not need to find "
        "out that they are there; `spectral` and greedy steps spend a product on that."
        + (f" Missing in this run: {absent}." if absent else "")
        + "\n",
        *families.summary(found),
        "",
        *families.table(found),
    )


def design(report: Report) -> None:
    """Short trainings: published networks, and the design choices one by one."""
    few = report.few
    matrices = 100_000 // few
    report.section(
        "Networks, trained for the same wall time",
        "n = 3, uniform, none left out; *spread spectra* have condition numbers log-uniform up to "
        "1e4.\n",
        *ablations.compare(3, ablations.same_time(1.0 / few), matrices, SEED),
    )
    for title, rows in ablations.variants(1_000_000 // few).items():
        report.section(
            title,
            "n = 8, trained on uniform matrices, judged on those and on spread spectra.\n",
            *ablations.compare(8, rows, matrices, SEED),
        )
    report.section(
        "Spectral",
        "Trained for two hundred steps on normal matrices of orders 16, 32 and 64 alone.\n",
        *ablations.compare_spectral(100_000 // few, 4_000 // few, SEED),
    )
    report.section(
        "Guard",
        "Hostile 8x8 matrices (singular, badly scaled, rank one, zero): answers of three blocks "
        "that are worse than the start, or not finite.\n",
        *ablations.guard(matrices, SEED),
    )


PARTS = {
    "one_order": one_order,
    "every_order": every_order,
    "origins": origins,
    "design": design,
}


def main() -> None:
    """Measure everything, or one part, and write the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=list(PARTS), help="measure this, keep the rest")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.quick:
        spectral.ORDERS = {n: max(50, k // 50) for n, k in spectral.ORDERS.items()}
    report = Report(options.out, 20 if options.quick else 1, keep=options.only is not None)
    for part in [options.only] if options.only else PARTS:
        PARTS[part](report)
    report.save()


if __name__ == "__main__":
    main()
