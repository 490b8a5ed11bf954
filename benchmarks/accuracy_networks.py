"""The feedback part of the accuracy report: every bundled order, published networks, ablations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from accuracy_data import residuals
from curves import Missed, styles
from deepmatrixinversion import Inverter
from deepmatrixinversion.matrices.spectra import with_condition
from deepmatrixinversion.nets import build
from deepmatrixinversion.nets.weights import load_ensemble

ORDERS = range(2, 9)
AIMS = {2: 99.99, 3: 99.99, 4: 99.9, 5: 99.9, 6: 99.9, 7: 99.7, 8: 99.7}


def share(r: np.ndarray, below: float) -> float:
    """Percentage of residuals below a number."""
    return 100 * float(np.mean(r < below))


def bundled(matrices: int, seed: int) -> tuple[list[str], dict[int, np.ndarray]]:
    """Table of the bundled feedback models, with the same networks untrained beside them."""
    lines = [
        "| n | parameters | products | below 1 | aim | untrained | below 1e-3 | untrained "
        "| MAE, \\|det\\| > 0.1 | untrained |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    kept = {}
    for n in ORDERS:
        inverter = Inverter.from_pretrained(f"feedback-{n}")
        config = inverter.model.config.net
        untrained = build(config)
        rng = np.random.default_rng([seed, n])
        A = rng.uniform(-1, 1, (matrices, n, n))
        regular = np.abs(np.linalg.det(A)) > 0.1
        truth = np.linalg.inv(A[regular])
        row: list[Any] = []
        for X in (inverter.guess(A), run(untrained, A)):
            r = residuals(A, X)
            row.append((share(r, 1), share(r, 1e-3), np.abs(X[regular] - truth).mean()))
            kept.setdefault(n, r)
        parameters = sum(p.numel() for p in untrained.parameters())
        (one, thousandth, mae), (one0, thousandth0, mae0) = row
        lines.append(
            f"| {n} | {parameters:,} | {untrained.products} | {one:.4f} % | {AIMS[n]} % "
            f"| {one0:.4f} % | {thousandth:.3f} % | {thousandth0:.3f} % | {mae:.1e} | {mae0:.1e} |"
        )
        print(lines[-1], flush=True)
    return lines, kept


@torch.no_grad()
def run(net: torch.nn.Module, A: np.ndarray) -> np.ndarray:
    """A torch network's raw answers, as float64."""
    parts = torch.from_numpy(A).float().split(10_000)
    return torch.cat([net(part) for part in parts]).double().numpy()


def tolerance(matrices: int, seed: int) -> str:
    """Share of 5x5 matrices over [-10, 10] within 0.5 %, the tightest published tolerance."""
    A = np.random.default_rng([seed, 55]).uniform(-10, 10, (matrices, 5, 5))
    r = residuals(A, Inverter.from_pretrained("feedback-5").guess(A))
    return (
        f"Relative residual within 0.5 % (‖I - AX‖F <= 0.005), n = 5, entries uniform in "
        f"[-10, 10], none left out, {matrices:,} matrices: {share(r, 0.005):.3f} % (aim 99.9 %)."
    )


def low_precision(matrices: int, seed: int) -> tuple[list[str], Figure]:
    """Products of rounded factors, accumulated in float32, and what Newton-Schulz makes of them."""
    from deepmatrixinversion.linalg.certify import certify
    from deepmatrixinversion.linalg.newton import newton_schulz
    from deepmatrixinversion.linalg.stack import Stack
    from deepmatrixinversion.nets import feedback

    rng = np.random.default_rng([seed, 16])
    n = 4
    kappa = 10 ** rng.uniform(0, 6, matrices)
    A = with_condition(rng, n, kappa)
    net = load_ensemble(Inverter.from_pretrained("feedback-4").model)
    full, noise = feedback.product, feedback.ROUNDING
    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axes = figure.subplots()
    lines = [
        "| format | unit roundoff | residual / (kappa u), median | 99 % "
        "| certified after float64 polish |",
        "| --- | --- | --- | --- | --- |",
    ]
    formats = {
        "float32": (None, 2.0**-24),
        "float16": (torch.float16, 2.0**-11),
        "bfloat16": (torch.bfloat16, 2.0**-8),
    }
    edges = np.logspace(0, 6, 25)
    which = np.digitize(kappa, edges) - 1
    missed, style = Missed(axes, int(np.bincount(which).max())), styles(formats)
    for name, (dtype, u) in formats.items():
        if dtype is not None:

            def rounded(M, N, dtype=dtype):
                return full(M.to(dtype).float(), N.to(dtype).float())

            feedback.product = rounded
            feedback.ROUNDING = u  # what the network takes for the relative error of a product
        try:
            X = run(net, A)
        finally:
            feedback.product, feedback.ROUNDING = full, noise
        r = residuals(A, X)
        ratio = r / (kappa * u)
        usable = kappa * u < 0.1
        refined = newton_schulz(Stack.of(A), Stack.of(X)).X.matrices()
        ok = certify(A, refined).certified
        lines.append(
            f"| {name} | {u:.1e} | {np.median(ratio[usable]):.2f} "
            f"| {np.quantile(ratio[usable], 0.99):.2f} | {100 * ok.mean():.2f} % |"
        )
        bins = [ok[which == b].mean() for b in range(len(edges) - 1)]
        missed.draw(np.sqrt(edges[1:] * edges[:-1]), bins, label=name, **style[name])
    axes.set(
        xscale="log",
        xlabel="condition number (2-norm, dimensionless)",
        ylabel="share not certified after Newton-Schulz in float64",
        title="feedback-4 with products of rounded factors, float32 accumulation",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    return lines, figure
