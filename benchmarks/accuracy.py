"""The accuracy report: docs/accuracy.md and its plots, every figure measured in this run.

python benchmarks/accuracy.py                 # writes docs/accuracy.md, about 17 minutes
python benchmarks/accuracy.py --only every_order        # one part of it, the others kept
python benchmarks/accuracy.py --quick --out report      # the same with few matrices
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from string import Formatter

import numpy as np
from matplotlib.figure import Figure

import accuracy_ablations as ablations
import accuracy_families as families
import accuracy_networks as networks
import accuracy_spectral as spectral
from deepmatrixinversion import Inverter
from deepmatrixinversion.atomic import atomic_text
from deepmatrixinversion.reporting.figure_files import save_figure
from deepmatrixinversion.reporting.plots import (
    answers_against_true,
    residual_histogram,
    training_curves,
)
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
    X = Inverter.from_pretrained("feedback-5").guess(A)
    title = "feedback-5, raw float32, unseen 5x5 matrices with |det| > 0.1"
    return answers_against_true(A, X, np.linalg.inv(A), title=title)


class Report:
    """The page, where its plots go, and by how much fewer matrices to use."""

    def __init__(self, out: Path, few: int, keep: bool) -> None:
        self.out, self.few = out, few
        self.old = sections((out / "accuracy.md").read_text()) if keep else {}
        self.values: dict[str, str] = {}

    def write(self, **values: str | list[str]) -> None:
        """Give fields of the page their values."""
        for name, value in values.items():
            text = value if isinstance(value, str) else "\n".join(value)
            self.values[name] = text.rstrip("\n")

    def plot(self, figure: Figure, name: str) -> None:
        """Save a figure beside the page."""
        save_figure(figure, self.out / f"accuracy-{name}.png")

    def save(self, template: str) -> None:
        """Write the sections whose fields have values, and the old ones of the others."""
        parts = []
        for title, text in sections(template).items():
            wanted = {name for _, name, _, _ in Formatter().parse(text) if name}
            if wanted <= set(self.values):
                parts.append(title + text.format(**self.values))
            elif title in self.old:
                parts.append(title + self.old[title])
        atomic_text(self.out / "accuracy.md", "\n".join(parts))


def sections(page: str) -> dict[str, str]:
    """What stands below each heading, by the heading."""
    first, *others = re.split(r"^(#.*\n)", page, flags=re.MULTILINE)
    assert not first
    texts = [text.strip("\n") for text in others[1::2]]
    return {
        head: f"\n{text}\n" if text else "" for head, text in zip(others[::2], texts, strict=True)
    }


def one_order(report: Report) -> None:
    """The networks of one order."""
    few = report.few
    table, kept = networks.bundled(200_000 // few, SEED)
    report.write(bundled=table, tolerance=networks.tolerance(200_000 // few, SEED))
    report.plot(residual_histogram(kept[8], title="feedback-8, raw, none left out"), "residuals")
    report.plot(raw_predictions(40_000 // few), "raw")
    table, figure = networks.low_precision(40_000 // few, SEED)
    report.write(low_precision=table)
    report.plot(figure, "precision")


def every_order(report: Report) -> None:
    """The network for every order, its baselines, and the training curves."""
    few = report.few
    report.write(spectral=spectral.table(SEED), flops=spectral.flops())
    report.plot(spectral.by_products(SEED, k=1_000 // few), "products")
    report.plot(spectral.by_order(SEED, k=2_000 // few), "order")
    report.plot(spectral.by_condition(SEED, k=6_000 // few), "condition")
    report.write(held_out=spectral.held_out(SEED, k=2_000 // few))
    report.write(early_exit=spectral.early_exit(SEED))
    report.write(divergences=spectral.divergences(1_000_000 // few, SEED))
    curves(report)


def origins(report: Report) -> None:
    """Where matrices come from: products to 1e-3 of every method."""
    found, missing = families.rows(SEED, report.few)
    absent = "; ".join(f"{name} (needs {module})" for name, module in missing.items())
    report.write(absent=f" Missing in this run: {absent}." if absent else "")
    report.write(summary=families.summary(found), families=families.table(found))


def design(report: Report) -> None:
    """Short trainings: published networks, and the design choices one by one."""
    few = report.few
    matrices = 100_000 // few
    report.write(
        same_time=ablations.compare(3, ablations.same_time(1.0 / few), matrices, SEED),
        **{
            question: ablations.compare(8, rows, matrices, SEED)
            for question, rows in ablations.variants(1_000_000 // few).items()
        },
        variants=ablations.compare_spectral(100_000 // few, 4_000 // few, SEED),
        guard=ablations.guard(matrices, SEED),
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
    report.save((Path(__file__).parent / "pages" / "accuracy.md").read_text())


if __name__ == "__main__":
    main()
